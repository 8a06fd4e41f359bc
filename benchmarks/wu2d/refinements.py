"""What iterations make of the predictions: beside other starts, and on central slices of measured crystals."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import inphase
from benchmarks.wu2d.network import FRAME, Network, known_object, training_patterns
from inphase import fourier
from inphase.imaging.options import Start
from inphase.models.card import of_patterns
from inphase.models.repository import Repository
from inphase.models.session import Sessions
from inphase.retrieval import recipe as recipes
from inphase.retrieval.engine import retrieve
from inphase.retrieval.problem import Problem
from inphase.retrieval.starts import Kind, Starts, from_prediction
from inphase.retrieval.terms import Recipe
from training.evaluate.images import Neighbours
from training.evaluate.measurements import REAL_CASES
from training.transform import embed, far_modulus

RECIPE = "wu-600"
OTHERS = 10  # random starts of each pattern but the first


def four_ways(network: Network, patterns: int, repeats: int, database: int) -> list[dict[str, Any]]:
    """W6: chi2 by iteration from four initialisations of each pattern, the random ones repeated: `repeats` times on the
    first pattern, OTHERS times on each of the others.
    """
    batch = network.crystals(patterns)
    moduli = far_modulus(batch.objects, FRAME)
    search = Neighbours(moduli)
    for known in training_patterns(network, database):
        search.add(far_modulus(known.objects, FRAME))
    images = network.predict(batch)
    threshold = of_patterns(network.version.card).support_threshold
    recipe, found = recipes.resolve(RECIPE), []
    for i, modulus in enumerate(moduli.numpy()):
        image = embed(images[i], FRAME).numpy()
        nearest = embed(known_object(network, int(search.number[i])), FRAME).numpy()
        starts = initialisations(image, nearest, threshold, OTHERS if i else repeats)
        problem = Problem(np.ascontiguousarray(modulus), np.zeros(FRAME, np.uint8), None, 0.0)
        found.append({name: course(problem, recipe, way) for name, way in starts.items()})
    return found


def initialisations(
    image: NDArray[np.complex64], nearest: NDArray[np.complex64], threshold: float, repeats: int
) -> dict[str, Starts]:
    """The four of figure 5, of the network's image and the nearest neighbour's, both on the frame."""
    rectangle = np.zeros(FRAME, bool)
    rectangle[16:48, 16:48] = True
    guess = from_prediction(np.abs(image), np.angle(image), threshold)
    return {
        "(i) random phase, square support": randomised(rectangle, repeats),
        "(ii) random phase, network's support": randomised(guess.supports[0], repeats),
        "(iii) network's phase and support": guess,
        "(iv) nearest neighbour's phase and support": from_prediction(np.abs(nearest), np.angle(nearest), 0.1),
    }


def course(problem: Problem, recipe: Recipe, starts: Starts) -> dict[str, Any]:
    """chi2 of the modulus in the beginning, at the sampled iterations as mean and deviation, and in the end."""
    solutions = retrieve(problem, recipe, starts)
    curves = np.array([[s.chi2 for s in solution.history] for solution in solutions])
    return {
        "iterations": [s.iteration for s in solutions[0].history],
        "mean": curves.mean(0).tolist(), "std": curves.std(0).tolist(),
        "begin": float(np.mean([residue(one, problem.modulus) for one in starts.objects])),
        "final": [residue(solution.object, problem.modulus) for solution in solutions],
    }  # fmt: skip


def randomised(support: NDArray[np.bool_], count: int) -> Starts:
    """Unit amplitude and independent random phases within a support."""
    phases = np.random.default_rng(0).uniform(-np.pi, np.pi, (count, *support.shape))
    objects = np.where(support, np.exp(1j * phases), 0).astype(np.complex64)
    kind: Kind = "random"
    return Starts(objects, np.broadcast_to(support, objects.shape), kind)


def residue(obj: NDArray[np.complex64], modulus: NDArray[np.float32]) -> float:
    """chi2 of an object's modulus after the scale that fits best."""
    found = np.abs(fourier.forward(obj))
    cosine = float((found * modulus).sum()) / float(np.linalg.norm(found) * np.linalg.norm(modulus))
    return 1 - cosine**2


def measured_slices(models: Path, name: str) -> list[dict[str, Any]]:
    """Central slices of the measured crystals, before and after refinement; empty where they are not there."""
    sessions, found = Sessions(Repository(models, name), threads=1), []
    for case in REAL_CASES:
        if not case.present:
            continue
        row: dict[str, Any] = {"title": case.title}
        for refine in ("none", RECIPE, "standard"):
            start: Start = "random" if refine == "standard" else "network"
            report = inphase.reconstruct(
                case.read(),
                slice="center",
                model=name,
                start=start,
                refine=refine,
                models=sessions,
                domain=case.options.domain,
                preprocess=case.options.preprocess,
            ).report
            row[refine] = report.metrics.final.chi2 if report.metrics.final else None
            row["noise"] = report.metrics.noise_chi2
        found.append(row)
    return found
