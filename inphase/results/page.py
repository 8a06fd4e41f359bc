"""A result as a picture or as a page: what `inphase show` writes."""

import base64
import io
import json
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from inphase.errors import DataError
from inphase.formats.atomic import replacing
from inphase.formats.result import METRICS_OF, Result
from inphase.imaging.maps import maps_of
from inphase.imaging.report import Report
from inphase.results.source import Given, result_of, support_of, taken

if TYPE_CHECKING:
    from types import ModuleType

    from inphase.results.comparison import Comparison

_TEMPLATE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ title }}</title><style>
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1100px; padding: 0 1rem; color: #1b2733 }
h1 { font-size: 1.4rem; margin: 0 } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem } p { margin: .3rem 0 }
table { border-collapse: collapse } td, th { padding: .25rem 1rem .25rem 0; text-align: left; vertical-align: top }
td.n { font-variant-numeric: tabular-nums } img { max-width: 100%; height: auto } small { color: #57606a }
.high { color: #1a7f37 } .medium { color: #9a6700 } .low { color: #cf222e }
</style></head><body>
<h1>{{ title }}</h1><p><small>{{ told }}</small></p>
{% if trust %}<h2>Trust</h2><p class="{{ trust.level }}"><b>{{ trust.level }}</b></p>
{% for reason in trust.reasons %}<p>{{ reason }}</p>{% endfor %}{% endif %}
<h2>Figures</h2><table>{% for name, value in figures %}
<tr><td>{{ name }}</td><td class="n">{{ value }}</td></tr>{% endfor %}</table>
{% for name, picture in pictures %}<h2>{{ name }}</h2>
<img alt="{{ name }}" src="data:image/png;base64,{{ picture }}">{% endfor %}
{% if steps %}<h2>Preprocessing</h2><table>{% for step in steps %}
<tr><td>{{ step.name }}</td><td>{{ step.told }}</td></tr>{% endfor %}</table>{% endif %}
<h2>Document</h2>
<details><summary>everything that is known of this result, as JSON</summary><pre>{{ document }}</pre></details>
</body></html>
"""


def show(given: Given, output: str | PathLike[str]) -> None:
    """Draw a result into `output`: a picture (.png), or a page that is one file and needs no network (.html).

    given: a file or folder that `read_reconstruction` takes, or a reconstruction. Slices, the surface coloured by phase
    and strain, the rocking curve, and for results of inphase the error curve, the resolution and the trust. Raises
    DataError for another ending, an empty object, or where matplotlib is not installed.
    """
    path = Path(output)
    ending = path.suffix.lower()
    if ending not in (".png", ".html"):
        raise DataError(f"{path}: a result is shown as .png or .html")
    draw = drawing()
    found = taken(given)
    support_of(found)  # which says where there is nothing to show
    result = _with_maps(result_of(found))
    report, fsc = _report(result), None if found.arrays is None else found.arrays.get("fsc")
    history = () if report is None else report.history
    with replacing(path) as partial:
        if ending == ".png":
            title = _title(found.source, report, result.document.get(METRICS_OF))
            draw.overview(result, title, history, fsc).savefig(partial, format="png")
        else:
            pictures = [
                (name.capitalize(), _encoded(draw.single(name, result, history, fsc)))
                for name in ("slices", "surfaces", "curves")
                if result.object.ndim == 3 or name == "slices"
            ]
            page = _page(
                found.source, f"{found.program}: {found.origin}", result, report, dict(found.figures), pictures
            )
            partial.write_text(page, encoding="utf-8")


def draw_comparison(found: "Comparison", output: str | PathLike[str]) -> None:
    """Write the figure of a comparison as PNG. Raises DataError for another ending, or without matplotlib."""
    path = Path(output)
    if path.suffix.lower() != ".png":
        raise DataError(f"{path}: the figure of a comparison is a .png")
    figure = drawing().comparison(found)
    with replacing(path) as partial:
        figure.savefig(partial, format="png")


def drawing() -> "ModuleType":
    """The module that draws. Raises DataError that says what to install."""
    try:
        from inphase.results import figures
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("matplotlib", "mpl_toolkits"):
            raise
        raise DataError(
            "figures are drawn by matplotlib, which is not installed: pip install 'inphase[figures]'"
        ) from None
    return figures


def _with_maps(result: Result) -> Result:
    """With strain where the geometry allows it and the file has none."""
    if "strain" in result.derived or result.geometry is None or result.object.ndim != 3:
        return result
    from dataclasses import replace

    return replace(result, derived={**result.derived, **maps_of(result.object, result.support, result.geometry).arrays})


def _report(result: Result) -> Report | None:
    try:
        return Report.from_json(json.dumps(dict(result.document)))
    except DataError:
        return None


def _title(source: str, report: Report | None, of: str | None) -> str:
    name = Path(source).name
    if report is None or report.metrics.final is None:
        return name
    final, trust = report.metrics.final, "" if report.trust is None else f", trust {report.trust.level}"
    told = f"{name}: chi2 {final.chi2:.3g}, support of {final.support_voxels} voxels{trust}"
    return f"{told}\nfigures of {of}" if of else told


def _page(
    source: str,
    told: str,
    result: Result,
    report: Report | None,
    known: dict[str, float],
    pictures: list[tuple[str, str]],
) -> str:
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    steps = [
        {
            "name": step.name,
            "told": "; ".join([*(f"{key} {value}" for key, value in step.numbers.items()), *step.faults, *step.doubts]),
        }
        for step in (report.preprocess.steps if report is not None else ())
    ]
    return environment.from_string(_TEMPLATE).render(
        title=Path(source).name,
        told=told,
        trust=None if report is None else report.trust,
        figures=_figures(result, report, known),
        pictures=pictures,
        steps=steps,
        document=json.dumps(dict(result.document), indent=1),
    )


def _figures(result: Result, report: Report | None, known: dict[str, float]) -> list[tuple[str, str]]:
    """Names and values for the table of the page."""
    sides = " x ".join(str(side) for side in result.object.shape)
    size = result.voxel_size_m
    rows = [("voxels", sides + (f" of {' x '.join(f'{1e9 * s:.3g}' for s in size)} nm" if size else ""))]
    rows += [(name, f"{value:.4g}") for name, value in known.items()]
    if known and (of := result.document.get(METRICS_OF)):
        rows.append(("these are of", str(of)))
    if report is None:
        return rows
    if report.metrics.noise_chi2 is not None:
        rows.append(("chi2 that Poisson noise leaves", f"{report.metrics.noise_chi2:.3g}"))
    rows.append(("start", f"{report.start.kind}: {report.start.why}"))
    rows.append(("recipe", report.recipe.refine))
    if report.detail is not None:
        finer = report.grid is not None and any(level.kept for level in report.grid.levels)
        where = ", on the network's grid" if finer else ""
        rows.append((f"resolution ({report.detail.method}{where})", resolution_in_words(report.detail.overall)))
        rows += [
            (f"resolution along axis {axis}", resolution_in_words(found))
            for axis, found in enumerate(report.detail.along)
        ]
    if report.ensemble is not None:
        rows.append(("starts that agree", f"{report.ensemble.accepted} of {len(report.ensemble.members)}"))
    if report.strain is not None:
        rows.append(("strain, rms about the mean lattice", f"{report.strain.strain_rms:.3g}"))
        rows.append(("mean d-spacing", f"{1e10 * report.strain.d_spacing_m:.5g} angstrom"))
    elif report.strain_reason:
        rows.append(("strain", report.strain_reason))
    rows.append(("time", ", ".join(f"{stage} {ms / 1e3:.2f} s" for stage, ms in report.timings_ms.items())))
    return rows


def resolution_in_words(found: Any) -> str:
    """`20.2 nm`, or `finer than ...` where the correlation stays above to the end of the pattern."""
    period = f"{1e9 * found.metres:.3g} nm" if found.metres else f"{found.voxels or 0:.3g} voxels"
    return period if found.crossed else f"finer than {period}, the end of the pattern"


def _encoded(figure: Any) -> str:
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return base64.b64encode(stream.getvalue()).decode()
