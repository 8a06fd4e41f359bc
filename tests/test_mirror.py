"""Tests mirror modules: a/b.py is tested by tests/a/test_b.py, so that whoever changes a module knows where to look."""

from pathlib import Path
from typing import Final

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("inphase", "service", "training")

# modules of which there is nothing to be tested by itself: types and constants
DATA: Final = {
    "inphase/bridges/stream.py",
    "inphase/errors.py",
    "inphase/formats/framing.py",
    "inphase/models/prediction.py",
    "inphase/preprocess/report.py",
    "inphase/ptycho/reconstruction.py",
    "inphase/ptycho/solvers/solver.py",
    "service/jobs/errors.py",
    "service/jobs/state.py",
    "service/sandbox/errors.py",
    "service/sandbox/order.py",
    "training/objectives/objective.py",
    "training/simulate/atomistic/settings.py",
}
# modules whose behaviour shows in another one's tests, where it is easier to say what is right
ELSEWHERE: Final = {
    "inphase/array.py": "tests/inphase/client/test_bodies.py",
    "inphase/bridges/carriage.py": "tests/system/test_service.py",
    "inphase/bridges/standing.py": "tests/inphase/bridges/test_zeromq.py",
    "inphase/client/asynchronous.py": "tests/inphase/client/test_blocking.py",
    "inphase/client/calls.py": "tests/inphase/client/test_blocking.py",
    "inphase/client/connection.py": "tests/inphase/client/test_blocking.py",
    "inphase/client/figure.py": "tests/inphase/client/test_result.py",
    "inphase/client/files.py": "tests/inphase/client/test_blocking.py",
    "inphase/summary.py": "tests/inphase/client/test_result.py",
    "inphase/beamlines.py": "tests/inphase/test_diffractometer.py",
    "inphase/formats/edf.py": "tests/inphase/formats/test_masks.py",
    "inphase/formats/cubic.py": "tests/inphase/results/test_conversion.py",
    "inphase/formats/readers.py": "tests/inphase/formats/test_read.py",
    "inphase/formats/pieces.py": "tests/inphase/formats/test_images.py",
    "inphase/preprocess/blocks.py": "tests/inphase/preprocess/test_binning.py",
    "inphase/ptycho/formats/contents.py": "tests/inphase/ptycho/formats/test_npz.py",
    "inphase/ptycho/formats/room.py": "tests/service/sandbox/test_ptychograms.py",
    "inphase/ptycho/options.py": "tests/inphase/ptycho/test_recipe.py",
    "inphase/ptycho/scan.py": "tests/inphase/ptycho/test_engine.py",
    "inphase/retrieval/checkpoint.py": "tests/inphase/retrieval/test_engine.py",
    "inphase/retrieval/descent.py": "tests/inphase/retrieval/test_gradient.py",
    "inphase/retrieval/run.py": "tests/inphase/retrieval/test_engine.py",
    "inphase/results/source.py": "tests/inphase/results/test_conversion.py",
    "inphase/retrieval/threads.py": "tests/inphase/retrieval/test_engine.py",
    "service/intake/drawing.py": "tests/service/api/test_ptychograms.py",
    "service/jobs/ptychogram.py": "tests/service/scans/test_ptycho.py",
    "service/app.py": "tests/service/api/test_status.py",
    "service/api/bodies/media.py": "tests/service/api/test_bad_input.py",
    "service/api/received.py": "tests/service/api/test_reconstructions.py",
    "service/api/scan_calls.py": "tests/service/api/test_scans.py",
    "service/api/access.py": "tests/service/api/test_same_again.py",
    "service/cli/configuration.py": "tests/service/cli/test_command.py",
    "service/cli/compare.py": "tests/service/cli/test_results.py",
    "service/cli/convert.py": "tests/service/cli/test_results.py",
    "service/cli/jobs.py": "tests/service/cli/test_remote.py",
    "service/cli/local.py": "tests/service/cli/test_reconstruct.py",
    "service/cli/measured.py": "tests/service/cli/test_results.py",
    "service/cli/orthogonalise.py": "tests/service/cli/test_results.py",
    "service/cli/rank.py": "tests/service/cli/test_results.py",
    "service/cli/scans.py": "tests/service/cli/test_reconstruct.py",
    "service/cli/series.py": "tests/service/cli/test_reading.py",
    "service/cli/show.py": "tests/service/cli/test_results.py",
    "service/cli/strain.py": "tests/service/cli/test_results.py",
    "service/cli/terminal.py": "tests/service/cli/test_batch.py",
    "service/jobs/entry.py": "tests/service/jobs/test_record.py",
    "service/jobs/listing.py": "tests/service/jobs/test_record.py",
    "service/jobs/perform.py": "tests/service/api/test_jobs.py",
    "service/jobs/scripts.py": "tests/service/jobs/test_record.py",
    "service/jobs/supervisor.py": "tests/system/test_jobs_worker.py",
    "service/jobs/task.py": "tests/service/jobs/test_process.py",
    "inphase/live/awaited.py": "tests/inphase/live/test_curve.py",
    "inphase/ptycho/arrays.py": "tests/inphase/ptycho/formats/test_written.py",
    "service/jobs/ptychography.py": "tests/service/scans/test_ptycho.py",
    "service/scans/kind.py": "tests/service/api/test_scans.py",
    "service/scans/order.py": "tests/service/scans/test_ptycho.py",
    "service/scans/rocking.py": "tests/service/api/test_scans.py",
    "service/scans/document.py": "tests/service/api/test_scans.py",
    "service/scans/frames.py": "tests/service/api/test_scans.py",
    "service/scans/live.py": "tests/service/api/test_scans.py",
    "service/sandbox/answer.py": "tests/service/sandbox/test_sandbox.py",
    "service/sandbox/confinement.py": "tests/service/sandbox/test_sandbox.py",
    "service/sandbox/template.py": "tests/service/sandbox/test_sandbox.py",
    "training/module.py": "tests/training/test_fit.py",
    "training/objectives/modulus.py": "tests/training/objectives/test_correlation.py",
    "training/schedule.py": "tests/training/test_fit.py",
}


def mirrored(path: str) -> str:
    """Where the tests of a module are."""
    folder, _, name = path.rpartition("/")
    return f"tests/{folder}/test_{name}"


MODULES = [
    module
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
    if not (module := path.relative_to(ROOT).as_posix()).endswith(("__init__.py", "__main__.py"))
]


@pytest.mark.parametrize("module", [module for module in MODULES if module not in DATA])
def test_every_module_has_its_tests(module: str) -> None:
    """In the file of its name, or in the one that stands above."""
    assert (ROOT / ELSEWHERE.get(module, mirrored(module))).is_file()


def test_exceptions_are_exceptions() -> None:
    """A module that has gone, or has got tests of its own, is none any more."""
    exceptions = [*DATA, *ELSEWHERE]
    assert not [module for module in exceptions if module not in MODULES or (ROOT / mirrored(module)).exists()]


def test_tests_do_not_take_from_tests() -> None:
    """What several need lies in a conftest or in a module without tests."""
    takers = [
        path.relative_to(ROOT).as_posix()
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.startswith("from tests.") and ".test_" in line.split()[1]
    ]
    assert not takers
