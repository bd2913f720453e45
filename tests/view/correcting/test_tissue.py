from __future__ import annotations

import json

import pytest
import shapely

from coseg_bundle.view.correcting.corrections import Corrections
from coseg_bundle.view.correcting.patches import Drawing
from coseg_bundle.view.correcting.tissue import corrected_regions

GLAND = {"name": "gland", "area_um2": 30000.0, "area_px": None, "box": [0, 0, 300, 400]}


@pytest.fixture
def corrections(result, known_service):
    return Corrections(result, lambda: known_service)


def drawn(name, *bounds):
    return Drawing("tissue", name, shapely.box(*bounds))


def test_nothing_is_corrected(result):
    assert corrected_regions(result, []) == [GLAND]


def test_a_region_ends_where_a_correction_begins(result, corrections):
    """The left half is gland; in the box above 200 px nothing is left of it."""
    corrections.correct((0, 0, 600, 200), drawn("", 0, 0, 300, 200))
    [gland] = corrected_regions(result, corrections.patches)
    assert gland == {"name": "gland", "area_um2": 300 * 200 / 4, "area_px": 300 * 200, "box": [0, 200, 300, 400]}


def test_a_region_goes_on_in_a_correction(result, corrections):
    corrections.correct((200, 0, 400, 400), drawn("gland", 200, 0, 500, 400))
    [gland] = corrected_regions(result, corrections.patches)
    assert (gland["area_px"], gland["box"]) == (500 * 400, [0, 0, 500, 400])


def test_the_later_correction_holds(result, corrections):
    corrections.correct((300, 0, 300, 400), drawn("gland", 400, 0, 500, 400))
    corrections.correct((450, 0, 150, 400), drawn("", 450, 0, 600, 400))
    found = sorted(corrected_regions(result, corrections.patches), key=lambda row: row["box"])
    assert [row["box"] for row in found] == [[0, 0, 300, 400], [400, 0, 450, 400]]


def test_what_no_correction_touches_is_as_it_was(result, corrections):
    corrections.correct((320, 0, 280, 400), drawn("gland", 400, 0, 500, 400))
    assert GLAND in corrected_regions(result, corrections.patches)


def test_specks_are_no_regions(result, corrections):
    corrections.correct((320, 0, 280, 400), drawn("gland", 400, 0, 402, 2))
    assert corrected_regions(result, corrections.patches) == [GLAND]


def test_no_tissue_was_taught(result, corrections):
    corrections.correct((0, 0, 200, 200), Drawing("nuclei", "tumour", shapely.box(10, 10, 20, 20)))
    result.summary["untrained"] = ["tissue"]
    assert corrected_regions(result, corrections.patches) == []


def test_there_is_no_region(result, corrections):
    (result.folder / "tissue.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": []}))
    corrections.correct((0, 0, 200, 200), drawn("gland", 0, 0, 100, 100))
    [gland] = corrected_regions(result, corrections.patches)
    assert gland["area_px"] == 100 * 100
