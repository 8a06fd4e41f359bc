"""What several starts came to, as the report and the result have it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inphase.ambiguity import Canonical, carried
from inphase.imaging import report
from inphase.resolution import Curve
from inphase.retrieval.ensemble import Ensemble, Member


def arrays(ensemble: Ensemble | None, alone: Canonical, stored: Canonical) -> dict[str, NDArray[Any]]:
    """The arrays that a result has of an ensemble (`inphase.imaging.arrays`);
    none of them where less than two solutions agree, or the result lies on a finer grid than they.

    alone, stored: the best one's canonical form, and what a series made of it: average and modes follow it there.
    """
    if ensemble is None or ensemble.consensus is None or ensemble.consensus.average.shape != stored.object.shape:
        return {}
    found = ensemble.consensus
    return {
        "average": carried(found.average, alone, stored),
        "modes": np.stack([carried(mode, alone, stored) for mode in found.modes]),
        "prtf": _columns(found.prtf),
        "fsc": _columns(found.fsc),
    }


def reported(ensemble: Ensemble | None) -> report.Ensemble | None:
    """The report's part on several starts; None where there was one."""
    if ensemble is None:
        return None
    found = ensemble.consensus
    return report.part(
        report.Ensemble,
        ensemble,
        members=tuple(_member(member) for member in ensemble.members),
        mode_weights=None if found is None else tuple(found.weights.tolist()),
        resolutions=None if found is None else tuple(report.part(report.Resolution, r) for r in found.resolutions),
    )


def _columns(curve: Curve) -> NDArray[np.float64]:
    """(n, 2): q, in 1/m where the geometry is known and else in fractions of Nyquist, and the value there."""
    return np.stack([curve.q, curve.values], axis=1)


def _member(member: Member) -> report.Member:
    metrics = member.metrics
    return report.part(
        report.Member,
        metrics,
        kind=member.kind,
        correlation=member.correlation,
        twin=member.alignment is not None and member.alignment.twin,
        accepted=not member.rejected,
        rejected=member.rejected,
    )
