"""Every example in the documentation runs."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from demo import Service
from numpy.typing import NDArray
from pydantic import TypeAdapter

import inphase
from inphase.client import Client
from inphase.imaging.options import CONVENTIONAL
from inphase.retrieval import recipe as recipes
from service import cli
from service.intake.sources import FileSource
from tests.docs.examples import PAGES, ROOT, URL, Command, blocks, code, commands, with_blocks
from tests.toy import counts
from training import cli as training

# pages whose calls of `inphase reconstruct` are carried out; elsewhere they name files of real beamlines
CARRIED_OUT = ("README.md", "docs/tutorial.md", "docs/reference/ensembles.md", "docs/how-to/reconstruct-a-series.md")
# the page's Python needs bluesky and Tiled: tests/system/test_bluesky.py runs it where they are
APART = ("docs/how-to/reconstruct-bluesky-runs.md",)
WRITTEN = re.compile(r"(?:write|save)\([^\n]*?\"([\w.-]+)\"\)|-o ([\w.-]+\.\w+)")
ALL = [command for page in PAGES for command in commands(page)]
APPS = {"inphase": typer.main.get_command(cli.app), "inphase-train": typer.main.get_command(training.app)}


def written(example: str) -> list[str]:
    """The files that an example says it writes."""
    return [python or shell for python, shell in WRITTEN.findall(example)]


@pytest.mark.parametrize("page", [page for page in with_blocks("python") if page not in APART])
def test_python_runs(
    page: str,
    workplace: Path,
    pattern: NDArray[np.uint32],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """The blocks of a page, one after the other, and they write what they say. `counts` and `scan` are the reader's."""
    source = "\n".join(blocks(page, "python"))
    if URL in source:
        source = source.replace(URL, request.getfixturevalue("service").url)
    monkeypatch.chdir(workplace)
    names: dict[str, Any] = {"counts": pattern, "scan": inphase.read(Path("scan.h5"))}
    for name in written(source):
        Path(name).unlink(missing_ok=True)
    exec(compile(source, page, "exec"), names)
    assert [name for name in written(source) if not Path(name).exists()] == []


NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_kept_without_outputs(path: Path) -> None:
    """Outputs are large, and old from the next change on."""
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert cells
    assert [(cell["outputs"], cell["execution_count"]) for cell in cells] == [([], None)] * len(cells)


def run_notebook(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, **instead: str) -> dict[str, Any]:
    """The names that a notebook leaves, its code carried out in a folder. instead: texts in the place of others."""
    cells = json.loads((ROOT / f"docs/notebooks/{name}.ipynb").read_text())["cells"]
    source = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    for what, other in instead.items():
        assert f'{what} = "' in source
        source = re.sub(rf'^{what} = ".*"$', f'{what} = "{other}"', source, flags=re.MULTILINE)
    monkeypatch.chdir(folder)
    monkeypatch.setattr("matplotlib.pyplot.show", lambda: None)
    names: dict[str, Any] = {}
    exec(compile(source, name, "exec"), names)
    names["plt"].close("all")
    return names


def test_the_notebook_of_scan_54_runs(real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the measured crystal, with the network alone: about the size that it has, and planes of gold."""
    monkeypatch.setenv("SCAN_54", str(real_data / "aps34idc_scan54"))
    names = run_notebook("scan54", tmp_path, monkeypatch, refine="none", grid="model")
    assert names["scan"].array.shape == (201, 256, 256)
    assert names["diameter_m"] == pytest.approx(315e-9, rel=0.15)
    assert names["spacing_m"] == pytest.approx(2.335e-10, rel=2e-3)
    assert (tmp_path / "scan54.vts").stat().st_size > 100_000


def test_the_notebook_of_a_series_runs(
    service: Service, workplace: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Two scans of one crystal: both are alike."""
    monkeypatch.setenv("INPHASE_API_KEY", service.key)
    monkeypatch.setattr("inphase.client.Client", lambda url, key: Client(service.url, key))
    names = run_notebook("series", tmp_path, monkeypatch, refine="2*ER")
    assert names["likeness"] == pytest.approx([1, 1], abs=1e-3)
    written = ["heating.csv", "heating.html", "heating_001.vti", "heating_002.vti"]
    assert sorted(path.name for path in tmp_path.iterdir()) == written


@pytest.fixture(scope="module")
def job(service: Service) -> str:
    """A job that has succeeded."""
    with Client(service.url, service.key) as client:
        document = client.reconstruct(counts(), refine="2*ER", wait=60)
    assert document["state"] == "succeeded"
    return str(document["id"])


@pytest.mark.skipif(shutil.which("curl") is None, reason="the examples use curl, which this machine does not have")
@pytest.mark.parametrize("page", with_blocks("sh"))
def test_shell_runs(page: str, service: Service, workplace: Path, job: str, tmp_path: Path) -> None:
    """The blocks of a page in one shell that stops at the first fault, an answer of 400 and more being one."""
    script = "\n".join(blocks(page, "sh"))
    (tmp_path / ".curlrc").write_text("fail-with-body\n")
    where = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "CURL_HOME": str(tmp_path)}
    ours = {"INPHASE_API_KEY": service.key, "INPHASE_URL": service.url, "ID": job}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script.replace(URL, service.url)],
        cwd=workplace,
        env=os.environ | where | ours,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [name for name in written(script) if not (workplace / name).stat().st_size] == []


@pytest.mark.parametrize("command", ALL, ids=str)
def test_commands_have_these_options(command: Command) -> None:
    """Each call of `inphase` and `inphase-train` names a command, and options that it has."""
    found, rest = APPS[command.program], list(command.arguments)
    while hasattr(found, "commands") and not (found.invoke_without_command and (not rest or rest[0].startswith("-"))):
        found, rest = found.commands[rest[0]], rest[1:]
    if rest != ["--help"]:
        found.make_parser(found.context_class(found)).parse_args(rest)


@pytest.mark.parametrize(
    "command", [c for c in ALL if c.page in CARRIED_OUT and c.arguments[0] == "reconstruct"], ids=str
)
def test_reconstructions_are_carried_out(
    command: Command, workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the toy crystal, with a short recipe in the place of the conventional one; the result is there afterwards."""
    monkeypatch.setitem(recipes.PRESETS, CONVENTIONAL, "2*ER")
    monkeypatch.chdir(workplace)
    output = Path(command.arguments[command.arguments.index("-o") + 1])
    shutil.rmtree(output) if output.is_dir() else output.unlink(missing_ok=True)
    monkeypatch.setattr(sys, "argv", [command.program, *command.arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0, capsys.readouterr()
    assert output.exists()


def test_make_has_the_targets() -> None:
    """Every `make TARGET` of a page."""
    targets = re.findall(r"^(\w+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = {word for page in PAGES for line in code(page) for word in re.findall(r"^\s*make (\w+)", line)}
    assert named
    assert named <= set(targets)


def test_modules_that_are_run_exist() -> None:
    """Every `python -m MODULE` of a page."""
    named = {word for text in PAGES.values() for word in re.findall(r"python -m (benchmarks[\w.]+)", text)}
    assert named
    assert not [name for name in named if importlib.util.find_spec(name) is None]


def test_sources_in_requests_are_understood() -> None:
    """Every JSON line that names a file as its source."""
    lines = [line.strip() for page in PAGES for line in code(page) if line.strip().startswith('{"source"')]
    assert lines
    for line in lines:
        TypeAdapter(FileSource).validate_python(json.loads(line)["source"])
