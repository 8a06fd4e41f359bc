"""Runs in the rival's environment, not in ours: JSON requests line by line (rival.Request), one JSON answer each.

python rival_worker.py THREADS
"""

import json
import os
import sys
import time
from typing import Any

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = sys.argv[1]
os.environ["MPLBACKEND"] = "Agg"  # it imports its live viewer

import numpy as np
import torch
from cohere_core.controller import phasing


def run(request: dict[str, Any]) -> dict[str, list[float]]:
    """Every start of one request."""
    images, supports, seconds = [], [], []
    for start in range(request["starts"]):
        torch.manual_seed(request["seed"] + start)
        engine = phasing.create_rec(dict(request["settings"]), request["data"], request["backend"], -1, debug=True)
        begin = time.perf_counter()
        engine.iterate()
        seconds.append(time.perf_counter() - begin)
        images.append(np.asarray(engine.get_image()))
        supports.append(np.asarray(engine.get_support()))
    if request["out"]:
        np.savez(request["out"], images=np.stack(images), supports=np.stack(supports))
    return {"seconds": seconds}


def main() -> None:
    """Answers go to the real standard output; what the rival prints goes nowhere."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    torch.set_num_threads(int(sys.argv[1]))
    for line in sys.stdin:
        answers.write(json.dumps(run(json.loads(line))) + "\n")
        answers.flush()


main()
