from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
import shapely
from view_results import MPP, ring

from coseg_bundle.measures.nuclei.neighbours import Neighbours
from coseg_bundle.service.shapes import inside
from coseg_bundle.view.correcting.corrections import Corrections
from coseg_bundle.view.correcting.patches import Drawing, Patch, corrected, population_of, tissue_of
from coseg_bundle.view.correcting.surroundings import _changed_tissue, known_values, unknown
from coseg_bundle.view.nuclei import Column, Nuclei, joined
from coseg_bundle.view.regions import Population
from coseg_bundle.view.sheets import nuclei_csv
from coseg_bundle.wsi.segment.tissue import at_points

BOX = (0, 0, 200, 200)
NAMES = ("tumour", "other")


def with_columns(nuclei, **more):
    """The same table with other columns, or other values of those that it has."""
    columns = {**nuclei.columns, **{name: Column(name, name, np.asarray(v, np.float32)) for name, v in more.items()}}
    return Nuclei(nuclei.points_xy, nuclei.ids, tuple(columns.values()), nuclei.outlines, nuclei.cell_px)


def neighbours(points, types):
    return Neighbours.of(points * MPP, types, NAMES).measures(points * MPP, types)


@pytest.fixture
def measured(result):
    """The result with what `coseg measure` says of its neighbours: 50 um lie between nuclei."""
    nuclei = result.nuclei
    border = np.full(24, 7.0)
    border[2] = 30  # at 250, 50
    more = neighbours(nuclei.points_xy, nuclei.columns["type"].values)
    rings = {"ring_eosin_od": np.full(24, 0.1), "haematoxylin_od": np.full(24, 0.3)}
    result.nuclei = with_columns(nuclei, tissue_border_um=border, **more, **rings)
    return result


def rows_of(found):
    return {name: np.flatnonzero(rows).tolist() for name, rows in found.items()}


@pytest.fixture
def erased(measured, known_service, monkeypatch):
    """The nucleus at 50, 50 is erased. The network does not listen, and finds no gland in the frame."""
    segment = known_service.segment
    monkeypatch.setattr(known_service, "segment", lambda image, query: segment(image, replace(query, correction=None)))
    corrections = Corrections(measured, lambda: known_service)
    corrections.correct(BOX, Drawing("nuclei", "", shapely.box(40, 40, 60, 60)))
    return corrections


def test_by_hand(measured, erased):
    """Of the frame's four nuclei three are left, rows 24 to 26: two that had 50 um to the one that is gone, and one 71.
    All of the frame is another tissue now."""
    [patch] = erased.patches
    assert patch.ids.tolist() == [2, 7, 8]
    assert rows_of(unknown(measured, erased.patches)) == {
        "nearest_um": [24, 25],
        "nearest_tumour_um": [24, 25, 26],
        "neighbours_50um": [24, 25],
        "local_density_per_mm2": [2, 12, 18, 24, 25, 26],  # the tenth nucleus was farther than the one that is gone
        "tissue_border_um": [2, 24, 25, 26],  # the third nucleus had 30 um, and the frame is 25 um away
    }


def test_undo_restores_all(measured, erased):
    before = {name: column.values.copy() for name, column in measured.nuclei.columns.items()}
    erased.undo()
    assert unknown(measured, erased.patches) == {}
    table, of_patches = known_values(measured, erased.patches)
    assert of_patches == []
    for name, values in before.items():
        np.testing.assert_array_equal(table[name], values, err_msg=name)
    erased.redo()
    assert np.isnan(known_values(measured, erased.patches)[0]["tissue_border_um"]).sum() == 1
    np.testing.assert_array_equal(measured.nuclei.columns["tissue_border_um"].values, before["tissue_border_um"])


def test_files_leave_out_what_is_not_known(measured, erased):
    rows = {row["id"]: row for row in csv.DictReader(io.StringIO("".join(nuclei_csv(measured, erased.patches))))}
    assert len(rows) == 23
    assert [rows[i]["nearest_um"] for i in ("2", "3", "7", "8")] == ["", "50", "", "50"]
    assert [rows[i]["tissue_border_um"] for i in ("2", "3", "8", "9")] == ["", "", "", "7"]
    assert rows["2"]["nearest_other_um"] != ""
    label, _ = erased.save()
    content = json.loads(label.read_text())
    found = [f["properties"] for f in content["features"] if f["properties"]["objectType"] == "detection"]
    assert len(found) == 3
    assert not any("Tissue border um" in one["measurements"] for one in found)
    assert all("Haematoxylin OD" in one["measurements"] for one in found)


def test_a_ring_may_touch_what_was_drawn(measured, known_service):
    """A long nucleus: its middle is 75 um from the two beside it, its ends 20."""
    corrections = Corrections(measured, lambda: known_service)
    corrections.correct((200, 100, 200, 200), Drawing("nuclei", "other", shapely.box(190, 145, 410, 155)))
    found = rows_of(unknown(measured, corrections.patches))
    assert found["ring_eosin_od"] == [7, 10]
    assert "haematoxylin_od" not in found


def test_without_a_resolution_nothing_of_the_surroundings_is_known(measured, erased):
    measured.mpp = None
    found = unknown(measured, erased.patches)
    assert found["nearest_um"].sum() == 23


def test_a_column_that_is_younger_than_a_correction(measured, erased):
    """Of nuclei that stand as they were it was empty, though the table had it; the one that was erased has no row."""
    erased.save()
    measured.nuclei = with_columns(measured.nuclei, solidity=np.arange(24) / 100)
    later = Corrections(measured, lambda: None)
    rows = {row["id"]: row for row in csv.DictReader(io.StringIO("".join(nuclei_csv(measured, later.patches))))}
    assert [rows[i]["solidity"] for i in ("1", "2", "3", "7") if i in rows] == ["0.01", "0.02", "0.06"]


def random_nuclei(rng, box, count):
    x, y, width, height = box
    return rng.uniform([x, y], [x + width, y + height], (count, 2)), rng.integers(1, 3, count).astype(np.uint8)


def random_patch(rng, result):
    """Some nuclei of the table stay in a box, some are new, and half of it is gland."""
    nuclei, x, y = result.nuclei, int(rng.integers(0, 400)), int(rng.integers(0, 200))
    box = (x, y, 200, 200)
    rows = np.flatnonzero(inside(nuclei.points_xy, box) & (rng.random(len(nuclei)) < 0.8))
    points, types = random_nuclei(rng, box, 3)
    points, types = np.concatenate([nuclei.points_xy[rows], points]), np.r_[nuclei.columns["type"].values[rows], types]
    sure = np.ones(len(types), np.float32)
    population = Population(points, types.astype(np.uint8), np.zeros(len(types), np.uint8), sure, sure)
    values = {
        name: np.r_[column.values[rows], [np.nan] * 3].astype(np.float32)
        for name, column in nuclei.columns.items()
        if not column.names
    }
    gland = ((1, (np.array([[x, y], [x + 100, y], [x + 100, y + 200], [x, y + 200]], float),)),)
    drawing = Drawing("tissue", "gland", shapely.box(x, y, x + 100, y + 200))
    outlines = joined([ring(*point, 3) for point in points])
    return Patch(box, drawing, population, np.r_[nuclei.ids[rows], 0, 0, 0], outlines, values, gland)


@pytest.mark.parametrize("seed", range(4))
def test_what_is_said_is_what_measuring_anew_says(result, seed):
    """Against the neighbours and borders of the corrected nuclei and tissue, measured from the beginning."""
    rng = np.random.default_rng(seed)
    points, types = random_nuclei(rng, (0, 0, 600, 400), 400)
    tissue_map, pixel = result.tissue_map
    kinds = Column("type", "class", types, result.nuclei_classes.names)
    tissues = Column("tissue", "tissue", np.zeros(400, np.uint8), result.tissue_classes.names)
    base = Nuclei(points, np.arange(400) + 1, (kinds, tissues), lambda rows: joined([]), 1024)
    border = at_points(tissue_map, points / pixel, pixel * MPP)[1]
    result.nuclei = with_columns(base, tissue_border_um=border, **neighbours(points, types))
    patches = [random_patch(rng, result) for _ in range(3)]
    table, of_patches = known_values(result, patches)
    standing, kept = corrected(result, patches)
    population = population_of(result, patches)
    now = tissue_of(result, patches)((0, 0, 150, 100), 1)
    anew = neighbours(population.points_xy, population.types)
    anew["tissue_border_um"] = at_points(now, population.points_xy / pixel, pixel * MPP)[1]
    for name, expected in anew.items():
        said = np.concatenate([table[name][standing], *(v[name][own] for v, own in zip(of_patches, kept, strict=True))])
        known = ~np.isnan(said)
        np.testing.assert_allclose(said[known], expected[known], rtol=1e-5, err_msg=name)
        assert 20 < known.sum() < len(said), name


def test_tissue_that_another_frame_sets_back_is_as_it_was(result):
    """A frame that is all gland, and half of it another one that holds what the map says."""
    whole, pixel = result.tissue_map
    size = whole.shape[1], whole.shape[0]
    patch = random_patch(np.random.default_rng(0), result)
    former = int(whole[0, int(150 / pixel)])
    assert (whole[: int(200 / pixel), int(100 / pixel) : int(300 / pixel)] == former).all()
    frames = [
        replace(
            patch, box=(x, 0, 200, 200), tissue=((kind, (shapely.get_coordinates(shapely.box(x, 0, x + 200, 200)),)),)
        )
        for x, kind in ((0, 1 + (former == 1)), (100, former))
    ]
    now = tissue_of(result, frames)((0, 0, *size), 1)
    changed = shapely.union_all([*_changed_tissue(result, frames)])
    assert changed.area == pytest.approx((now != whole).sum() * pixel**2)
    assert changed.bounds == (0, 0, 100, 200)
