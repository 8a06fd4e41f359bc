"""A result in a line: what matters of it, for whoever prints it."""

from collections.abc import Mapping, Sequence
from typing import Any


def summary(shape: Sequence[int], document: Mapping[str, Any]) -> str:
    """Size, error, support and trust of a result. document: the report, or a job document around it."""
    metrics, trust = document["metrics"], document["trust"]
    size = document["preprocess"]["voxel_size_m"]
    told = [f"{_by(shape)} voxels" + (f" of {_by([f'{1e9 * side:.3g}' for side in size])} nm" if size else "")]
    if (final := metrics["final"]) is not None:
        noise = metrics["noise_chi2"]
        beside = "" if noise is None else f" (noise leaves {noise:.2g})"
        told.append(f"chi2 {final['chi2']:.3g}{beside}, support of {final['support_voxels']} voxels")
    if trust is not None:
        right = trust.get("probability")
        likely = "" if right is None else f" (right with a probability of {right:.0%})"
        reasons = f": {'; '.join(trust['reasons'])}" if trust["reasons"] else ""
        told.append(f"trust {trust['level']}{likely}{reasons}")
    return "; ".join(told)


def _by(sides: Sequence[object]) -> str:
    return " x ".join(str(side) for side in sides)
