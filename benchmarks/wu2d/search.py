"""What a search for the nearest training pattern gives, by the number of patterns that it knows."""

import time
from typing import Any

import torch

from benchmarks.wu2d.network import FRAME, Network, known_object, training_patterns
from benchmarks.wu2d.quality import summary
from training.evaluate.images import Neighbours, doublings, scores
from training.transform import far_modulus


def neighbours(network: Network, count: int, database: int) -> dict[str, Any]:
    """W3, W4: a search among the training patterns, by the size of the database, and what its answers are worth."""
    wanted = network.crystals(count)
    search = Neighbours(far_modulus(wanted.objects, FRAME))
    sizes, curve, seconds = list(doublings(1000, database)), [], 0.0
    for known in training_patterns(network, database):
        moduli = far_modulus(known.objects, FRAME)
        started = time.perf_counter()
        search.add(moduli)
        seconds += time.perf_counter() - started
        while sizes and search.size >= sizes[0] - network.settings.batch:
            curve.append([search.size, float(search.error.mean())])
            sizes.pop(0)
    best = torch.stack([known_object(network, int(i)) for i in search.number])
    return {"curve": curve, "ms_per_pattern": 1e3 * seconds / count, **summary(scores(best, wanted.objects, FRAME))}
