"""How sweeps are compiled and shared between threads."""

import numba
import numpy as np
import pytest
import torch

from inphase.retrieval import passes, sweeps
from inphase.retrieval import threads as team
from inphase.retrieval.engine import _single_threads

SHAPE = (2, 30, 32, 34)  # two starts of two pieces each, the second unfinished, as is the last block


@pytest.fixture
def threads():
    """Sets torch's number of threads; the old one comes back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def _everything():
    """What every pass makes of the same volumes."""
    rng = np.random.default_rng(0)
    a, b, c = (
        torch.from_numpy((rng.standard_normal(SHAPE) + 1j * rng.standard_normal(SHAPE)).astype(np.complex64))
        for _ in range(3)
    )
    support = torch.from_numpy(rng.random(SHAPE) < 0.01)
    constraint = torch.from_numpy(rng.random(SHAPE[1:]).astype(np.float32) * 3)
    constraint[0], constraint[1] = -torch.inf, -1.0
    factors = torch.tensor([0.5, -2.0], dtype=torch.float64)
    windows = [torch.from_numpy(rng.random(n).astype(np.float32)) for n in SHAPE[1:]]

    def on(change, volume, *rest):
        """The volume after a change in place."""
        volume = volume.clone()
        change(volume, *rest)
        return volume

    power = passes.intensity(a)
    smooth = torch.empty_like(a)
    mean = passes.amplitude(a, smooth)
    return {
        "confine": on(passes.confine, a, b, support),
        "feed_back": on(passes.feed_back, a, b, support, 0.8, -0.6),
        "relax": on(passes.relax, a, support, 0.7),
        "difference_map": on(passes.difference_map, a, b, c, support, 0.7),
        "curvature": passes.curvature(a, b, constraint),
        "step": on(passes.step, a, b, factors),
        "project_modulus": on(passes.project_modulus, a, constraint),
        "project_into": passes.project_modulus(a, constraint, torch.empty_like(a)),
        "coherent": passes.coherent(a, power, constraint),
        "intensity": power,
        "overlap": passes.overlap(a, constraint),
        "overlap_blurred": passes.overlap(b, constraint, power),
        "quotient": on(passes.quotient, power, constraint),
        "amplitude": torch.cat([mean, smooth.real.flatten()]),
        "weigh": on(passes.weigh, a, windows),
        "moments": passes.intensity_weighted_amplitude(smooth, mean),
        "above": passes.above(a, factors)[0],
    }


def test_any_number_of_threads_gives_the_same_bits(threads):
    """Every sweep there is, its sums included, on one, two and three threads."""
    assert set(_everything()) == {name for name, value in vars(sweeps).items() if isinstance(value, team.Sweep)}
    threads(1)
    alone = _everything()
    for count in (2, 3):
        threads(count)
        for name, result in _everything().items():
            assert torch.equal(result, alone[name]), (name, count)


def test_torch_lends_its_threads(threads, monkeypatch):
    """With two threads the team is entered, from a start's own thread it is not,
    and neither for a volume of one piece.
    """
    entered = []
    monkeypatch.setattr(team, "_parallel", lambda *arguments: entered.append(arguments))
    volume = torch.ones(1, 2 * team.PIECE, dtype=torch.complex64)
    threads(2)
    passes.intensity(volume[:, : team.PIECE].contiguous())
    with _single_threads(2) as pool:
        assert pool.submit(passes.intensity, volume).result().sum() == volume.numel()
    assert not entered
    passes.intensity(volume)
    assert [count for _, _, count, _ in entered] == [2]


@pytest.mark.parametrize(
    "wrong",
    [
        torch.ones(1, 8, dtype=torch.complex128),
        torch.ones(1, 9, dtype=torch.complex64),
        torch.ones(1, 16, dtype=torch.complex64)[:, ::2],
    ],
    ids=["type", "size", "strides"],
)
def test_an_operand_that_does_not_fit_is_refused(wrong):
    """A sweep gets addresses: it must not read beyond, nor take one type for another."""
    field = torch.ones(1, 8, dtype=torch.complex64)
    with pytest.raises(TypeError, match="step"):
        passes.step(field, wrong, torch.ones(1))


def test_a_read_only_installation_compiles_without_a_cache(monkeypatch):
    """numba refuses to cache where it may not write; the sweep then works uncached instead of failing at import."""
    cfunc = numba.cfunc

    def refusing(*args, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return cfunc(*args, **options)

    monkeypatch.setattr(numba, "cfunc", refusing)
    power = torch.zeros(1, 4)
    team.Sweep(sweeps.intensity._body, sweeps.intensity._kinds)(torch.full((1, 4), 2j), power)
    assert power.tolist() == [[4.0] * 4]
