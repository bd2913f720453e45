import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coseg_bundle.data.annotations import read_annotations
from coseg_bundle.data.image_io import ImageFileError
from coseg_bundle.data.polygons import paint, polygon_pixels


def write(path, *geometries):
    features = [{"type": "Feature", "geometry": g, "properties": {"classification": {"name": "n"}}} for g in geometries]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def polygon(*rings):
    return {"type": "Polygon", "coordinates": list(rings)}


BOW_TIE = [[0, 0], [4, 4], [4, 0], [0, 4], [0, 0]]
SQUARE = [[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]


def test_a_bow_tie_is_mended(tmp_path):
    annotations = read_annotations(write(tmp_path / "a.geojson", polygon(BOW_TIE), polygon(SQUARE)))
    assert annotations.mended == 1
    assert [region.area_px for region in annotations.regions] == [8, 16]


@pytest.mark.parametrize(
    ("geometry", "reason"),
    [
        (polygon([]), "without area"),
        (polygon([[0, 0], [1, 1], [2, 2], [0, 0]]), "without area"),
        (polygon([[0, 0], [float("nan"), 1], [2, 2], [0, 0]]), "not finite"),
        ({"type": "LineString", "coordinates": [[0, 0], [1, 1]]}, "without area"),
        (None, "no geometry"),
        ({"type": "Nonsense", "coordinates": []}, "feature 1"),
        (polygon([[0, 0], ["a", 1], [2, 2]]), "feature 1"),
    ],
)
def test_what_is_no_polygon_is_listed(tmp_path, geometry, reason):
    annotations = read_annotations(write(tmp_path / "a.geojson", geometry, polygon(SQUARE)))
    assert len(annotations.regions) == 1
    assert reason in annotations.skipped[0]
    with pytest.raises(ImageFileError, match="1 features that are none"):
        annotations.raise_if_skipped()


def test_geometry_collection_and_multipolygon(tmp_path):
    far = [[10, 10], [12, 10], [12, 12], [10, 12], [10, 10]]
    collection = {
        "type": "GeometryCollection",
        "geometries": [polygon(SQUARE), {"type": "Point", "coordinates": [0, 0]}],
    }
    both = {"type": "MultiPolygon", "coordinates": [[SQUARE], [far]]}
    annotations = read_annotations(write(tmp_path / "a.geojson", collection, both))
    assert [region.area_px for region in annotations.regions] == [16, 20]
    assert annotations.mended == 1
    assert len(polygon_pixels(annotations.regions[1].rings_xy, (20, 20))[0]) == 20


def test_a_million_vertices(tmp_path):
    angle = np.linspace(0, 2 * np.pi, 1_000_000)
    circle = np.stack([500 + 400 * np.cos(angle), 500 + 400 * np.sin(angle)], axis=1)
    assert abs(len(polygon_pixels([circle], (1024, 1024))[0]) / (np.pi * 400**2) - 1) < 1e-3


@given(st.lists(st.tuples(st.integers(-3, 12), st.integers(-3, 12)), min_size=3, max_size=8), st.integers(0, 1))
@settings(max_examples=200, deadline=None)
def test_pixels_equal_the_even_odd_definition(points, fraction):
    ring = np.array(points) + 0.25 * fraction
    painted = np.zeros((9, 9), bool)
    painted[polygon_pixels([ring], (9, 9))] = True
    for row in range(9):
        for column in range(9):
            x, y, inside = column + 0.5, row + 0.5, False
            for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
                if min(y0, y1) <= y < max(y0, y1) and x0 + (y - y0) * (x1 - x0) / (y1 - y0) <= x:
                    inside = not inside
            assert painted[row, column] == inside


def test_paint_later_wins_and_counts():
    squares = [[np.array(SQUARE[:4])], [np.array(SQUARE[:4]) + 2]]
    painted, decided = paint(squares, [1, 2], (8, 8))
    assert decided == 4
    assert np.bincount(painted.ravel()).tolist() == [64 - 28, 12, 16]


def test_polygons_that_share_an_edge_share_no_pixel():
    triangle, other = np.array([[0, 0], [8, 0], [0, 8]]), np.array([[8, 0], [8, 8], [0, 8]])
    painted, decided = paint([[triangle], [other]], [1, 2], (8, 8))
    assert decided == 0
    assert (painted > 0).all()
