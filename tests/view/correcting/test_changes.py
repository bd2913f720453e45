from __future__ import annotations

import numpy as np
import pytest
import shapely
from view_results import KnownService, ring

from coseg_bundle.service.shapes import Answer, Shape
from coseg_bundle.view.correcting.changes import changes, polygon, untouched
from coseg_bundle.view.correcting.corrections import Corrections
from coseg_bundle.view.correcting.patches import Drawing

BOX = (0, 0, 200, 200)  # four nuclei of the table, at 50 and 150 px


def squares(*corners):
    return [shapely.box(x, 0, x + 10, 10) for x in corners]


def test_by_hand():
    before, after = squares(0, 20, 40), squares(21, 42, 60)  # shares 9/11 and 8/12 of both
    gone, new = changes(before, after, ["a", "a", "a"], ["a", "a", "a"])
    assert gone.tolist() == [True, False, True]
    assert new.tolist() == [False, True, True]
    gone, new = changes(before, after, ["a", "a", "a"], ["b", "a", "a"])  # of another class
    assert (gone.all(), new.all()) == (True, True)
    assert untouched(squares(0, 20, 40), squares(4, 46)).tolist() == [False, True, True]  # 6 of 10 px; 4 of 10
    assert untouched([shapely.box(0, 0, 30, 10)], squares(2)).tolist() == [False]  # the small one lies in the large


@pytest.mark.parametrize(("before", "after"), [([], []), (squares(0), []), ([], squares(0))])
def test_nothing_on_a_side(before, after):
    gone, new = changes(before, after, ["a"] * len(before), ["a"] * len(after))
    assert (gone.all(), new.all(), len(gone), len(new)) == (True, True, len(before), len(after))
    assert untouched(before, after).tolist() == [True] * len(before)


def test_an_outline_that_crosses_itself():
    bow = polygon(np.array([[0, 0], [10, 10], [10, 0], [0, 10]], float))
    gone, _ = changes([bow], [bow], ["a"], ["a"])
    assert not gone.any()


class Unsteady(KnownService):
    """Sees the nuclei of the table a pixel further on, none at 150, 150 and one more; `drawn` is other when told."""

    def __init__(self, drawn):
        super().__init__()
        self.drawn = drawn

    def segment(self, image, query):
        said = query.correction is not None
        seen = {(51, 51): "tumour", (151, 51): "other", (51, 151): "other", (100, 20): "tumour"}
        seen |= self.drawn if said else {}
        shapes = [
            Shape("nuclei", name, (0, 0, 0), (ring(*at),), 0.8, {"Nucleus probability": 0.7})
            for at, name in seen.items()
            if name
        ]
        return Answer(tuple(shapes), (*query.location, *query.size), 0.5, "known.pt", {"total": 0.1})


def nuclei_of(patch, result):
    names = [result.nuclei_classes.name_of(i) for i in patch.population.types]
    return dict(zip(map(tuple, patch.population.points_xy.tolist()), names, strict=True))


TABLE = {(50, 50): "tumour", (150, 50): "other", (50, 150): "other", (150, 150): "tumour"}


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        ({}, TABLE),
        ({(51, 51): "other"}, TABLE | {(50, 50): None, (51, 51): "other"}),
        ({(151, 51): ""}, TABLE | {(150, 50): None}),
        ({(149, 148): "tumour"}, TABLE | {(150, 150): None, (149, 148): "tumour"}),
        ({(20, 180): "other"}, TABLE | {(20, 180): "other"}),
    ],
    ids=["nothing", "a class", "one goes", "one comes where the table has one", "one comes"],
)
def test_only_what_the_drawing_changes_changes(result, drawn, expected):
    corrections = Corrections(result, lambda: Unsteady(drawn))
    patch = corrections.correct(BOX, Drawing("tissue", "gland", shapely.box(0, 0, 9, 9)))
    assert nuclei_of(patch, result) == {at: name for at, name in expected.items() if name}


def test_what_stands_keeps_its_row(result):
    """Its outline too, and what other commands measured of it."""
    corrections = Corrections(result, lambda: Unsteady({(20, 180): "other"}))
    patch = corrections.correct(BOX, Drawing("tissue", "gland", shapely.box(0, 0, 9, 9)))
    rows = [0, 1, 6, 7]
    for name, values in patch.values.items():
        assert np.array_equal(values[:4], result.nuclei.columns[name].values[rows], equal_nan=True), name
    assert patch.values["tissue_border_um"].tolist() == [7, 7, 7, 7, pytest.approx(np.nan, nan_ok=True)]
    assert np.array_equal(patch.outlines[1][:4], ring(50, 50))
