"""A run that was interrupted goes on where it stood."""

import io
from dataclasses import replace

import numpy as np
import pytest

from inphase.errors import DataError
from inphase.ptycho.checkpoint import Checkpoint
from inphase.ptycho.engine import Progress, reconstruct
from inphase.ptycho.options import Options
from inphase.ptycho.reconstruction import Reconstruction
from tests.inphase.ptycho.scenes import measured, small

SCENE = measured(small(frames=5))


def stored(checkpoint: Checkpoint) -> Checkpoint:
    """Through a file."""
    stream = io.BytesIO()
    np.savez(stream, **checkpoint.to_arrays())
    stream.seek(0)
    with np.load(stream, allow_pickle=False) as held:
        return Checkpoint.from_arrays(dict(held))


def run(options: Options, resume: Checkpoint | None = None) -> tuple[Reconstruction, list[Checkpoint]]:
    """The result, and a checkpoint after each iteration."""
    kept: list[Checkpoint] = []

    def keep(progress: Progress) -> None:
        kept.append(stored(progress.checkpoint()))

    return reconstruct(SCENE, options, progress=keep, resume=resume), kept


@pytest.mark.parametrize(
    "options",
    [
        Options("2*EPIE+2*RPIE", modes=2, turn=False),
        Options("4*EPIE", positions_start=1, search_px=2, seed=3),
    ],
    ids=["modes, in the middle and at the end of a step", "positions and the eight ways"],
)
def test_it_goes_on_to_the_last_bit(options: Options) -> None:
    """From every iteration on."""
    whole, kept = run(options)
    assert [one.iteration for one in kept] == [1, 2, 3, 4]
    for one in kept:
        found, rest = run(options, one)
        assert len(rest) == 4 - one.iteration
        for name in ("object", "probe", "coverage", "positions_px"):
            assert getattr(found, name).tobytes() == getattr(whole, name).tobytes(), (one.iteration, name)
        assert replace(found.report, seconds=0) == replace(whole.report, seconds=0)


@pytest.mark.parametrize("recipe", ["4*RAAR", "4*ADAM", "4*LBFGS"])
def test_solvers_that_remember_more_begin_anew_from_the_image(recipe: str) -> None:
    """The image is as good, though not the same."""
    options = Options(f"4*EPIE+{recipe}", turn=False)
    whole, kept = run(options)
    found, _ = run(options, kept[5])
    assert found.report.history[:6] == whole.report.history[:6]
    assert len(found.report.history) == 8
    assert found.report.r_factor < 1.3 * whole.report.r_factor  # two of four iterations are its first again


def test_a_checkpoint_of_another_call_is_refused() -> None:
    """Recipe, seed, modes; and what is no checkpoint."""
    _, (one, _) = run(Options("2*EPIE", turn=False))
    for other in (Options("3*EPIE", turn=False), Options("2*EPIE", turn=False, seed=1), Options("2*EPIE", modes=2)):
        with pytest.raises(DataError, match="another recipe or of another scan"):
            reconstruct(SCENE, other, resume=one)
    with pytest.raises(DataError, match="no checkpoint"):
        Checkpoint.from_arrays({"iteration": np.array(3)})
    with pytest.raises(DataError, match="do not belong together"):
        Checkpoint.from_arrays(one.to_arrays() | {"history": np.zeros(7)})
