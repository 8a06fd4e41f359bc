"""The distribution inphase-client: built, installed into an environment that has nothing else, and used."""

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.service.conftest import KEY
from tests.system.serving import running

pytestmark = pytest.mark.system

ROOT: Final = Path(__file__).resolve().parents[2]
SCRIPT: Final = """
import asyncio, json, sys
import numpy as np
from inphase.client import AsyncClient, Client, MissingError
from inphase.errors import DataError

url, key, scan, output = sys.argv[1:]
told = {}
with Client(url, key) as client:
    job = client.submit(np.load(scan), refine="4*ER", start="network")
    events = []
    told["state"] = client.wait(job["id"], progress=events.append, timeout=120)["state"]
    told["kinds"] = sorted({event.kind for event in events})
    result = client.result(job["id"])
    told["repr"] = repr(result)
    client.save(job["id"], output)
    for name in ("x.cohere", "x.pdf"):
        try:
            client.save(job["id"], name)
        except DataError as error:
            told[name] = str(error)
    try:
        client.job("0" * 32)
    except MissingError as error:
        told["missing"] = [error.urn, bool(error.request_id)]
    try:
        client.submit(scan)
    except TypeError as error:
        told["path"] = str(error)

async def upload():
    async with AsyncClient(url, key) as client:
        document = await client.reconstruct_upload(scan, refine="none", wait=60)
        again = await client.result(document["id"])
        told["async"] = [document["state"], again.object.dtype.name, (await client.status())["queue"]["up"]]
        told["listed"] = [line["id"] async for line in client.jobs()] == [document["id"], job["id"]]

asyncio.run(upload())
try:
    result.plot()
except ModuleNotFoundError as error:
    told["plot"] = error.name
told["loaded"] = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps(told))
"""


def requirements(*names: str) -> set[str]:
    """These distributions and all that they need, as they are installed here."""
    found: set[str] = set()
    left = list(names)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            wanted = importlib.metadata.requires(name) or []
            left += [re.split(r"[^\w.-]", each)[0] for each in wanted if ";" not in each]
    return found


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel, httpx and numpy, built from a copy of the sources."""
    folder = tmp_path_factory.mktemp("alone")
    for name in ("client", "inphase"):
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder / "source")
    venv.create(folder / "env")
    interpreter = folder / "env/bin/python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--quiet", "--no-build-isolation", "--no-deps", "--wheel-dir", str(folder), "client/"]
    subprocess.run(build, cwd=folder / "source", check=True, timeout=120)
    (wheel,) = folder.glob("inphase_client-*.whl")
    install = [*pip, "--python", str(interpreter), "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, timeout=120)
    (site,) = folder.glob("env/lib/python*/site-packages")
    for name in requirements("httpx", "numpy"):
        distribution = importlib.metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or () if file.parts[0] not in ("..", "__pycache__")}:
            (site / top).symlink_to(Path(str(distribution.locate_file(top))))
    return interpreter


def test_its_version_is_that_of_inphase(python: Path) -> None:
    """Both are made of the same sources; what it brings is the client and no more."""
    code = (
        "import importlib.metadata as m; found = m.distribution('inphase-client'); "
        "print(found.version, *found.requires, *found.files, sep='\\n')"
    )
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    version, httpx, numpy, _, *files = done.stdout.split("\n")
    assert version == re.findall(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[0]
    assert (httpx, numpy) == ("httpx>=0.28", "numpy>=2.1")
    modules = {name for name in files if name.endswith(".py")}
    assert {Path(name).parts[:2] for name in modules} == {
        ("inphase", "array.py"), ("inphase", "client"), ("inphase", "errors.py"), ("inphase", "formats"),
        ("inphase", "summary.py"),
    }  # fmt: skip


def test_it_speaks_to_a_service(python: Path, models: Path, pattern: NDArray[np.uint32], tmp_path: Path) -> None:
    """Submits, waits, fetches, saves; what it cannot do it says; and nothing else of inphase is loaded."""
    np.save(tmp_path / "scan.npy", pattern)
    output = tmp_path / "result.cxi"
    with running(tmp_path / "state", models) as service:
        arguments = [python, "-c", SCRIPT, service.url, KEY, tmp_path / "scan.npy", output]
        done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["state"] == "succeeded"
    assert {"revision", "state"} <= set(told["kinds"])
    assert told["repr"].startswith("<Result of body of application/x-npy: 64 x 64 x 64 voxels; chi2 ")
    assert output.read_bytes()[:4] == b"\x89HDF"
    for name in ("x.cohere", "x.pdf"):
        assert told[name] == f"{name}: the client alone writes .npz, .cxi, .vti, .vts, .mat; install inphase for " + (
            "other formats"
        )
    assert told["missing"] == ["urn:inphase:error:unknown-job", True]
    assert "reconstruct_upload" in told["path"]
    assert told["async"] == ["succeeded", "complex64", True]
    assert told["listed"]
    assert told["plot"] == "matplotlib"
    assert not {"h5py", "scipy", "msgspec", "pydantic", "matplotlib", "service"} & set(told["loaded"])
