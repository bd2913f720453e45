import numpy as np
import pytest
import shapely
from skimage import measure

from coseg_bundle.measures.nuclei.shapes import SHAPES, areas_and_centroids, pixels_of, shape_measures
from coseg_bundle.postprocessing.contours import trace_rings
from coseg_bundle.postprocessing.instances import instance_table

REGIONPROPS = {  # our column: skimage's property, and how far they may be apart (share of the value)
    "equivalent_diameter_um": ("equivalent_diameter_area", 1e-6),
    "perimeter_um": ("perimeter_crofton", 0.03),
    "major_axis_um": ("axis_major_length", 0.02),
    "minor_axis_um": ("axis_minor_length", 0.02),
    "solidity": ("solidity", 0.04),
}
ECCENTRICITY, ORIENTATION_DEG = 0.02, 3.0  # absolute, for nuclei that are longer than wide


def ellipses(seed=0, cells=9, pitch=44):
    """A label map of ellipses of any direction, 12 to 36 px long."""
    rng = np.random.default_rng(seed)
    instances = np.zeros((cells * pitch, cells * pitch), np.int32)
    yy, xx = np.mgrid[-20:21, -20:21]
    for number, cell in enumerate(np.ndindex(cells, cells), start=1):
        a, b, angle = *rng.uniform(6, 18, 2), rng.uniform(0, np.pi)
        dx, dy = rng.uniform(-0.5, 0.5, 2)
        u = (xx - dx) * np.cos(angle) + (yy - dy) * np.sin(angle)
        v = (yy - dy) * np.cos(angle) - (xx - dx) * np.sin(angle)
        y, x = np.array(cell) * pitch + 1
        instances[y : y + 41, x : x + 41][(u / a) ** 2 + (v / b) ** 2 <= 1] = number
    return instances


def test_a_rectangle_by_hand():
    found = shape_measures(np.array([shapely.box(10, 20, 14, 22)]), mpp=0.5)
    assert tuple(found) == SHAPES
    values = {name: float(column[0]) for name, column in found.items()}
    assert values == pytest.approx(
        {
            "perimeter_um": 6.0,
            "equivalent_diameter_um": np.sqrt(4 * 2 / np.pi),
            "major_axis_um": 4 * np.sqrt(16 / 12) * 0.5,
            "minor_axis_um": 4 * np.sqrt(4 / 12) * 0.5,
            "eccentricity": np.sqrt(0.75),
            "solidity": 1.0,
            "orientation_deg": 90.0,
            "circularity": 4 * np.pi * 2 / 36,
        },
        rel=1e-6,
    )


def outline(mask):
    [ring] = trace_rings(mask.astype(np.int32))
    return shapely.Polygon(ring.points_xy)


def test_corners_are_cut_a_pixel_away_by_hand():
    """Sides were cut in their middles: a square of 10 px had 28.3, and circularity 1."""
    squares = np.array([shapely.box(0, 0, 10, 10), shapely.box(0, 0, 1, 1)])
    found = shape_measures(squares, 1.0, pixel_px=1.0)
    np.testing.assert_allclose(found["perimeter_um"], [4 * (8 + np.sqrt(2)), 4 * np.sqrt(0.5)], rtol=1e-6)
    np.testing.assert_allclose(found["circularity"][0], 4 * np.pi * 100 / (4 * (8 + np.sqrt(2))) ** 2, rtol=1e-6)
    assert shape_measures(squares, 1.0)["perimeter_um"].tolist() == [40, 4]
    hole = np.array([shapely.box(0, 0, 10, 10).difference(shapely.box(4, 4, 6, 6))])
    lengths = shape_measures(hole, 0.5, pixel_px=1.0)["perimeter_um"]
    np.testing.assert_allclose(lengths, 0.5 * 4 * (8 + 2 * np.sqrt(2)), rtol=1e-6)


@pytest.mark.parametrize("radius", [5, 8, 12, 25])
def test_perimeters_of_discs(radius):
    """As nuclei lie on pixels of 0.25 um: 2.5 to 12.5 um across."""
    yy, xx = np.mgrid[:61, :61] + 0.5
    places = np.random.default_rng(0).uniform(30, 31, (20, 2))
    discs = np.array([outline((yy - y) ** 2 + (xx - x) ** 2 <= radius**2) for y, x in places], object)
    lengths = shape_measures(discs, 1.0, pixel_px=1.0)["perimeter_um"]
    assert lengths.mean() == pytest.approx(2 * np.pi * radius, rel=0.01)
    np.testing.assert_allclose(lengths, 2 * np.pi * radius, rtol=0.03)
    assert pixels_of(discs) == 1
    shrunk = np.array([shapely.affinity.scale(disc, 0.501, 0.501, origin=(0, 0)) for disc in discs], object)
    rounded = shapely.transform(shrunk, lambda xy: np.round(xy, 2))
    assert pixels_of(rounded) == pytest.approx(0.501, abs=0.01)
    again = shape_measures(rounded, 1 / 0.501, pixel_px=0.501)["perimeter_um"]
    np.testing.assert_allclose(again, lengths, rtol=0.005)


def test_outlines_without_a_slope_do_not_say_which_pixels_they_follow():
    assert pixels_of(np.array([shapely.box(0, 0, 10, 10)])) == 0
    assert pixels_of(np.zeros(0, object)) == 0


@pytest.fixture(scope="module")
def both():
    instances = ellipses()
    table = instance_table(instances)
    polygons = np.array([shapely.Polygon(ring) for ring in table.contours_xy], object)
    return shape_measures(polygons, 0.25, table.area_px * 0.25**2, pixel_px=1.0), measure.regionprops(instances)


@pytest.mark.parametrize("name", REGIONPROPS)
def test_as_regionprops(both, name):
    found, expected = both
    property_name, tolerance = REGIONPROPS[name]
    unit = 1 if name == "solidity" else 0.25
    values = np.array([getattr(region, property_name) for region in expected]) * unit
    np.testing.assert_allclose(found[name], values, rtol=tolerance)


def test_direction_as_regionprops(both):
    found, expected = both
    eccentricity = np.array([region.eccentricity for region in expected])
    long = eccentricity > 0.6
    assert long.sum() > 30
    np.testing.assert_allclose(found["eccentricity"][long], eccentricity[long], atol=ECCENTRICITY)
    difference = found["orientation_deg"] - np.degrees([region.orientation for region in expected])
    assert np.abs((difference[long] + 90) % 180 - 90).max() < ORIENTATION_DEG


def test_far_from_the_corner():
    """Moments do not lose digits at the far end of a large slide."""
    outline = shapely.Point(0, 0).buffer(20)
    near, far = (shape_measures(np.array([shapely.affinity.translate(outline, d, d)]), 0.25) for d in (0, 4e6))
    for name in SHAPES:
        if name != "orientation_deg":  # a disc has none
            np.testing.assert_allclose(far[name], near[name], rtol=1e-4, atol=0.05 if name == "eccentricity" else 0)


def test_holes_and_parts():
    ring = shapely.box(0, 0, 4, 4).difference(shapely.box(1, 1, 3, 3))
    two = shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(9, 0, 10, 1)])
    area, centroid = areas_and_centroids(np.array([ring, two, shapely.box(0, 0, 2, 2).reverse()]))
    assert area.tolist() == [12, 2, 4]
    np.testing.assert_allclose(centroid, [[2, 2], [5, 0.5], [1, 1]])
    found = shape_measures(np.array([ring]), 1.0)
    assert found["major_axis_um"][0] == pytest.approx(4 * np.sqrt((256 - 16) / 12 / 12))


def test_extremes():
    assert all(len(values) == 0 for values in shape_measures(np.zeros(0, object), 1.0).values())
    flat = shapely.Polygon([(0, 0), (1, 0), (2, 0)])
    assert all(np.isnan(values[0]) for values in shape_measures(np.array([flat]), 1.0).values())
