"""What iterations make of the predictions: beside other starts, and on central slices of measured crystals."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
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
from training.evaluate.images import Neighbours
from training.evaluate.measurements import REAL_CASES
from training.transform import embed, far_modulus

RECIPE = "wu-600"


def four_ways(network: Network, pattern: int, repeats: int, database: int) -> dict[str, Any]:
    """W6 on one pattern: chi2 by iteration from four initialisations, the random ones repeated."""
    batch = network.crystals(pattern + 1)
    modulus = np.ascontiguousarray(far_modulus(batch.objects[pattern], FRAME).numpy())
    problem = Problem(modulus, np.zeros(FRAME, np.uint8), None, 0.0)
    image = embed(network.predict(batch)[pattern], FRAME).numpy()
    guess = from_prediction(np.abs(image), np.angle(image), of_patterns(network.version.card).support_threshold)
    search = Neighbours(torch.from_numpy(modulus)[None])
    for known in training_patterns(network, database):
        search.add(far_modulus(known.objects, FRAME))
    nearest = embed(known_object(network, int(search.number[0])), FRAME).numpy()
    rectangle = np.zeros(FRAME, bool)
    rectangle[16:48, 16:48] = True
    ways = {
        "(i) random phase, square support": randomised(rectangle, repeats),
        "(ii) random phase, network's support": randomised(guess.supports[0], repeats),
        "(iii) network's phase and support": guess,
        "(iv) nearest neighbour's phase and support": from_prediction(np.abs(nearest), np.angle(nearest), 0.1),
    }
    recipe, found = recipes.resolve(RECIPE), {}
    for name, starts in ways.items():
        solutions = retrieve(problem, recipe, starts)
        curves = np.array([[s.chi2 for s in solution.history] for solution in solutions])
        final = [residue(solution.object, modulus) for solution in solutions]
        begin = [residue(one, modulus) for one in starts.objects]
        found[name] = {
            "iterations": [s.iteration for s in solutions[0].history],
            "mean": curves.mean(0).tolist(), "std": curves.std(0).tolist(),
            "begin": float(np.mean(begin)), "final": final,
        }  # fmt: skip
    return {"pattern": pattern, "ways": found}


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
