"""SPEC, FIO and the descriptions of beamlines: text that is long, nested, repeated, or no text."""

from typing import Any, Final

import h5py
import numpy as np
import tifffile

from tests.hostile.crafted import COUNTS, Family, Place

_SPEC: Final = "#F x\n#E 1\n#D now\n#O0 Delta  Theta  Chi  Phi  Gamma  camdist  Energy\n\n"
_SCAN: Final = "#S 7 ascan  th 0 1 6 1\n#P0 30 0.1 90 -5 12 500 9\n#N 2\n#L Theta  I\n"
_ROWS: Final = "".join(f"{0.1 + 0.005 * number:.4f} 4\n" for number in range(6))
_FIO: Final = "!\n%c\nscan\n%p\nenergy = 8000\ndistance = 1.8\n%d\n Col 1 om DOUBLE\n Col 2 det DOUBLE\n"


def _frames(place: Place) -> None:
    (place.folder / "frames").mkdir()
    for number, frame in enumerate(COUNTS):
        tifffile.imwrite(place.folder / "frames" / f"S_{number:04d}.tif", frame)


def _motors(place: Place, content: str | bytes, name: str, beamline: str) -> dict[str, Any]:
    _frames(place)
    (place.folder / name).write_bytes(
        content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape")
    )
    return {"path": "frames", "spec": name, "beamline": beamline, "scan": 7}


def _described(place: Place, content: str | bytes) -> dict[str, Any]:
    """The container has groups whose names a pattern may try in many ways."""
    with h5py.File(place.folder / "scan.h5", "w") as file:
        for number in range(40):
            file[f"{'a' * 200}{number}_7.1/measurement/d"] = COUNTS[:2]
        file["S_7.1/measurement/d"] = COUNTS
        file["S_7.1/eta"] = np.linspace(0.1, 0.2, 6)
    (place.folder / "own.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    return {"path": "scan.h5", "beamline": "own.yaml", "scan": 7, "sample": "S"}


def _beamline(**changed: str) -> str:
    """The description of a beamline with other lines."""
    lines = {
        "name": "x", "title": "y", "frames": '"{sample}_{scan}.1/measurement/*"', "names": '["{sample}_{scan:05d}*"]',
        "detectors": "{d: {pixel_m: [5.5e-5, 5.5e-5], shape: [8, 10], saturation: 1000}}",
        "diffractometer": "{sample: {eta: x-, phi: y+}, detector: {nu: y+}}",
        "motors": '{eta: {unit: deg, dataset: "{sample}_{scan}.1/eta"}}', "energy": "{unit: keV, constant: 9.0}",
    } | changed  # fmt: skip
    return "".join(f"{key}: {value}\n" for key, value in lines.items())


_LAUGHS: Final = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(20)
)
_SPECS: Final = (
    "", "\0" * 1000, b"\xff\xfe\x80" * 500, _SPEC, _SCAN + _ROWS, _SPEC + _SCAN, _SPEC + _SCAN * 2 + _ROWS,
    _SPEC + ("#S 7 ascan\n" * 5000), _SPEC + _SCAN + "nan inf\n" * 6, _SPEC + _SCAN + "1e400 -1e400\n" * 6,
    _SPEC + _SCAN + "1\n" * 6,
    _SPEC + _SCAN + "x " * 500_000, _SPEC + _SCAN.replace("#N 2", "#N 999999999") + _ROWS,
    _SPEC + _SCAN.replace("30 0.1", "nan inf") + _ROWS,
    _SPEC + _SCAN.replace("#P0", "#P99") + _ROWS, _SPEC + _SCAN.replace("0 1 6 1", f"0 1 {'9' * 400} 1") + _ROWS,
    _SPEC + "#S " + "9" * 5000 + "\n" + _ROWS, _SPEC.replace("Delta", "Delta " * 9000) + _SCAN + _ROWS,
    _SPEC + _SCAN + _ROWS * 3000,
    (_SPEC + _SCAN + _ROWS).replace("\n", "\r"), _SPEC + _SCAN.replace("Theta", "=cmd()") + _ROWS,
    (_SPEC + _SCAN + _ROWS).encode("utf-16"),
)  # fmt: skip
_FIOS: Final = (
    "", "\0" * 1000, b"\xff\xfe\x80" * 500, _FIO, _FIO + "nan inf\n" * 6, _FIO + "1e400 1\n" * 6, _FIO + "1\n" * 6,
    _FIO + "1 2 3\n" * 6,
    _FIO.replace("8000", "9" * 400) + "1 2\n", _FIO.replace("8000", "nan") + "1 2\n",
    _FIO.replace(" Col 2 det", " Col 999999999 det") + "1 2\n",
    _FIO + "1 " * 400_000, "%d\n" * 20_000, "%p\n" + "a = 1\n" * 50_000, _FIO.replace("DOUBLE", "COMPLEX") + "1 2\n",
    _FIO.replace("om", "om " * 9000) + "1 2\n", (_FIO + "1 2\n" * 6).encode("utf-16"),
)  # fmt: skip
_YAMLS: Final = (
    "", "\0", "null", "[]", "x", b"\xff\xfe\x80", _LAUGHS, "&a [*a, *a]", "a: &a {b: *a}",
    "!!python/object/apply:os.system ['touch /tmp/inphase-unpickled']",
    "!!python/name:os.system", "[" * 5000, "{a: " * 3000, "a: " + "9" * 5000, "? " * 2000, "- " * 3000, "x" * 80_000,
    "a: 1\n" * 3000, "name: x\nname: y\n",
    _beamline(names='["' + "{sample}*" * 200 + '"]'), _beamline(names='["' + "*" * 2000 + '"]'),
    _beamline(frames='"' + "*/" * 300 + '*"'),
    _beamline(frames='"{sample}*{sample}*{sample}*b/measurement/*"'), _beamline(frames='"../../outside/*"'),
    _beamline(frames='"/etc/*"'),
    _beamline(names='["../../../outside/{sample}*"]'), _beamline(frames='"{sample.__class__}"'),
    _beamline(frames='"{scan:999999999d}"'),
    _beamline(frames='"{0}"'), _beamline(frames='"{sample!r}"'), _beamline(frames='"(a+)+$"'), _beamline(frames="7"),
    _beamline(frames="null"),
    _beamline(detectors="{}"), _beamline(detectors="{d: {pixel_m: [.nan, .inf], shape: [8, 10], saturation: 1}}"),
    _beamline(detectors="{d: {pixel_m: [5.5e-5, -1], shape: [0, -10], saturation: -1}}"),
    _beamline(detectors="{d: {pixel_m: [1.0e+300, 1.0e-300], shape: [8, 10]}}"),
    _beamline(detectors="{d: {pixel_m: [5.5e-5, 5.5e-5], shape: [99999999999999999999, 10]}}"),
    _beamline(diffractometer="{}"),
    _beamline(diffractometer="{sample: {eta: q+}, detector: {nu: y+}}"),
    _beamline(motors="{eta: {unit: parsec, dataset: x}}"),
    _beamline(motors='{eta: {unit: deg, dataset: "../../../../etc/passwd"}}'),
    _beamline(motors="{eta: {unit: deg, constant: .nan}}"),
    _beamline(energy="{unit: keV, constant: .inf}"), _beamline(energy="{unit: keV, constant: 0}"),
    _beamline(energy="{unit: keV, constant: -9}"),
    _beamline(title="|\n  " + "y" * 60_000), _beamline(more="1"),
)  # fmt: skip

FAMILIES: Final = (
    Family("spec-text", _motors, {"content": _SPECS, "name": ("own.spec",), "beamline": ("34-ID-C",)}),
    Family("fio-text", _motors, {"content": _FIOS, "name": ("own.fio",), "beamline": ("P10",)}),
    Family("yaml-text", _described, {"content": _YAMLS}),
)
