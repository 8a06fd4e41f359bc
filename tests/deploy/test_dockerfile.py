"""The images: what can be known of them without a container engine."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from inphase.client import Client
from service.jobs.embedded import EmbeddedRedis
from service.jobs.errors import NoRedisError
from service.jobs.record import Records
from tests.deploy.dockerfile import Build, chain, environment, last, stages
from tests.deploy.known import ROOT, unknown
from tests.service.conftest import KEY
from tests.system.serving import free_port
from tests.toy import counts

TARGETS = ("api", "api-gpu", "worker", "worker-gpu")
START_S = 300.0  # nothing is compiled beforehand here, and torch is large


def test_hadolint() -> None:
    """The linter of Dockerfiles has nothing to say."""
    tool = shutil.which("hadolint", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
    if tool is None:
        pytest.skip("no hadolint: the extra `test` brings it on Linux x86-64")
    done = subprocess.run([tool, ROOT / "Dockerfile"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_base_image_is_pinned() -> None:
    """Every image comes from one base image with its full version."""
    text = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^ARG PYTHON_IMAGE=python:\d+\.\d+\.\d+-slim-\w+$", text, re.MULTILINE)
    assert {stage.parent for stage in stages().values()} - set(stages()) == {"${PYTHON_IMAGE}"}


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_is_safe_to_run(target: str) -> None:
    """Each image runs as an ordinary user, has a health check, and its environment holds only settings that exist."""
    assert last(target, "USER") == "10001:10001"
    assert " CMD [" in last(target, "HEALTHCHECK")
    assert json.loads(last(target, "ENTRYPOINT")) == ["inphase"]
    assert not unknown(environment(target))


def test_what_is_copied_is_not_ignored() -> None:
    """.dockerignore leaves in what the Dockerfile copies, and no more."""
    copied = {
        source
        for stage in stages().values()
        for name, value in stage.instructions
        if name == "COPY" and "--from=" not in value
        for source in value.split()[:-1]
    }
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {next((k for k in kept if source == k or source.startswith(f"{k}/")), source) for source in copied} == kept
    assert all((ROOT / source).exists() for source in copied)


def test_only_its_own_lock_is_installed() -> None:
    """Each image installs the lock of its name."""
    for target in TARGETS:
        installs = [value for name, value in chain(f"dependencies-{target}") if name == "RUN" and "-r " in value]
        assert [value.split("-r ")[1] for value in installs] == [f"/locks/{target}.txt"]


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis beside the images."""
    try:
        server = EmbeddedRedis(tmp_path_factory.mktemp("redis"))
    except NoRedisError as error:
        pytest.skip(str(error))
    yield server.start()
    server.stop()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first image leaves the wheel for the others."""
    return tmp_path_factory.mktemp("stage") / "wheel"


@pytest.mark.timeout(900)  # installs everything
@pytest.mark.slow
@pytest.mark.system
def test_the_api_image(tmp_path: Path, redis_url: str, wheel: Path) -> None:
    """Installed as the Dockerfile says, started as it says:
    healthy by its own check, without torch, and it predicts.
    """
    build = Build("api", tmp_path, wheel)
    code = "import importlib.util, service.app; print(importlib.util.find_spec('torch'), service.app.__file__)"
    assert build.python(code).startswith(f"None {build.image}/")
    port = str(free_port())
    settings = {
        "INPHASE_HOST": "127.0.0.1",
        "INPHASE_PORT": port,
        "INPHASE_REDIS_URL": redis_url,
        "INPHASE_API_KEY": KEY,
    }
    url = f"http://127.0.0.1:{port}"
    with started(build, lambda: answers(url), **settings), Client(url, KEY) as client:
        document = client.reconstruct(counts(), refine="none")
        assert (document["state"], document["recorded"]) == ("succeeded", True)
        assert document["model"]["name"] == "inphase-bcdi"


@pytest.mark.timeout(900)
@pytest.mark.slow
@pytest.mark.system
def test_the_worker_image(tmp_path: Path, redis_url: str, wheel: Path) -> None:
    """Installed and started as the Dockerfile says, the worker is healthy by its own check; it has no onnxruntime."""
    build = Build("worker", tmp_path, wheel)
    assert build.python("import importlib.util as u; print(u.find_spec('onnxruntime'))") == "None"
    with started(build, Records(redis_url).workers, INPHASE_REDIS_URL=redis_url):
        assert list((build.image / "tmp/numba").iterdir())  # what it compiled


@contextmanager
def started(build: Build, there: Callable[[], object], **settings: str) -> Iterator[None]:
    """The image's process, healthy by its own check as soon as it is `there`, which costs less to ask; it leaves on
    SIGTERM within its drain time.
    """
    process = subprocess.Popen(build.command(), env=build.environment(**settings), cwd=build.image)
    try:
        until(lambda: process.poll() is not None or there())
        assert process.poll() is None, "it has ended"
        subprocess.run(build.health_check(), env=build.environment(**settings), cwd=build.image, timeout=60, check=True)
        yield
    finally:
        process.terminate()
        process.wait(30)


def answers(url: str) -> bool:
    """Whether an API is ready."""
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def until(condition: Callable[[], object]) -> None:
    """Wait for a process to be ready."""
    end = time.monotonic() + START_S
    while not condition():
        assert time.monotonic() < end, f"not within {START_S} s"
        time.sleep(0.2)
