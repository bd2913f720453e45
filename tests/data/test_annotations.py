import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coseg_bundle.data.annotations import annotations_of, read_annotations
from coseg_bundle.data.images import ImageFileError
from coseg_bundle.data.polygons import paint, paint_instances, polygon_pixels


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


def test_scribbles_are_listed_and_noisy_rings_mended(tmp_path):
    rng = np.random.default_rng(0)
    angle = np.linspace(0, 2 * np.pi, 20_000)
    ring = np.stack([500 + 400 * np.cos(angle), 500 + 400 * np.sin(angle)], axis=1)
    noisy = polygon((ring + rng.normal(0, 0.1, ring.shape)).tolist())
    scribble = polygon((rng.random((50_000, 2)) * 1000).tolist())
    annotations = read_annotations(write(tmp_path / "a.geojson", scribble, noisy))
    assert annotations.mended == 1
    assert annotations.regions[0].area_px == pytest.approx(np.pi * 400**2, rel=1e-3)
    assert "a scribble of 50001 points" in annotations.skipped[0]


def test_a_comb_is_painted_in_bounded_memory(monkeypatch):
    """Few vertices per row or many: the pixels are the same, whatever is held at once."""
    teeth = np.arange(400) / 10
    comb = np.stack([np.repeat(teeth, 2), np.tile([0.0, 30, 30, 0], 200)], axis=1)
    comb = np.concatenate([comb, [[50, 0], [50, 40], [-5, 40], [-5, 0]]])
    at_once = polygon_pixels([comb], (48, 48))
    monkeypatch.setattr("coseg_bundle.data.polygons._AT_ONCE", 100)
    assert np.array_equal(at_once, polygon_pixels([comb], (48, 48)))
    assert len(at_once[0]) > 500


@pytest.mark.slow
def test_two_million_vertices(tmp_path):
    angle = np.linspace(0, 2 * np.pi, 2_000_000)
    circle = np.stack([500 + 400 * np.cos(angle), 500 + 400 * np.sin(angle)], axis=1)
    rng = np.random.default_rng(0)
    path = write(
        tmp_path / "a.geojson",
        polygon(circle.tolist()),
        polygon((circle + rng.normal(0, 3e-3, circle.shape))[::10].tolist()),
        polygon((rng.random((50_000, 2)) * 1000).tolist()),
    )
    annotations = read_annotations(path)
    assert (len(annotations.regions), annotations.mended) == (2, 1)
    assert "a scribble" in annotations.skipped[0]
    for region in annotations.regions:
        assert len(polygon_pixels(region.rings_xy, (1024, 1024))[0]) == pytest.approx(np.pi * 400**2, rel=1e-3)


@pytest.mark.parametrize(
    ("content", "regions", "skipped"),
    [
        (b"\xef\xbb\xbf" + json.dumps({"features": [{"geometry": polygon(SQUARE)}]}).encode(), 1, 0),
        (json.dumps({"type": "Feature", "geometry": polygon(SQUARE)}).encode(), 1, 0),
        (json.dumps([{"features": [{"features": [{"geometry": polygon(SQUARE)}, 3]}]}]).encode(), 1, 1),
        (json.dumps([{"geometry": polygon([[0, 0], [1e300, 0], [0, 1e300]])}]).encode(), 0, 1),
        (json.dumps([{"geometry": polygon([[0, 0], [10**400, 0], [0, 1]])}]).encode(), 0, 1),
        (json.dumps([{"geometry": polygon([[0, 0], [0, 0], [4, 0], [4, 0], [4, 4], [0, 0]])}]).encode(), 1, 0),
        (json.dumps([{"geometry": polygon(SQUARE, [])}, {"geometry": polygon([[0, 0]])}]).encode(), 1, 1),
        (json.dumps([{"geometry": {"type": "MultiPolygon", "coordinates": []}}]).encode(), 0, 1),
        (json.dumps([{"geometry": polygon(SQUARE), "properties": [1]}]).encode(), 0, 1),
        (b"[]", 0, 0),
    ],
)
def test_odd_files(tmp_path, content, regions, skipped):
    (tmp_path / "a.geojson").write_bytes(content)
    annotations = read_annotations(tmp_path / "a.geojson")
    assert (len(annotations.regions), len(annotations.skipped)) == (regions, skipped)


@pytest.mark.parametrize(
    "content", [b"", b"null", b"3", b'"a"', b"{", b"\xff\xfe", b"[" * 100_000, b'{"features": {}}']
)
def test_files_that_are_no_geojson(tmp_path, content):
    (tmp_path / "a.geojson").write_bytes(content)
    with pytest.raises(ImageFileError, match=r"a\.geojson: expected a GeoJSON"):
        read_annotations(tmp_path / "a.geojson")


NUMBERS = st.one_of(st.integers(-5, 40), st.floats(), st.sampled_from([10**400, None, "1", [], True]))
POINTS = st.one_of(st.lists(st.integers(-5, 40), min_size=2, max_size=3), st.lists(NUMBERS, max_size=4))
RINGS = st.lists(POINTS, max_size=9)
COORDINATES = st.one_of(
    NUMBERS, POINTS, RINGS, st.lists(RINGS, max_size=3), st.lists(st.lists(RINGS, max_size=3), max_size=3)
)
TYPES = st.sampled_from(
    ["Polygon", "MultiPolygon", "LineString", "Point", "MultiPoint", "GeometryCollection", "", None, 3]
)
GEOMETRIES = st.recursive(
    st.one_of(st.none(), st.builds(lambda kind, xy: {"type": kind, "coordinates": xy}, TYPES, COORDINATES)),
    lambda inner: st.builds(
        lambda parts: {"type": "GeometryCollection", "geometries": parts}, st.lists(inner, max_size=3)
    ),
    max_leaves=4,
)
NAMES = st.one_of(st.none(), st.text(max_size=3), st.integers(), st.lists(st.text(max_size=2), max_size=2))
PROPERTIES = st.one_of(
    st.none(),
    st.just([1]),
    st.builds(lambda n: {"classification": {"name": n}}, NAMES),
    st.builds(lambda n: {"classification": n}, NAMES),
)
FEATURES = st.one_of(
    st.builds(lambda g, p: {"type": "Feature", "geometry": g, "properties": p}, GEOMETRIES, PROPERTIES),
    st.none(),
    st.text(max_size=2),
)
COLLECTIONS = st.recursive(
    st.builds(lambda f: {"type": "FeatureCollection", "features": f}, st.lists(FEATURES, max_size=4)),
    lambda inner: st.builds(lambda f: {"features": f}, st.lists(inner, max_size=2)),
    max_leaves=3,
)


@given(COLLECTIONS)
@settings(max_examples=400, deadline=None)
def test_whatever_lies_in_a_collection_is_painted_or_listed(collection):
    """Every feature ends as a region or in the list, and what is a region can be painted."""
    annotations = annotations_of(json.loads(json.dumps(collection)), "a.geojson")

    def count(part):
        return sum(count(f) if isinstance(f, dict) and "features" in f else 1 for f in part["features"])

    listed = len(annotations.regions) + len(annotations.skipped) + sum(annotations.left_out.values())
    assert listed == count(collection)
    shapes, areas = [r.rings_xy for r in annotations.regions], [r.area_px for r in annotations.regions]
    painted, _ = paint_instances(shapes, areas, (32, 32))
    assert painted.max(initial=0) <= len(annotations.regions)
    assert all(isinstance(region.name, str) and region.area_px > 0 for region in annotations.regions)
