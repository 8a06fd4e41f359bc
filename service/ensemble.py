"""An ensemble as the job document and the result file have it."""

from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from inphase.ambiguity import Canonical, carried
from inphase.resolution import Curve, Resolution
from inphase.retrieval.ensemble import Ensemble, Member
from service.document import EnsemblePart, MemberPart, ResolutionPart

ARRAYS = ("average", "modes", "prtf", "fsc")


def arrays(ensemble: Ensemble | None, alone: Canonical, stored: Canonical) -> dict[str, NDArray[Any]]:
    """The arrays named in ARRAYS; none of them where less than two solutions agree.

    alone, stored: the best one's canonical form, and what a series made of it: average and modes follow it there.
    """
    if ensemble is None or ensemble.consensus is None:
        return {}
    found = ensemble.consensus
    return {
        "average": carried(found.average, alone, stored),
        "modes": np.stack([carried(mode, alone, stored) for mode in found.modes]),
        "prtf": _columns(found.prtf),
        "fsc": _columns(found.fsc),
    }


def part(ensemble: Ensemble | None) -> EnsemblePart | None:
    """The rest, for the job document."""
    if ensemble is None:
        return None
    found = ensemble.consensus
    return EnsemblePart(
        members=[_member(member) for member in ensemble.members],
        best=ensemble.best,
        accepted=ensemble.accepted,
        ranked_by=ensemble.ranked_by,
        why=ensemble.why,
        mode_weights=None if found is None else found.weights.tolist(),
        resolutions=None if found is None else [_resolution(resolution) for resolution in found.resolutions],
    )


def _columns(curve: Curve) -> NDArray[np.float64]:
    """(n, 2): q and the value there."""
    return np.stack([curve.q, curve.values], axis=1)


def _member(member: Member) -> MemberPart:
    return MemberPart(
        kind=member.kind,
        chi2=member.metrics.chi2,
        free_llk=member.metrics.free_llk,
        support_voxels=member.metrics.support_voxels,
        amplitude_cv=member.metrics.amplitude_cv,
        correlation=member.correlation,
        twin=member.alignment is not None and member.alignment.twin,
        accepted=not member.rejected,
        rejected=list(member.rejected),
    )


def _resolution(found: Resolution) -> ResolutionPart:
    return ResolutionPart(
        criterion=cast(Literal["1/e", "0.143", "half-bit"], found.criterion),
        crossed=found.crossed,
        q=found.q,
        metres=found.metres,
        voxels=found.voxels,
    )
