from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import shapely
from view_results import TISSUES, TYPES

from coseg_bundle.data.labels.regions import regions_containing
from coseg_bundle.measures.groups.areas import Areas
from coseg_bundle.measures.groups.columns import count_columns
from coseg_bundle.measures.groups.rows import Classes, MeasuredNuclei, group_rows
from coseg_bundle.view.correcting.patches import population_of, tissue_of
from coseg_bundle.view.regions import numbers, region_of


def polygon(*points):
    return {"type": "Polygon", "coordinates": [[*points, points[0]]]}


SQUARE = polygon((0, 0), (200, 0), (200, 200), (0, 200))


def measured(result, feature):
    region = region_of(feature, result.size_xy)
    names = TYPES.names, TISSUES.names
    return numbers(region, population_of(result, []), *names, result.mpp, tissue_of(result, []), result.tissue_map[1])


def test_a_region_by_hand(result):
    found = measured(result, SQUARE)
    assert (found["area_px"], found["area_mm2"]) == (40000, 0.01)
    assert found["all"] == {"count": 4, "density_mm2": 400, "expected": 3.6, "low": 2, "high": 4}
    assert found["classes"] == [
        {"name": "tumour", "count": 2, "density_mm2": 200, "expected": 1.8, "low": 0, "high": 4},
        {"name": "other", "count": 2, "density_mm2": 200, "expected": 1.8, "low": 0, "high": 4},
    ]
    assert found["tissue"] == [
        {"name": "background", "share": 0, "area_mm2": 0, "count": 0, "density_mm2": None},
        {"name": "gland", "share": 1, "area_mm2": 0.01, "count": 4, "density_mm2": 400},
    ]


def test_counts_and_intervals_are_those_of_measure(result):
    box = shapely.box(0, 0, 350, 333)
    population = population_of(result, [])
    found = numbers(box, population, TYPES.names, TISSUES.names, result.mpp, tissue_of(result, []), 4.0)
    columns = population.types.astype(np.int8), population.tissues.astype(np.int8)
    nuclei = MeasuredNuclei(population.points_xy, *columns, population.nuclei_prob, population.type_prob, {})
    rows, group = regions_containing([box], *population.points_xy.T)
    areas = Areas(np.array([[0.0, box.area * result.mpp**2]]), np.zeros((1, 3)))
    table = group_rows(nuclei, rows, group, areas, Classes.of(TYPES, TISSUES), 1.0)
    columns = count_columns([part["name"] for part in found["classes"]])
    for part, name in ((found["all"], "nuclei"), *zip(found["classes"], columns, strict=True)):
        ends = part["count"], part["low"], part["high"]
        assert ends == tuple(table[column][0] for column in (name, f"{name}_low", f"{name}_high"))
        assert part["density_mm2"] == pytest.approx(table[f"{name}_per_mm2"][0], abs=0.01)


def test_unknown_probabilities_have_no_interval(result):
    population = dataclasses.replace(population_of(result, []), nuclei_prob=np.full(24, np.nan, np.float32))
    box = shapely.box(0, 0, 200, 200)
    found = numbers(box, population, TYPES.names, TISSUES.names, result.mpp, tissue_of(result, []), 4.0)
    assert (found["all"]["count"], found["all"]["low"], found["all"]["high"]) == (4, None, None)


def test_half_of_it_is_gland(result):
    found = measured(result, polygon((200, 0), (400, 0), (400, 400), (200, 400)))
    assert [part["share"] for part in found["tissue"]] == [0.5, 0.5]
    assert [part["count"] for part in found["tissue"]] == [4, 4]


def test_regions_that_cover_the_slide_add_up(result):
    parts = [
        polygon((x, y), (x + 150, y), (x + 150, y + 200), (x, y + 200)) for x in range(0, 600, 150) for y in (0, 200)
    ]
    whole = measured(result, polygon((0, 0), (600, 0), (600, 400), (0, 400)))
    found = [measured(result, part) for part in parts]
    assert sum(part["all"]["count"] for part in found) == whole["all"]["count"] == 24
    assert sum(part["area_mm2"] for part in found) == pytest.approx(whole["area_mm2"])


def test_a_hole_is_no_part(result):
    hole = [[40, 40], [60, 40], [60, 60], [40, 60], [40, 40]]
    found = measured(result, {"type": "Polygon", "coordinates": [*SQUARE["coordinates"], hole]})
    assert found["all"]["count"] == 3
    assert found["area_px"] == 40000 - 400


def test_a_large_region_is_measured_on_a_coarser_map(result, monkeypatch):
    exact = measured(result, polygon((200, 0), (400, 0), (400, 400), (200, 400)))
    monkeypatch.setattr("coseg_bundle.view.regions._LARGEST_MAP_PX", 600)
    coarse = measured(result, polygon((200, 0), (400, 0), (400, 400), (200, 400)))
    assert coarse["tissue"][1]["share"] == pytest.approx(exact["tissue"][1]["share"], abs=0.1)


def test_without_a_resolution_there_are_no_densities(result):
    result.mpp = None
    found = measured(result, SQUARE)
    assert (found["area_px"], found["area_mm2"]) == (40000, None)
    assert (found["all"]["density_mm2"], found["all"]["count"]) == (None, 4)


def test_a_region_is_cut_at_the_border(result):
    assert measured(result, polygon((-100, -100), (200, -100), (200, 200), (-100, 200)))["area_px"] == 40000


def test_a_self_crossing_region_is_what_it_encloses(result):
    bow = region_of(polygon((0, 0), (100, 100), (100, 0), (0, 100)), result.size_xy)
    assert bow.area == pytest.approx(5000)


@pytest.mark.parametrize(
    ("feature", "sentence"),
    [
        (polygon((700, 0), (800, 0), (800, 100)), "lies outside the image"),
        ({"type": "Point", "coordinates": [1, 2]}, "Expected a region with an area, got none"),
        (polygon((1, 1), (5, 5), (9, 9)), "without area"),
        ([], "Expected a region with an area"),
        ("nonsense", "expected a GeoJSON"),
    ],
)
def test_what_is_no_region(result, feature, sentence):
    with pytest.raises(ValueError, match=sentence):
        region_of(feature, result.size_xy)


def test_counts_equal_a_slow_count(result):
    rng = np.random.default_rng(0)
    for _ in range(20):
        ring = rng.uniform(0, 400, (5, 2))
        hull = shapely.convex_hull(shapely.MultiPoint(ring))
        slow = sum(hull.contains(shapely.Point(*point)) for point in result.nuclei.points_xy)
        assert measured(result, shapely.geometry.mapping(hull))["all"]["count"] == slow
