from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapely
from view_results import TISSUES, TYPES

from coseg_bundle.service.shapes import inside
from coseg_bundle.view.correcting.corrections import Corrections
from coseg_bundle.view.correcting.patches import Drawing, Patch, as_in_table, corrected
from coseg_bundle.view.nuclei import no_nuclei


@pytest.fixture
def patch(result, known_service):
    drawing = Drawing("nuclei", "tumour", shapely.box(10, 10, 20, 20))
    return Corrections(result, lambda: known_service).correct((0, 0, 200, 200), drawing)


def test_no_patches(result):
    standing, of_patches = corrected(result, [])
    assert (standing.all(), of_patches) == (True, [])


def test_a_saved_patch_has_the_columns_of_the_table(result, known_service, monkeypatch):
    """Of four nuclei of 36 um2 one is cut, beside the one that was drawn: its area is new, and nobody measured it so.

    The drawing, 20 x 12 px of 0.5 um, lies over the left third of the nucleus at 150, 50 and leaves 8 x 12 px.
    """
    segment = known_service.segment
    monkeypatch.setattr(known_service, "segment", lambda image, query: segment(image, replace(query, correction=None)))
    drawing = Drawing("nuclei", "tumour", shapely.box(128, 44, 148, 56))
    patch = Corrections(result, lambda: known_service).correct((0, 0, 200, 200), drawing)
    saved = Patch.of_json(patch.to_json())
    del saved.values["disagreement"]  # measured later
    found = as_in_table(saved, result.nuclei)
    rows = dict(zip(found.ids.tolist(), range(5), strict=True))
    assert sorted(rows) == [0, 1, 2, 7, 8]
    assert [float(found.values["area_um2"][rows[i]]) for i in (0, 1, 2)] == [60, 36, 24]
    by_id = [float(found.values["disagreement"][rows[i]]) for i in (0, 1, 2, 7, 8)]
    np.testing.assert_allclose(by_id, [np.nan, 0, np.nan, 6 / 24, 7 / 24])
    assert float(found.values["type_prob"][rows[2]]) == pytest.approx(0.51)


def test_a_saved_patch_beside_an_empty_table(patch):
    table = no_nuclei(TYPES, TISSUES, 1024)
    assert as_in_table(patch, table).values == {}


@pytest.mark.parametrize("seed", range(5))
def test_a_nucleus_stands_where_no_later_patch_holds(result, patch, seed):
    """Against the rule as it is told, box by box; some patches have no nuclei, some the box of another one."""
    rng = np.random.default_rng(seed)
    patches = []
    for x, y, count in rng.integers(0, [400, 300, 6], (20, 3)).tolist():
        points = rng.uniform([x, y], [x + 150, y + 150], (count, 2))
        codes = np.ones(count, np.uint8)
        population = replace(patch.population, points_xy=points, types=codes, tissues=codes)
        patches.append(replace(patch, box=(x, y, 150, 150) if x % 2 else (100, 100, 150, 150), population=population))
    standing, of_patches = corrected(result, patches)
    for number, kept in enumerate(of_patches):
        later = [one.box for one in patches[number + 1 :]]
        points = patches[number].population.points_xy
        assert kept.tolist() == [not any(inside(point[None], box)[0] for box in later) for point in points]
    places = result.nuclei.points_xy
    assert standing.tolist() == [not any(inside(place[None], one.box)[0] for one in patches) for place in places]


def test_a_frame_that_is_corrected_often_is_gone_through_once(result, patch, monkeypatch):
    """Each correction compared all earlier ones with each other."""
    counted = []
    monkeypatch.setattr(
        "coseg_bundle.view.correcting.patches.inside", lambda *of: counted.append(len(of[0])) or inside(*of)
    )
    corrected(result, [patch] * 50)
    assert sum(counted) == 24 + 49 * len(patch.population.types)
