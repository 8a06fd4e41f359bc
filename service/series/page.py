"""The page of a series: one HTML file with everything in it, to be opened without the service and without a network."""

from collections.abc import Mapping

import jinja2

from service.series.document import SeriesDocument

_TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ series.name or series.id }}</title><style>
body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem; color: #1b1f24 }
h1 { font-size: 1.4rem; margin: 0 } p { margin: .3rem 0 1.2rem; color: #57606a }
table { border-collapse: collapse } th, td { padding: .35rem .8rem; text-align: left; vertical-align: middle }
th { border-bottom: 2px solid #d0d7de; font-weight: 600 } td { border-bottom: 1px solid #eaeef2 }
td.n { text-align: right; font-variant-numeric: tabular-nums } img { display: block; image-rendering: pixelated }
.high { color: #1a7f37 } .medium { color: #9a6700 } .low, .failed { color: #cf222e } small { color: #57606a }
</style></head><body>
<h1>{{ series.name or "Series " ~ series.id }}</h1>
<p>{{ series.total }} scans: {% for state, n in series.states.items() if n %}{{ n }} {{ state }}{{ ", " if not loop.last }}{% endfor %}.
Recipe {{ series.refine or "by default" }}, begun {{ series.created[:19] | replace("T", " ") }} UTC.
Amplitude above phase, three central slices each{{ ", in the frame of scan " ~ frame if frame is not none }}.</p>
<table><thead><tr><th>scan</th><th>slices</th><th>source</th><th>trust</th><th>chi2</th><th>noise</th><th>support</th>
<th>free llk</th><th>start</th><th>likeness to the frame</th></tr></thead><tbody>
{% for scan in series.scans %}<tr><td class="n">{{ scan.scan }}</td>
<td>{% if scan.job in pictures %}<img src="{{ pictures[scan.job] }}" alt="slices of scan {{ scan.scan }}">{% endif %}</td>
<td>{{ scan.source.rpartition("/")[2] }}<br><small>{{ scan.job or "" }}</small></td>
{% if scan.state == "succeeded" %}<td class="{{ scan.trust }}">{{ scan.trust }}{{ " %.0f %%" | format(100 * scan.probability) if scan.probability is not none }}<br><small>{{ scan.trust_reasons | join("; ") }}</small></td>
<td class="n">{{ scan.chi2 | figure }}</td><td class="n">{{ scan.noise_chi2 | figure }}</td><td class="n">{{ scan.support_voxels }}</td>
<td class="n">{{ scan.free_llk | figure }}</td><td>{{ scan.start }}</td>
<td>{% if scan.frame %}the frame{% elif scan.alignment %}{{ "%.3f" | format(scan.alignment.score) }},
{{ "the twin undecided" if scan.alignment.undecided else "its twin %.3f" | format(scan.alignment.score_other) }}
{% else %}{{ scan.alignment_why }}{% endif %}</td>
{% else %}<td class="{{ scan.state }}" colspan="7">{{ scan.state }} <small>{{ scan.reason }}</small></td>{% endif %}</tr>
{% endfor %}</tbody></table></body></html>
"""


def series_page(series: SeriesDocument, pictures: Mapping[str, str]) -> str:
    """The page. pictures: job -> image as a data URL."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["figure"] = lambda number: "-" if number is None else f"{number:.3g}"
    frame = next((scan.scan for scan in series.scans if scan.frame), None)
    return environment.from_string(_TEMPLATE).render(series=series, pictures=pictures, frame=frame)
