"""inphase.results.figures: what is drawn is what the result holds."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from inphase.imaging.maps import maps_of
from inphase.results import figures
from inphase.results.comparison import compare
from inphase.results.source import result_of
from tests.inphase.results.conftest import Crystal


def rendered(figure: figures.Figure) -> np.ndarray:
    """The picture."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return np.asarray(Image.open(stream).convert("RGB"))


def test_slices_show_the_middle_of_the_object(crystal: Crystal) -> None:
    """Amplitude from 0 to 1, phase and strain empty where there is no crystal, in nanometres."""
    result = result_of(crystal())
    derived = maps_of(result.object, result.support, result.geometry).arrays
    figure = figures.single("slices", replace(result, derived=derived), (), None)
    axes = figure.axes
    assert [axis.get_title() for axis in axes[:3]] == ["amplitude", "phase", "strain along Q"]
    shown = np.asarray(axes[0].images[0].get_array())
    scale = np.percentile(result.amplitude[result.support], 99.9)
    middle = np.argwhere(result.support)[:, 0]
    plane = (result.amplitude / scale)[(middle.min() - 3 + middle.max() + 4) // 2]
    assert shown.max() == pytest.approx(plane.max())
    phase = np.ma.masked_invalid(axes[1].images[0].get_array())
    assert 0.3 < phase.mask.mean() < 0.95
    assert axes[0].get_xlabel() == "column (nm)"
    assert rendered(figure).std() > 10


def test_surfaces_are_coloured_by_phase_and_strain(crystal: Crystal) -> None:
    """Two views of each, in nanometres of the laboratory, as large as the crystal is."""
    result = result_of(crystal())
    derived = maps_of(result.object, result.support, result.geometry).arrays
    figure = figures.single("surfaces", replace(result, derived=derived), (), None)
    views = [axis for axis in figure.axes if axis.name == "3d"]
    assert len(views) == 4
    low, high = views[0].get_xlim()
    # at 0.3 of the amplitude the faces at x = -40 and 40 nm lie 2.5 nm further out, a voxel is 5 nm
    assert high - low == pytest.approx(85, abs=25)
    assert rendered(figure).std() > 5


def test_curves_say_where_there_is_none(crystal: Crystal) -> None:
    """Another program's result has neither pattern nor error curve; a history is drawn as it is."""
    result = result_of(crystal())
    assert "neither a pattern" in figures.single("curves", result, (), None).texts[0].get_text()
    figure = figures.single("curves", result, ((0, 0.1), (10, 0.01)), np.array([[0.0, 1.0], [0.5, 0.4]]))
    assert figure.axes[0].lines[0].get_ydata() == pytest.approx([0.1, 0.01])
    assert figure.axes[1].get_xlabel() == "q / Nyquist"


def test_a_comparison_has_both_and_their_difference(crystal: Crystal) -> None:
    """Seven columns with strain, five without geometry; the heading has the correlation."""
    figure = figures.comparison(compare(crystal(source="one.cxi"), crystal(source="two.cxi")))
    titles = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert titles == ["amplitude A", "amplitude B", "phase A", "phase B", "phase B - A", "strain A", "strain B - A"]
    assert "correlation 1.0000" in figure.get_suptitle()
    bare = figures.comparison(compare(crystal(None, None), crystal(None, None)))
    assert len([axis for axis in bare.axes if axis.get_title()]) == 5
    assert rendered(bare).std() > 10
