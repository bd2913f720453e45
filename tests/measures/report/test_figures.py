import warnings

import numpy as np
import pytest
from matplotlib.figure import Figure

from coseg_bundle.classes import ClassMap
from coseg_bundle.measures.report.figures import _draw_density, histograms


@pytest.mark.parametrize("side_um", [0.25, 25.0, 2500.0])
def test_the_blur_is_no_wider_than_the_picture(side_um):
    """Of results of one pixel the blur was as wide as 100,000 cells, and took minutes."""
    points = np.full((4, 2), side_um / 2)
    shown = _draw_density(Figure().add_subplot(), points, (side_um, side_um)).get_array()
    assert shown.shape == (320, 320)
    assert shown.sum() * (side_um / 320) ** 2 / 1e6 == pytest.approx(4, rel=0.1)
    assert _draw_density(Figure().add_subplot(), np.zeros((0, 2)), (side_um, side_um)).get_array().count() == 0


def test_a_class_whose_nuclei_all_lie_in_the_ends_that_are_cut_off():
    """Its density was 0 / 0, and a warning of NumPy's was printed."""
    values = np.concatenate([np.arange(100), [-1e6, 1e6]]).astype(np.float32)
    classes, type_id = ClassMap(("background", "a", "b")), np.repeat([1, 2], [100, 2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = histograms({"area_um2": ("Area", values)}, type_id, classes)
    [line] = figure.axes[0].patches
    assert line.get_label() == "a"
    assert line.get_data().values.sum() == pytest.approx(1)


def test_a_measure_of_one_value_has_no_spread():
    """Distances from a border that is nowhere near are all 250 um; their axis went from 250 to 251."""
    columns = {"tissue_border_um": ("Border", np.full(9, 250, np.float32)), "none": ("None", np.full(9, np.nan))}
    type_id, classes = np.ones(9, int), ClassMap(("background", "a"))
    assert histograms(columns, type_id, classes) is None
    columns["area_um2"] = ("Area", np.arange(9, dtype=np.float32))
    assert histograms(columns, type_id, classes).axes[0].get_title() == "Area"
