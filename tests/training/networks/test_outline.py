"""training.networks.outline: the iterations against numpy's, and what they find in outlines, also as a graph."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from inphase import fourier
from inphase.models.repository import Repository
from inphase.models.session import Session
from training.data import sample
from training.networks import outline
from training.networks.outline import Fill
from training.objectives.truth import likeness
from training.settings import FitSettings
from training.simulate.domains import DomainSettings

MODELS = Path(__file__).parents[3] / "models"
SETTINGS = FitSettings(frame=(64, 64), box=(32, 32), domains=DomainSettings(domains=(8, 8)))
Image = NDArray[np.complex128]


@pytest.fixture(scope="module")
def crystals() -> Tensor:
    return sample(SETTINGS, 5, 0, 4, torch.device("cpu")).objects


def pattern(crystals: Tensor) -> tuple[Tensor, Tensor]:
    """Its modulus, and what is known of it: all but a gap of two pixels and one in fifty."""
    known = (torch.rand(len(crystals), 64, 64, generator=torch.Generator().manual_seed(1)) > 0.02).float()
    known[:, 40:42] = 0
    framed = np.zeros((len(crystals), 64, 64), complex)
    framed[:, 16:48, 16:48] = crystals.numpy()
    return torch.from_numpy(np.abs([fourier.forward(one) for one in framed])).float() * known, known


def by_numpy(begun: Image, inside: NDArray[np.bool_], modulus: NDArray[np.float64], known: NDArray[np.bool_]) -> Image:
    """One start by Fienup's definition: seven iterations in the support, then a round in one drawn anew; in a room of
    48 pixels, outside of which everything is cut away each time.
    """
    room = np.zeros((64, 64), bool)
    room[8:56, 8:56] = True

    def projected(x: Image) -> Image:
        field = fourier.forward(x)
        target = np.where(known, modulus * np.exp(1j * np.angle(field)), field)
        return np.where(room, fourier.backward(target), 0)

    def hybrid(x: Image, support: NDArray[np.bool_], times: int) -> Image:
        for _ in range(times):
            found = projected(x)
            x = np.where(support, found, x - outline.BETA * found) * room
        x = x * support
        for _ in range(outline.EVEN):
            x = projected(x) * support
        return x

    size = np.abs(fourier.forward(begun))
    x = hybrid(begun * (size * modulus).sum() / (size**2 * known).sum(), inside, 7)
    smooth = gaussian_filter(np.abs(x), outline.SIGMA, mode="constant", truncate=12)
    support = smooth >= outline.THRESHOLD * np.sqrt((smooth[room] ** 4).sum() / (smooth[room] ** 2).sum())
    return hybrid(x, support & room, outline.ROUND)


def test_iterations_are_what_numpy_makes_of_the_definition(crystals: Tensor) -> None:
    """With matrices in single precision, over 33 iterations of a chaotic map: 1e-3 of the largest value. What is not
    known stays.
    """
    modulus, known = pattern(crystals)
    inside = (crystals.abs() > 0.25).float()
    fill = Fill(64, starts=1, iterations=7, kept=1, rounds=1, room=48).double()
    found = torch.complex(*fill(inside[:, None].double(), modulus.double(), known.double()).unbind(1)).numpy()
    for i in range(2):
        support, begun = np.zeros((64, 64), bool), np.zeros((64, 64), complex)
        support[16:48, 16:48] = inside[i] > 0
        begun[16:48, 16:48] = inside[i].numpy() * np.exp(1j * fill.phases[0].double().numpy())
        expected = by_numpy(begun, support, modulus[i].double().numpy(), known[i].numpy() > 0)[16:48, 16:48]
        np.testing.assert_allclose(found[i], expected, atol=1e-3 * np.abs(expected).max())


def test_the_best_start_is_taken(crystals: Tensor) -> None:
    """Of each crystal that whose far field comes nearest: no other start alone ends nearer."""
    modulus, known = pattern(crystals)
    inside = (crystals.abs() > 0.25).float()
    many = Fill(64, starts=3, iterations=8, kept=3, rounds=1, room=48)
    found = many(inside[:, None].expand(-1, 3, -1, -1), modulus, known)
    alone = []
    for start in range(3):
        one = Fill(64, starts=1, iterations=8, kept=1, rounds=1, room=48)
        one.phases.copy_(many.phases[start])
        alone.append(one(inside[:, None], modulus, known))
    misfits = torch.stack([misfit(objects, modulus, known) for objects in alone])
    best = misfits.argmin(0).tolist()
    assert len(set(best)) > 1  # else anything would do
    expected = torch.stack([alone[start][i] for i, start in enumerate(best)])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3 * float(expected.abs().max()))


def misfit(objects: Tensor, modulus: Tensor, known: Tensor) -> Tensor:
    framed = np.zeros((len(objects), 64, 64), complex)
    framed[:, 16:48, 16:48] = torch.complex(*objects.unbind(1)).numpy()
    far = torch.from_numpy(np.abs([fourier.forward(one) for one in framed]))
    return ((far - modulus) * known).square().sum((1, 2))


def test_crystals_of_eight_domains_are_found_within_their_outline(crystals: Tensor) -> None:
    """All four, which from the outline filled evenly have likenesses of 0.6 and less."""
    modulus, known = pattern(crystals)
    inside = (crystals.abs() > 0.25).float()
    fill = Fill(64, starts=12, iterations=30, kept=3, rounds=3, room=48)
    found = torch.complex(*fill(inside[:, None].expand(-1, 12, -1, -1), modulus, known).unbind(1))
    assert float(likeness(crystals, inside + 0j).sqrt().max()) < 0.6
    assert float(likeness(crystals, found).sqrt().min()) > 0.97


def test_the_shipped_graph_finds_crystals() -> None:
    """Three of four at the least, none of which training has seen; in float16 weights, by onnxruntime."""
    version = Repository(MODELS, "inphase-2d").resolve(None)
    batch = sample(SETTINGS, 7, 0, 4, torch.device("cpu"))
    features = {name: value.numpy() for name, value in batch.features(version.card.inputs).items()}
    found = Session(version, threads=1).infer(features)
    images = torch.polar(*(torch.from_numpy(np.asarray(found[name])) for name in ("amplitude", "phase")))
    assert int((likeness(batch.objects, images).sqrt() > 0.95).sum()) >= 3
