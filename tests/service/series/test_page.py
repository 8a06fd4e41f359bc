"""The page of a series."""

from service.jobs.state import JobState, Priority
from service.series.document import ScanPart, SeriesDocument
from service.series.page import series_page

EVIL = "<script>alert('x')</script>"


def series(*scans: ScanPart, name: str = "heating") -> SeriesDocument:
    """A series of these scans."""
    return SeriesDocument(
        id="f" * 32, name=name, owner="ada", proposal="", cancelled_by="",
        created="2026-01-02T03:04:05.000Z", total=len(scans), cancelled=False,
        link="/v1/series/x", done=True, states=dict.fromkeys(JobState, 0) | {JobState.SUCCEEDED: len(scans)},
        priority=Priority.LOW, refine=None, frame=None, scans=list(scans), links={},
    )  # fmt: skip


def done(number: int, **parts: object) -> ScanPart:
    """A succeeded scan."""
    known = {"source": f"night/scan_{number}.h5", "state": "succeeded", "job": f"{number:032x}", "trust": "high"}
    return ScanPart.model_validate({"scan": number, **known, **parts})


def test_names_and_reasons_are_no_markup() -> None:
    """What senders and files are called cannot run in the browser of who reads the page."""
    failed = ScanPart(scan=1, source="night/" + EVIL, state=JobState.FAILED, reason=EVIL)
    page = series_page(series(done(0, trust_reasons=[EVIL], alignment_why=EVIL), failed, name=EVIL), {})
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 5


def test_figures_stand_with_three_digits() -> None:
    """What is not known is a dash; the frame is named by its scan."""
    page = series_page(series(done(0, chi2=0.0123456, free_llk=None, frame=True), done(1, support_voxels=700)), {})
    assert '<td class="n">0.0123</td>' in page
    assert '<td class="n">700</td>' in page
    assert '<td class="n">-</td>' in page
    assert "in the frame of scan 0" in page
    assert "begun 2026-01-02 03:04:05 UTC" in page
    assert "Recipe by default" in page


def test_the_page_needs_nothing_beside_it() -> None:
    """Pictures are inside, and nothing is fetched."""
    page = series_page(series(done(0)), {f"{0:032x}": "data:image/png;base64,AAAA"})
    assert '<img src="data:image/png;base64,AAAA" alt="slices of scan 0">' in page
    assert "http" not in page
