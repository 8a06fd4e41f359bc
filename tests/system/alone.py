"""The distribution inphase-client, in an environment that has nothing else."""

import importlib.metadata
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

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
        told["listed"] = [line["id"] async for line in client.jobs()][:2] == [document["id"], job["id"]]

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
            wanted = map(Requirement, importlib.metadata.requires(name) or [])
            left += [each.name for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
    return found


def interpreter_in(folder: Path) -> Path:
    """The interpreter of an environment with the wheel, httpx and numpy, built from a copy of the sources."""
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
