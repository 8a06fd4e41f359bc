"""What all commands have in common."""

import importlib.metadata
from pathlib import Path

import pytest
import redis
import typer
from typer.testing import CliRunner

from service import cli
from service.cli import bridge, jobs, key, models, scan, series
from service.jobs.embedded import EmbeddedRedis
from service.jobs.errors import NoRedisError
from tests.sentences import fragments
from tests.service.cli.processes import one_line

COMMANDS = {
    (*path, name): command
    for path, group in (
        ((), cli.app),
        (("jobs",), jobs.commands),
        (("series",), series.commands),
        (("scan",), scan.commands),
        (("key",), key.commands),
        (("models",), models.commands),
        (("bridge",), bridge.commands),
    )
    for name, command in typer.main.get_group(group).commands.items()
    if name not in ("jobs", "series", "scan", "key", "bridge")
}


@pytest.mark.parametrize("name", COMMANDS, ids=" ".join)
def test_help_is_in_sentences(name: tuple[str, ...]) -> None:
    """A command says what it does, and so does every one of its options and arguments."""
    assert not fragments(COMMANDS[name])


def test_every_command_has_an_example() -> None:
    """--help of each command ends with an example that a newcomer can copy."""
    assert len(COMMANDS) > 10
    runner = CliRunner()
    for command in COMMANDS:
        done = runner.invoke(cli.app, [*command, "--help"])
        assert done.exit_code == 0
        assert f"inphase {' '.join(command)}" in " ".join(done.stdout.split()).partition("Example: ")[2], command


def test_the_version_is_that_of_the_package(inphase) -> None:  # type: ignore[no-untyped-def]
    """Without a command."""
    assert inphase("--version") == (0, f"inphase {importlib.metadata.version('inphase')}\n", "")


@pytest.mark.parametrize(
    ("url", "words"),
    [(f"unix:///{'deep/' * 30}redis.sock", "at most 107"), ("queue:6379", "REDIS_URL"), ("http://queue", "schemes")],
)
@pytest.mark.parametrize("command", ["serve", "worker", "workers"])
def test_a_redis_that_cannot_be_named_so(inphase, quiet: None, command: str, url: str, words: str) -> None:  # type: ignore[no-untyped-def]
    """A URL that will never lead to a Redis is one sentence for every command that takes it."""
    code, _, err = inphase(command, "--redis-url", url, *(("--port", "0") if command == "serve" else ()))
    assert code == 1
    assert words in one_line(err)


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_a_redis_that_forgets_jobs_is_refused(inphase, quiet: None, tmp_path: Path, command: str) -> None:  # type: ignore[no-untyped-def]
    """Its eviction policy is named, with the line that mends it."""
    try:
        server = EmbeddedRedis(tmp_path / "redis")
    except NoRedisError as error:
        pytest.skip(str(error))
    url = server.start()
    try:
        with redis.Redis.from_url(url) as admin:
            admin.config_set("maxmemory-policy", "allkeys-lfu")
        code, _, err = inphase(command, "--redis-url", url, *(("--port", "0") if command == "serve" else ()))
        assert code == 1
        assert "allkeys-lfu" in one_line(err)
        assert "maxmemory-policy noeviction" in err
    finally:
        server.stop()
