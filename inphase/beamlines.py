"""The diffractometers of the beamlines that record Bragg rocking curves:
axes in the laboratory frame of inphase.diffractometer.

"+" turns right-handed about an axis, "-" left-handed. Only 34-ID-C has been held against a measurement; the others are
as public programs of the field state them. docs/reference/geometry.md says which entry rests on what, and where they
disagree.
"""

from inphase.diffractometer import Circle, Diffractometer, Vector

_AXES: dict[str, Vector] = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}


def axis(text: str) -> Vector:
    """`y-` -> (0, -1, 0)."""
    sign = {"+": 1.0, "-": -1.0}[text[1]]
    x, y, z = _AXES[text[0]]
    return sign * x, sign * y, sign * z


def _circles(**axes: str) -> tuple[Circle, ...]:
    return tuple(Circle(name, axis(text)) for name, text in axes.items())


APS_34IDC = Diffractometer(
    "APS 34-ID-C", sample=_circles(theta="y+", chi="z-", phi="y+"), detector=_circles(delta="y+", gamma="x-")
)
ESRF_ID01 = Diffractometer(
    "ESRF ID01", sample=_circles(mu="y-", eta="x-", phi="y-"), detector=_circles(nu="y-", delta="x-")
)
PETRA_P10 = Diffractometer(
    "PETRA III P10",
    sample=_circles(mu="y+", om="x-", chi="z+", phi="y-"),
    detector=_circles(gam="y+", **{"del": "x-"}),
    column=axis("x-"),
)
MAXIV_NANOMAX = Diffractometer(
    "MAX IV NanoMAX",
    sample=_circles(gontheta="x-", gonphi="y-"),
    detector=_circles(gamma="y-", delta="x-"),
)
SOLEIL_SIXS = Diffractometer(
    "SOLEIL SIXS", sample=_circles(mu="x-", omega="y+"), detector=_circles(gamma="y+", delta="x-")
)
SOLEIL_CRISTAL = Diffractometer(
    "SOLEIL CRISTAL", sample=_circles(omega="x-", phi="y+"), detector=_circles(gamma="y+", delta="x-")
)

BEAMLINES: dict[str, Diffractometer] = {
    "34-ID-C": APS_34IDC,
    "ID01": ESRF_ID01,
    "P10": PETRA_P10,
    "NanoMAX": MAXIV_NANOMAX,
    "SIXS": SOLEIL_SIXS,
    "CRISTAL": SOLEIL_CRISTAL,
}
