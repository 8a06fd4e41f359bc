"""Imports run one way: training -> inphase <- service; torch stays out of the API process (docs/architecture.md)."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# package: what its modules may never import, at any depth of the file
FORBIDDEN = {
    "inphase": {
        "service",
        "training",
        "fastapi",
        "pydantic",
        "uvicorn",
        "redis",
        "dramatiq",
        "matplotlib",
    },
    "service": {"training", "matplotlib", "lightning"},
    "training": {"service", "fastapi", "pydantic", "redis", "dramatiq"},
}
# only these modules draw; nothing but a call that wants a figure loads them
DRAWING = ("inphase/results/figures.py", "inphase/client/figure.py")
# torch inside inphase and service: only the two engines, and the process that refines
TORCH = ("inphase/retrieval/", "inphase/ptycho/", "service/jobs/perform.py")


def modules(package: str) -> list[Path]:
    """Every source file of a package."""
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Top-level names of everything that a file imports, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), path.name)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_run_one_way(package: str) -> None:
    """No module of a package imports what belongs to another room."""
    files = modules(package)
    assert files
    wrong = {}
    for path in files:
        name = path.relative_to(ROOT).as_posix()
        forbidden = FORBIDDEN[package] - ({"matplotlib"} if name in DRAWING else set())
        if found := imported(path) & forbidden:
            wrong[name] = sorted(found)
    assert not wrong


def test_torch_stays_in_its_rooms() -> None:
    """Outside the training, only the two engines and what the compute process loads name torch."""
    files = [
        path.relative_to(ROOT).as_posix()
        for package in ("inphase", "service")
        for path in modules(package)
        if "torch" in imported(path)
    ]
    assert not [path for path in files if not path.startswith(TORCH)]


def fresh(code: str) -> set[str]:
    """Modules loaded by a fresh interpreter after `code`."""
    script = f"import sys\n{code}\nprint(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import service.app", {"torch", "matplotlib", "training", "lightning", "numba"}),
        (
            "import service.jobs.worker",
            {"torch", "scipy", "pydantic", "onnxruntime", "numba"},
        ),  # starts in half a second
        (
            "from service.app import create_app; from service.settings import Settings; create_app(Settings())",
            {"torch", "matplotlib", "training"},
        ),
        ("import service.cli", {"torch", "matplotlib", "training"}),
        ("import service.jobs.broker, service.jobs.supervisor", {"torch", "matplotlib", "training"}),
        ("import service.jobs.worker, service.jobs.perform", {"onnxruntime", "matplotlib", "training"}),
        ("import inphase", {"numpy", "torch", "onnxruntime", "pydantic", "service"}),
        ("import inphase.imaging.way, inphase.imaging.reconstruct", {"torch", "onnxruntime", "pydantic", "service"}),
        (
            "import inphase.formats, inphase.preprocess, inphase.metrics, inphase.ambiguity",
            {"torch", "pydantic", "fastapi", "service", "training"},
        ),
        ("import inphase.client", {"torch", "pydantic", "fastapi", "service", "training"}),
        ("import inphase.retrieval.recipe", {"torch", "service", "training"}),
        (
            "from inphase.ptycho import Measurement, NearField, Options, compared, from_arrays, read, write",
            {"torch", "onnxruntime", "pydantic", "service", "training"},
        ),
        ("import training.cli, training.fit", {"service", "fastapi", "pydantic"}),
    ],
)
def test_what_a_fresh_interpreter_loads(code: str, absent: set[str]) -> None:
    """A process loads nothing that its room does not need."""
    assert not fresh(code) & absent
