"""The command line, in this process with the toy model; tests/system has it against a service."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import redis
import tifffile
import typer
import yaml
from numpy.typing import NDArray
from rich.console import Console
from typer.testing import CliRunner

from inphase.errors import CancelledError, InphaseError
from inphase.formats.npz import read_result
from inphase.formats.reconstruction import read_reconstruction
from service import batch, cli, cli_jobs
from service.jobs.embedded import EmbeddedRedis
from service.jobs.errors import NoRedisError
from service.jobs.record import Records
from service.security import Caller, Keyring, Scope, read_keys
from service.server import bind, close
from tests.toy import crystal, write_model

Run = tuple[int, str, str]


@pytest.fixture
def scan(tmp_path: Path, pattern: NDArray[np.uint32]) -> Path:
    """The crystal's counts in a file."""
    path = tmp_path / "scan.npy"
    np.save(path, pattern)
    return path


@pytest.fixture
def inphase(models_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """`inphase("models")` runs the command; exit code, standard output, standard error."""
    monkeypatch.setenv("INPHASE_MODELS_DIR", str(models_dir))
    monkeypatch.setenv("INPHASE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("INPHASE_THREADS", "1")
    monkeypatch.delenv("INPHASE_URL", raising=False)

    def run(*arguments: str | Path) -> Run:
        monkeypatch.setattr(sys, "argv", ["inphase", *map(str, arguments)])
        code: str | int | None = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code
        captured = capsys.readouterr()
        return (code if isinstance(code, int) else 0), captured.out, captured.err

    return run


def test_every_command_has_an_example() -> None:
    """--help of each command ends with an example that a newcomer can copy."""
    found = [
        (*path, name)
        for path, group in (((), cli.app), (("jobs",), cli_jobs.jobs), (("series",), cli_jobs.series))
        for name in typer.main.get_group(group).commands
        if name not in ("jobs", "series")
    ]
    assert len(found) > 10
    runner = CliRunner()
    for command in found:
        done = runner.invoke(cli.app, [*command, "--help"])
        assert done.exit_code == 0
        assert f"inphase {' '.join(command)}" in " ".join(done.stdout.split()).partition("Example: ")[2], command


@pytest.mark.parametrize("refine", ["none", "10*ER"])
def test_a_file_becomes_a_result(inphase, scan: Path, tmp_path: Path, refine: str) -> None:  # type: ignore[no-untyped-def]
    """The result file has the crystal's support; the table shows what a reader must know."""
    output = tmp_path / "out.npz"
    code, out, err = inphase("reconstruct", scan, "-o", output, "--refine", refine)
    assert (code, err) == (0, "")
    result = read_result(output)
    assert result.support.sum() == (np.abs(crystal()) > 0).sum()
    assert result.document["recipe"]["refine"] == refine
    for word in ("chi2", "support", "oversampling", "trust", "start: network", "out.npz"):
        assert word in out


def test_json_is_the_document_and_nothing_else(inphase, scan: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """--json prints what is in the file."""
    output = tmp_path / "out.npz"
    code, out, _ = inphase("reconstruct", scan, "-o", output, "--refine", "none", "--json", "--seed", "5")
    assert code == 0
    document = json.loads(out)
    assert document == read_result(output).document
    assert document["start"]["seed"] == 5


def test_a_result_is_reproducible(inphase, scan: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Two runs with one seed give the same arrays, byte for byte."""
    for name in ("a.npz", "b.npz"):
        inphase("reconstruct", scan, "-o", tmp_path / name, "--refine", "3*ER", "--start", "random", "--starts", "1")
    a, b = read_result(tmp_path / "a.npz"), read_result(tmp_path / "b.npz")
    assert (a.object == b.object).all()


def test_a_folder_with_maps(inphase, tmp_path: Path, pattern: NDArray[np.uint32]) -> None:  # type: ignore[no-untyped-def]
    """A folder of frames, a bad-pixel map and a flat field of the whole chip."""
    folder = tmp_path / "scan"
    folder.mkdir()
    for number, frame in enumerate(pattern):
        tifffile.imwrite(folder / f"f_{number:04d}.tif", frame.astype(np.int32))
    dark, flat = np.zeros((80, 80), np.int32), np.ones((80, 80), np.float32)
    dark[3, 4] = 9
    tifffile.imwrite(tmp_path / "dark.tif", dark)
    tifffile.imwrite(tmp_path / "flat.tif", flat)
    code, out, err = inphase(
        "reconstruct", folder, "-o", tmp_path / "out.npz", "--refine", "none", "--json",
        "--dark", tmp_path / "dark.tif", "--flat", tmp_path / "flat.tif", "--roi", "0:64,0:64",
    )  # fmt: skip
    assert code == 0, err
    steps = {step["name"]: step["numbers"] for step in json.loads(out)["preprocess"]["steps"]}
    assert steps["corrections"]["bad_pixels"] == 1


def test_several_scans_share_a_frame(inphase, scan: Path, tmp_path: Path, pattern: NDArray[np.uint32]) -> None:  # type: ignore[no-untyped-def]
    """A pattern, quoted from the shell: a result each, in the frame of the first; a scan that is none is said and counted."""
    for number in (1, 10, 9):
        np.save(tmp_path / f"s_{number}.npy", np.roll(pattern, number, axis=2))
    results = tmp_path / "results"
    code, out, err = inphase("reconstruct", tmp_path / "s_*.npy", "-o", results, "--refine", "3*ER")
    assert code == 0, err
    assert [line.split()[1] for line in out.splitlines() if "s_" in line] == ["s_1.npy", "s_9.npy", "s_10.npy"]
    assert "the frame" in out
    found = [read_result(results / f"s_{number}.npz") for number in (1, 9, 10)]
    assert found[0].document["series"]["frame"]
    for other in found[1:]:
        assert other.document["series"]["alignment"]["reference"] == found[0].document["id"]
        assert abs(np.angle(np.vdot(found[0].object, other.object))) < 0.01
    (tmp_path / "s_2.npy").write_bytes(b"none")
    code, out, err = inphase("reconstruct", tmp_path / "s_*.npy", "-o", results, "--refine", "none", "--ending", ".cxi")
    assert code == 1
    assert "s_2.npy: " in err
    assert len(list(results.glob("*.cxi"))) == 3
    code, out, _ = inphase("reconstruct", tmp_path / "s_1.npy", scan, "-o", results, "--refine", "none", "--json")
    assert code == 0
    assert len(json.loads(out)) == 2


def test_several_scans_need_a_folder(inphase, scan: Path, tmp_path: Path, pattern: NDArray[np.uint32]) -> None:  # type: ignore[no-untyped-def]
    """One file cannot hold them; two scans with one name would overwrite each other; nothing is no series."""
    (tmp_path / "other").mkdir()
    np.save(tmp_path / "other" / "scan.npy", pattern)
    other = tmp_path / "other" / "scan.npy"
    for arguments, word in (
        ([scan, other, "-o", tmp_path / "all.npz"], "folder"),
        ([scan, other, "-o", tmp_path / "all"], "both become"),
        ([tmp_path / "t_*.npy", "-o", tmp_path / "all"], "nothing matches"),
    ):
        code, _, err = inphase("reconstruct", *arguments)
        assert (code, word in err) == (1, True), err


@pytest.mark.usefixtures("interruptible")
def test_interrupted_batches_end_soon(scan: Path, tmp_path: Path) -> None:
    """Ctrl-C: what runs is told, what waits is not begun, and the summary knows."""
    stopped: list[int] = []

    def work(number: int, scan: batch.Scan, stage: batch.Stage, cancelled: Callable[[], bool]) -> dict[str, Any]:
        if number == 1:
            time.sleep(0.3)  # as a person would: when all that can run runs
            os.kill(os.getpid(), signal.SIGINT)
        while not cancelled():
            time.sleep(0.01)
        stopped.append(number)
        raise CancelledError("told")

    scans = [batch.Scan(scan, str(tmp_path / f"{number}.npz")) for number in range(5)]
    ended = batch.run(scans, work, 2, Console(stderr=True))
    assert [scan.state for scan in ended] == ["cancelled"] * 5
    assert sorted(stopped) == [0, 1]


def test_a_key_is_shown_once_and_kept_as_its_hash(inphase, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """What is printed for the file opens with the key that is printed beside it."""
    code, out, err = inphase("key", "ada", "--scope", "read")
    assert code == 0
    key = err.split()[-1]
    assert key not in out
    path = tmp_path / "keys.yaml"
    path.write_text(out)
    assert Keyring(read_keys(path)).caller(key) == Caller("ada", Scope.READ)
    assert Keyring(read_keys(path)).caller("x" + key) is None
    code, _, err = inphase("key", "ada", "--scope", "root")
    assert (code, "root" in err) == (1, True)
    for content in (
        "- {owner: ada}",
        "[",
        "a: b",
        yaml.safe_dump([{"owner": "a b", "scope": "read", "sha256": "0" * 64}]),
    ):
        path.write_text(content)
        with pytest.raises(InphaseError, match=r"keys\.yaml"):
            read_keys(path)


def test_bad_input_is_one_message_and_no_file(inphase, scan: Path, tmp_path: Path, pattern: NDArray[np.uint32]) -> None:  # type: ignore[no-untyped-def]
    """Every fault: exit code, one message that names it, no traceback, and neither an output nor a part of one."""
    np.save(tmp_path / "flat.npy", np.ones((64, 64)))
    np.save(tmp_path / "zero.npy", np.zeros((64, 64, 64)))
    (tmp_path / "cut.npy").write_bytes(scan.read_bytes()[:5000])
    tifffile.imwrite(tmp_path / "cut.tif", pattern, photometric="minisblack")
    (tmp_path / "cut.tif").write_bytes((tmp_path / "cut.tif").read_bytes()[:300_000])
    with h5py.File(tmp_path / "empty.h5", "w") as file:
        file["note"] = 1
    cases = [
        (["nothing.npy"], "no such file"),
        ([tmp_path / "flat.npy"], "three"),
        ([tmp_path / "zero.npy"], "empty"),
        ([tmp_path / "cut.npy"], "truncated"),
        ([tmp_path / "cut.tif"], "cut.tif"),
        ([tmp_path / "empty.h5"], "three-dimensional"),
        ([scan, "--model", "nonesuch"], "nonesuch"),
        ([scan, "--refine", "50*EX"], "EX"),
        ([scan, "--preprocess", "magic"], "magic"),
        ([scan, "--refine", "none", "--start", "random"], "choose one"),
        ([scan, "--dark", tmp_path / "nothing.tif"], "nothing.tif"),
        ([scan, "--dark", tmp_path / "flat.npy", "--roi", "0-64"], "0-64"),
        ([scan, "--url", "http://127.0.0.1:9"], "cannot be reached"),
        ([scan, "--url", "nonsense"], "nonsense"),
    ]
    before = sorted(tmp_path.iterdir())
    for arguments, word in cases:
        code, out, err = inphase("reconstruct", *arguments, "-o", tmp_path / "out.npz")
        assert code in (1, 3), (arguments, err)
        assert word in err, (arguments, err)
        assert err.count("inphase: ") == 1
        assert "Traceback" not in err
        assert out == ""
        assert sorted(tmp_path.iterdir()) == before, arguments


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--domain", "photons"], "domain"),
        (["--start", "here"], "start"),
        (["--starts", "0"], "starts"),
        (["--seed", "-1"], "seed"),
    ],
)
def test_wrong_usage_is_exit_code_2(inphase, scan: Path, tmp_path: Path, arguments: list[str], word: str) -> None:  # type: ignore[no-untyped-def]
    """An impossible value names its option."""
    code, _, err = inphase("reconstruct", scan, "-o", tmp_path / "out.npz", *arguments)
    assert code == 2
    assert word in err


def test_the_output_folder_is_checked_first(inphase, scan: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Nobody waits for a result that cannot be written."""
    code, _, err = inphase("reconstruct", scan, "-o", tmp_path / "nowhere" / "out.npz")
    assert code == 1
    assert "nowhere" in err
    code, _, err = inphase("reconstruct", scan, "-o", tmp_path)
    assert code == 1
    assert "is a folder" in err


def test_an_unknown_ending_is_told_before_anything_is_read(inphase, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """The measurement does not even exist, and still the ending is what is complained of, with those that are known."""
    code, _, err = inphase("reconstruct", tmp_path / "missing.npy", "-o", tmp_path / "out.tiff")
    assert code == 1
    assert "'.tiff'" in err
    for ending in (".npz", ".cxi", ".vti", ".vts", ".mat", ".cohere"):
        assert ending in err


def test_the_ending_chooses_the_format(inphase, scan: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """The same reconstruction as CXI, as cohere's folder and as a folder of arrays: one object."""
    for output in ("out.cxi", "results_phasing", "arrays/"):
        code, _, err = inphase("reconstruct", scan, "-o", f"{tmp_path}/{output}", "--refine", "none")
        assert code == 0, err
    found = np.load(tmp_path / "arrays" / "object.npy")
    assert np.array_equal(read_reconstruction(tmp_path / "out.cxi").object, found)
    theirs = read_reconstruction(tmp_path / "results_phasing").object
    assert np.allclose(theirs * np.abs(found).max(), found, rtol=1e-5, atol=1e-6)


def test_a_failed_write_leaves_the_old_result(
    inphase, scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    """A full disk while writing: one message, the old file, nothing half-written."""
    output = tmp_path / "out.npz"
    output.write_bytes(b"old")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", str(output))

    with monkeypatch.context() as patch:
        patch.setattr("inphase.formats.npz.np.savez", full)
        code, _, err = inphase("reconstruct", scan, "-o", output, "--refine", "none")
    assert code == 1
    assert "No space left" in err
    assert output.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "state") == ["out.npz", "scan.npy"]


def test_models(inphase, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """The table and the JSON list what is installed and what was refused."""
    code, out, _ = inphase("models")
    assert code == 0
    assert "inphase-bcdi" in out
    assert "blind" in out
    write_model(tmp_path / "m", crystal(), name="good")
    (write_model(tmp_path / "m", crystal(), name="bad") / "card.yaml").unlink()
    code, out, err = inphase("models", "--models-dir", tmp_path / "m", "--json")
    listed = json.loads(out)
    assert [card["name"] for card in listed["models"]] == ["good"]
    assert listed["refused"][0]["folder"] == "bad/1"
    code, _, err = inphase("models", "--models-dir", tmp_path / "m")
    assert "no card.yaml" in err


def test_serve_says_at_once_what_is_missing(inphase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """No model, no Redis, no such data root: one message each, before anything starts."""
    code, _, err = inphase("serve", "--models-dir", tmp_path / "none", "--no-queue")
    assert code == 1
    assert "no model" in err
    code, _, err = inphase("serve", "--data-root", tmp_path / "nowhere")
    assert code == 2
    assert "nowhere" in err
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setattr("service.jobs.embedded.importlib.util.find_spec", lambda name: None)
    code, _, err = inphase("serve")
    assert code == 1
    assert "REDIS_URL" in err


NAMELESS = """
import pwd, sys

def nobody(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")

pwd.getpwuid = nobody
from service.cli import main
sys.argv = ["inphase", *sys.argv[1:]]
main()
"""


def nameless(models_dir: Path, home: str | None, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run the command in a process of its own as a user whose id has no entry: in a container any id may be given."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("INPHASE_", "HOME", "XDG_", "REDIS_"))
    }
    for name in ("USER", "LOGNAME", "LNAME", "USERNAME"):
        kept.pop(name, None)
    root = str(Path(cli.__file__).parent.parent)
    env = kept | {"INPHASE_MODELS_DIR": str(models_dir), "INPHASE_THREADS": "1", "PYTHONPATH": root}
    return subprocess.run(
        [sys.executable, "-c", NAMELESS, *map(str, arguments)],
        env=env if home is None else env | {"HOME": home}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


NO_STATE = "INPHASE_STATE_DIR or --state-dir"


@pytest.mark.parametrize("home", [None, "/proc/nowhere"])  # no home at all, and one where not even root may write
def test_reconstruct_needs_no_home(models_dir: Path, scan: Path, tmp_path: Path, home: str | None) -> None:
    """A reconstruction with refinement runs to its end and leaves nothing but the result."""
    output = tmp_path / "out.npz"
    ended = nameless(models_dir, home, "reconstruct", scan, "-o", output, "--refine", "2*ER", "--start", "network")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert read_result(output).object.shape == (64, 64, 64)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.npz", "scan.npy"]


@pytest.mark.parametrize(
    ("home", "word"), [(None, "no home folder"), ("", "no home folder"), ("/proc/nowhere", "written (No such")]
)
def test_serve_without_a_home_is_one_line(models_dir: Path, home: str | None, word: str) -> None:
    """What keeps a state says in one line what to set, before anything starts."""
    ended = nameless(models_dir, home, "serve")
    assert (ended.returncode, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert word in line
    assert NO_STATE in line


def test_worker_without_a_home_is_one_line(inphase, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """A worker whose store is not named either."""
    monkeypatch.delenv("INPHASE_STATE_DIR")
    monkeypatch.setenv("HOME", "/proc/nowhere")
    code, _, err = inphase("worker", "--redis-url", "redis://127.0.0.1:1")
    assert code == 1
    assert NO_STATE in err


def test_a_state_folder_that_may_not_be_written(inphase, scan: Path) -> None:  # type: ignore[no-untyped-def]
    """The folder is named, whoever named it."""
    code, _, err = inphase("serve", "--state-dir", scan / "state", "--no-queue")
    assert code == 1
    assert f"the state folder {scan / 'state'} cannot be written (Not a directory)" in err


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """`inphase serve` leaves the log of the tests alone."""
    monkeypatch.setattr("service.telemetry.configure_logging", lambda: None)


def one_line(err: str) -> str:
    """The one sentence with which a command ends."""
    (line,) = err.strip().splitlines()
    assert line.startswith("inphase: ")
    return line


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


def test_every_address_of_a_host_is_taken() -> None:
    """As uvicorn does it: of localhost those that the machine has; the port is free again afterwards."""
    for _ in range(2):
        found = bind("localhost", 0)
        assert {address.getsockname()[0] for address in found} <= {"127.0.0.1", "::1"}
        assert found
        close(found)


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


def test_worker_without_redis_says_what_to_do(inphase, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """A worker needs a service's Redis."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    code, _, err = inphase("worker")
    assert code == 1
    assert "inphase serve" in err


def test_workers_are_listed_and_checked(inphase, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """All living workers by name; --here sees this host's only and fails where it has none."""
    try:
        server = EmbeddedRedis(tmp_path / "redis")
    except NoRedisError as error:
        pytest.skip(str(error))
    ask = ("workers", "--redis-url", server.start())
    try:
        assert inphase(*ask)[:2] == (0, "no worker lives\n")
        records = Records(server.url)
        records.announce("elsewhere:1")
        assert inphase(*ask)[:2] == (0, "elsewhere:1\n")
        code, _, err = inphase(*ask, "--here")
        assert code == 1
        assert "no worker of this host" in err
        records.announce(f"{socket.gethostname()}:2")
        assert inphase(*ask, "--here")[:2] == (0, f"{socket.gethostname()}:2\n")
        records.close()
    finally:
        server.stop()
    code, _, err = inphase(*ask, "--here")
    assert code == 1
    assert "Redis" in err


def test_the_summary_tells_how_many_starts_agree() -> None:
    """In voxels or nanometres; without a resolution where none agree."""
    from service.cli import _agreement

    members, found = [{}] * 5, {"crossed": True, "q": 2.93e8, "voxels": None, "metres": 21.44e-9}
    text = _agreement({"members": members, "accepted": 4, "resolutions": [found]})
    assert text == "starts: 4 of 5 led to the same solution; their transfer function reaches 1/e at 21.4 nm"
    found = {"crossed": False, "q": 0.96875, "voxels": 2.0645, "metres": None}
    assert _agreement({"members": members, "accepted": 2, "resolutions": [found]}).endswith("above 1/e to 2.1 voxels")
    assert _agreement({"members": members, "accepted": 1, "resolutions": None}).endswith("same solution")


def test_queues_that_do_not_exist(inphase) -> None:  # type: ignore[no-untyped-def]
    """A worker for unknown priorities is refused before it starts anything, with those that exist."""
    code, _, err = inphase("worker", "--queues", "high,urgent")
    assert code == 1
    assert "--queues 'high,urgent': expected some of high, normal, low" in " ".join(err.split())
