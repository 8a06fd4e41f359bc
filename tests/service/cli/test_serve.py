"""`inphase serve`: what cannot work is said at once."""

import socket
from pathlib import Path

import pytest

from service.jobs.embedded import EmbeddedRedis
from service.jobs.errors import NoRedisError
from tests.service.cli.processes import NO_STATE, nameless, one_line


def test_serve_says_at_once_what_is_missing(inphase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """No model, no Redis, no such data root: one message each, before anything starts."""
    code, _, err = inphase("serve", "--models-dir", tmp_path / "none", "--no-queue", "--port", "0")
    assert code == 1
    assert "no model" in err
    monkeypatch.setenv("INPHASE_WARM_MODELS", "blind nonesuch")
    code, _, err = inphase("serve", "--no-queue", "--port", "0")
    assert code == 1
    assert "no model 'nonesuch'; known: blind, inphase-bcdi" in " ".join(err.split())
    monkeypatch.delenv("INPHASE_WARM_MODELS")
    code, _, err = inphase("serve", "--data-root", tmp_path / "nowhere")
    assert code == 2
    assert "nowhere" in err
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setattr("service.jobs.embedded.importlib.util.find_spec", lambda name: None)
    code, _, err = inphase("serve", "--port", "0")
    assert code == 1
    assert "REDIS_URL" in err


@pytest.mark.parametrize(
    ("home", "word"), [(None, "no home folder"), ("", "no home folder"), ("/proc/nowhere", "written (No such")]
)
def test_serve_without_a_home_is_one_line(models_dir: Path, home: str | None, word: str) -> None:
    """What keeps a state says in one line what to set, before anything starts."""
    ended = nameless(models_dir, home, "serve", "--port", "0")
    assert (ended.returncode, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert word in line
    assert NO_STATE in line


def test_a_state_folder_that_may_not_be_written(inphase, scan: Path) -> None:  # type: ignore[no-untyped-def]
    """The folder is named, whoever named it."""
    code, _, err = inphase("serve", "--state-dir", scan / "state", "--no-queue", "--port", "0")
    assert code == 1
    assert f"the state folder {scan / 'state'} cannot be written (Not a directory)" in err


def test_serve_on_a_port_in_use(inphase, quiet: None, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """One sentence with the port and what to do, before anything is started or written."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, err = inphase("serve", "--port", str(port), "--no-queue")
    assert code == 1
    assert f"port {port} of 127.0.0.1 is in use" in one_line(err)
    assert "--port" in err
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("host", "words"),
    [("203.0.113.7", "no address of this machine"), ("nowhere.invalid", "is not known"), ("a..b", "is not known")],
)
def test_serve_on_a_host_that_is_not_here(inphase, quiet: None, host: str, words: str) -> None:  # type: ignore[no-untyped-def]
    """One sentence with the host."""
    code, _, err = inphase("serve", "--host", host, "--no-queue")
    assert code == 1
    assert words in one_line(err)
    assert host in err


def test_serve_in_a_folder_in_use(inphase, quiet: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """The folder is named, the first service goes on, and what the second had begun is gone."""
    try:
        first = EmbeddedRedis(tmp_path / "state" / "redis")
    except NoRedisError as error:
        pytest.skip(str(error))
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setattr("service.jobs.embedded._LOCK_S", 0.2)
    first.start()
    try:
        code, _, err = inphase("serve", "--port", "0")
        assert code == 1
        assert f"{tmp_path / 'state' / 'redis'} is in use by another service" in one_line(err)
        assert "--state-dir" in err
        assert first.alive()
    finally:
        first.stop()
