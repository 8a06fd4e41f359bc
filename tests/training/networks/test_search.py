"""training.networks.search: against the same iterations by numpy and scipy, what they find,
and the graph they become.
"""

from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from inphase.retrieval.passes import flip_amplitude
from tests.training.networks.pairs import pair
from training.networks import search
from training.networks.coherence import TYPICAL, Coherence
from training.networks.far_field import lines, parts
from training.networks.search import Retrieval, Search
from training.objectives.truth import nearest, squared_correlation, subvoxel_aligned
from training.simulate.detector import blurred, coherence_lines
from training.transform import embed, forward

FRAME = (64, 64, 64)
SIGMAS = (2.0, 1.6, 1.2)
Volume = NDArray[np.complex128]


@pytest.fixture(scope="module")
def crystal() -> Tensor:
    """A block with a cut corner and a phase of 2 rad across, (1, 32, 32, 32)."""
    x, y, z = torch.meshgrid(*[torch.arange(32.0) - 16] * 3, indexing="ij")
    inside = (x.abs() <= 9) & (y.abs() <= 8) & (z.abs() <= 7) & (x + y + 0.5 * z <= 10)
    return torch.polar(inside.float(), 0.1 * x + 0.004 * y * z)[None]


@pytest.fixture(scope="module")
def pattern(crystal: Tensor) -> tuple[Tensor, Tensor]:
    """Its modulus, and what is known of it: all but a gap of three pixels and one in a hundred."""
    known = (torch.rand(1, *FRAME, generator=torch.Generator().manual_seed(1)) > 0.01).float()
    known[:, :, 40:43] = 0
    return forward(embed(crystal, FRAME)).abs() * known, known


def by_numpy(start: Volume, modulus: NDArray[np.float64], known: NDArray[np.bool_]) -> Volume:
    """Two rounds and the end of them by the definition of RAAR, beta / 2 (R_S R_M + 1) + (1 - beta) P_M;
    (n, n, n) each.

    Whatever is outside the room is cut away each time.
    """
    room = np.zeros(start.shape, dtype=bool)
    inner = slice(*{24: (2, 22), 32: (3, 29)}[len(start)])
    room[inner, inner, inner] = True
    widths = [sigma * len(start) / FRAME[0] for sigma in SIGMAS]

    def centred(transform: Callable[..., Volume], x: Volume) -> Volume:
        return np.fft.fftshift(transform(np.fft.ifftshift(x), norm="ortho"))

    def to_modulus(x: Volume) -> Volume:
        field = centred(np.fft.fftn, x)
        return room * centred(np.fft.ifftn, np.where(known, modulus * np.exp(1j * np.angle(field)), field))

    def support(x: Volume, width: float) -> NDArray[np.bool_]:
        smooth = gaussian_filter(np.abs(x), width, mode="constant", truncate=12)
        seen = smooth[room]
        inside: NDArray[np.bool_] = smooth >= search.THRESHOLD * np.sqrt((seen**4).sum() / (seen**2).sum())
        return inside & room

    inside = support(start * room, widths[0])
    x = start * inside
    for width in widths[1:]:
        for _ in range(search.EVERY):
            projected = to_modulus(x)
            reflected = 2 * projected - x
            onto_support = 2 * reflected * inside - reflected
            x = search.BETA / 2 * (onto_support + x) + (1 - search.BETA) * projected
        inside = support(projected, width)
    for _ in range(search.LAST):
        x = to_modulus(x) * inside
    return x


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Light is taken for coherent."""
    monkeypatch.setattr(Coherence, "coherent", lambda self, decay, field, modulus: modulus)
    monkeypatch.setattr(Coherence, "blurred", lambda self, decay, intensity: intensity)


@pytest.mark.usefixtures("blind")
@pytest.mark.parametrize("side", [24, 32])
def test_rounds_are_what_numpy_makes_of_the_definition(
    side: int, crystal: Tensor, pattern: tuple[Tensor, Tensor]
) -> None:
    """From a disturbed crystal in another scale; single precision over 28 iterations of a chaotic map:
    1e-3 of the largest value.
    """
    modulus, known = pattern
    generator = torch.Generator().manual_seed(2)
    start = crystal * torch.polar(torch.ones(()), torch.rand(crystal.shape, generator=generator))
    retrieval = Retrieval(64, side, SIGMAS)
    kept = retrieval.centre(modulus, known, 1)
    begun = (*retrieval.begun(lines(pair(5 * start)), kept), torch.full((1, 3), TYPICAL))
    states = retrieval.rounds(tuple(x[None] for x in begun), kept, 1)
    found = parts(retrieval.box.adjoint(retrieval.ended(tuple(x[0] for x in states), kept, search.LAST)[0]))

    inner = slice(32 - side // 2, 32 + side // 2)
    q = (np.arange(side) - side // 2) / side
    window = np.exp(-0.5 * (q / search.WINDOW) ** 2)
    limited = known[0, inner, inner, inner].numpy() > 0
    target = modulus[0, inner, inner, inner].numpy() * window[:, None, None] * window[:, None] * window
    field = forward(embed(start, FRAME))[0, inner, inner, inner].numpy().astype(complex)
    size = np.abs(field)
    field *= (size * target * limited).sum() / (size**2 * limited).sum()
    begun = np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(field), norm="ortho"))
    coarse = by_numpy(begun, target, limited)
    whole = embed(torch.from_numpy(np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(coarse), norm="ortho"))), FRAME)
    box = slice(16, 48)
    expected = pair(forward(whole, inverse=True)[None, box, box, box])
    assert (found - expected).abs().max() < 1e-3 * expected.abs().max()


def likeness(crystal: Tensor, found: Tensor) -> float:
    """Their correlation, sub-voxel shifts and twins aside."""
    return float(squared_correlation(subvoxel_aligned(nearest(crystal, found), found), found).sqrt())


def test_it_finds_the_crystal_from_a_wrong_phase(crystal: Tensor, pattern: tuple[Tensor, Tensor]) -> None:
    """From its shape without its phase, 0.87: to better than 0.95, where the truth itself,
    seen through the window, has 0.97.
    """
    start = crystal.abs() + 0j
    found = torch.complex(*Search(64, [(1, 6, 4)])(pair(start), *pattern)[0].unbind(1))
    assert likeness(crystal, start) < 0.9
    assert likeness(crystal, found) > 0.95


def test_mixed_precision_stays_outside(crystal: Tensor, pattern: tuple[Tensor, Tensor]) -> None:
    """bfloat16 has too few digits for a transform and for a fit: a search is the same under autocast."""
    search, start = Search(64, [(2, 1, 3), (1, 1, 4)]), pair(crystal.abs() + 0j)
    expected, light = search(start, *pattern)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, decay = search(start, *pattern)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(decay, light)


LENGTHS = torch.tensor([[16.0, 20.0, 18.0]])  # voxels; the crystal has 19, 17 and 15


def in_light(crystal: Tensor, pattern: tuple[Tensor, Tensor]) -> tuple[float, Tensor]:
    """How like the crystal is what a search finds from its shape in light of those coherence lengths, and the decay."""
    seen = blurred(pattern[0].square(), coherence_lines(LENGTHS, FRAME)).clamp_min(0).sqrt()
    found, decay = Search(64, [(1, 8, 4)])(pair(crystal.abs() + 0j), seen, torch.ones_like(seen))
    return likeness(crystal, torch.complex(*found.unbind(1))), decay


def test_it_finds_how_coherent_the_light_is(crystal: Tensor) -> None:
    """The coherence lengths to a quarter, where about half of the crystal's autocorrelation is lost at its ends."""
    modulus = forward(embed(crystal, FRAME)).abs()
    found, decay = in_light(crystal, (modulus, torch.ones_like(modulus)))
    np.testing.assert_allclose(32 / decay.sqrt(), LENGTHS, rtol=0.25)
    assert found > 0.95


@pytest.mark.usefixtures("blind")
def test_without_it_the_object_takes_up_what_is_missing(crystal: Tensor) -> None:
    """The same search that takes the light for coherent stays below what the other reaches."""
    modulus = forward(embed(crystal, FRAME)).abs()
    assert in_light(crystal, (modulus, torch.ones_like(modulus)))[0] < 0.95


def test_groups_of_starts_find_what_all_together_find(
    crystal: Tensor, pattern: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two crystals with six starts each, by groups of two:
    to what another order of sums may change in 29 iterations of a chaotic map.
    """
    starts = pair(torch.cat([crystal.abs() + 0j, crystal.abs().flip(1) + 0j]))
    patterns = [x.expand(2, -1, -1, -1) for x in pattern]
    stages = [(6, 1, 3), (1, 1, 4)]
    together, light = Search(64, stages)(starts, *patterns)
    monkeypatch.setattr(search, "TOGETHER", 2 * 24**3)
    assert Search(64, stages).stages[0].group(6) == 2
    found, decay = Search(64, stages)(starts, *patterns)
    assert (found - together).abs().max() < 1e-3 * together.abs().max()
    torch.testing.assert_close(decay, light, atol=1e-3, rtol=0)


def test_the_flipped_amplitude_is_that_of_the_recipes(crystal: Tensor) -> None:
    """As `inphase.retrieval` AF has it, of a crystal with stripes of 40 % and one hot voxel; single precision."""
    x = torch.arange(32.0)
    striped = crystal * (1 + 0.4 * torch.cos(1.1 * x + 0.5))
    striped[0, 16, 16, 16] = 3
    expected = torch.empty_like(striped)
    flip_amplitude(expected, striped.clone(), torch.ones(striped.shape, dtype=torch.bool))
    found = parts(search.flipped(lines(pair(striped))))
    torch.testing.assert_close(found, pair(expected), atol=1e-5, rtol=0)
    assert (expected - striped).abs().max() > 0.5


def test_of_several_trials_the_best_is_taken(crystal: Tensor, pattern: tuple[Tensor, Tensor]) -> None:
    """From half of the crystal one retrieval does not find the rest in a round (0.75); of six one does (0.93)."""
    half = crystal.clone()
    half[:, :16] = 0
    alone, best = (
        torch.complex(*Search(64, stages)(pair(half), *pattern)[0].unbind(1))
        for stages in ([(1, 1, 4)], [(6, 1, 3), (2, 1, 4)])
    )
    assert likeness(crystal, alone) < 0.88 < likeness(crystal, best)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:# The axis name")
@pytest.mark.slow
@pytest.mark.timeout(900)  # the export takes more than a minute of a free core
def test_the_graph_is_a_loop_and_finds_the_same(
    crystal: Tensor, pattern: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop for a stage: 1e-4 of the largest value, twenty times what rounding leaves,
    which processors may do otherwise.

    Exported with two crystals, asked with one. Its two starts go one after the other, and the better one is chosen.
    Rounds of one iteration instead of ten, and one stage, since all of it is written out in the graph, and an export
    takes as much longer; each export of a network is compared with the network as a whole.
    """
    monkeypatch.setattr(search, "EVERY", 1)
    monkeypatch.setattr(search, "LAST", 1)
    monkeypatch.setattr(search, "TOGETHER", 24**3)
    start, (modulus, known) = pair(crystal.abs() + 0j), pattern
    arguments = {"box": start, "modulus": modulus, "known": known}
    stages = [(2, 2, 3)]
    batch = torch.export.Dim("batch", min=1, max=8)
    program = torch.onnx.export(
        Search(64, stages).eval(),
        kwargs={name: value.expand(2, *value.shape[1:]).clone() for name, value in arguments.items()},
        dynamic_shapes={name: {0: batch} for name in arguments},
        dynamo=True,
        verbose=False,
        opset_version=18,
    )
    assert program is not None
    graph = program.model_proto
    assert sum(node.op_type == "Loop" for node in graph.graph.node) == 1
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    found, decay = session.run(None, {name: value.numpy() for name, value in arguments.items()})
    expected, light = (x.numpy() for x in Search(64, stages)(start, modulus, known))
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    np.testing.assert_allclose(decay, light, atol=1e-4)
