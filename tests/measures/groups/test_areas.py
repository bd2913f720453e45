import numpy as np
import pytest
import shapely

from coseg_bundle.classes import UNLABELLED
from coseg_bundle.measures.groups import areas
from coseg_bundle.measures.groups.areas import BORDER_UM, Grid, TissuePlane, survey
from coseg_bundle.measures.groups.roles import Roles
from coseg_bundle.wsi.segment.foreground import GLASS, TISSUE
from coseg_bundle.wsi.segment.tiling import Box


def plane_of(classes, px=4.0, mpp=1.0, **options):
    return TissuePlane(lambda b: classes[b.y0 : b.y1, b.x0 : b.x1], classes.shape, px, mpp, **options)


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    monkeypatch.setattr(areas, "_TILE_PX", 64)


def random_plane(seed=0, **options):
    rng = np.random.default_rng(seed)
    classes = np.kron(rng.integers(0, 3, (10, 13)), np.ones((16, 16), int)).astype(np.uint8)[:150, :201]
    return classes, plane_of(classes, **options)


def test_by_hand():
    classes = np.array([[0, 1, 1], [0, 0, 1]], np.uint8)
    found = survey(plane_of(classes, mpp=2.0), 2, Roles())
    assert found.slide.by_tissue.tolist() == [[12.0, 12.0]]
    assert found.slide.total.tolist() == [24.0]
    assert np.isnan(found.slide.near_tumor).all()


def test_what_does_not_count():
    """Glass, what could not be read, and what lies outside the regions of the run."""
    classes = np.ones((100, 100), np.uint8)
    kinds = np.full((10, 10), TISSUE, np.uint8)
    kinds[:, :2] = GLASS
    plane = plane_of(
        classes,
        kinds=kinds,
        broken=((360, 360, 400, 400),),
        within=(shapely.box(0, 0, 400, 200), shapely.box(0, 200, 400, 400)),
    )
    assert survey(plane, 2, Roles()).slide.by_tissue.tolist() == [[0, 8000 - 100]]
    half = plane_of(classes, within=(shapely.box(0, 0, 400, 200),))
    assert (half.read(Box(0, 40, 100, 60)) == UNLABELLED).sum() == 1000


def test_what_lies_at_points():
    """Pixels of the map are 4 px of the slide wide; the first 20 of 100 columns are glass: 80 px of the slide."""
    kinds = np.full((10, 10), TISSUE, np.uint8)
    kinds[:, :2] = GLASS
    classes = np.ones((100, 100), np.uint8)
    points = np.array([[0, 0], [79.9, 200], [80, 200], [399.9, 399.9], [400, 400]])
    assert plane_of(classes, kinds=kinds).kinds_at(points).tolist() == [GLASS, GLASS, TISSUE, TISSUE, TISSUE]
    assert plane_of(classes).kinds_at(points).tolist() == [TISSUE] * 5


def test_regions_that_part_a_slide_are_the_slide():
    classes, plane = random_plane()
    rng = np.random.default_rng(1)
    width, height = classes.shape[1] * 4, classes.shape[0] * 4
    points = shapely.MultiPoint(rng.uniform(0, 1, (25, 2)) * (width, height))
    cells = shapely.get_parts(shapely.voronoi_polygons(points, extend_to=shapely.box(0, 0, width, height)))
    regions = [shapely.intersection(cell, shapely.box(0, 0, width, height)) for cell in cells]
    found = survey(plane, 3, Roles(), regions=regions, grid=Grid.over(width / 4, height / 4, 30.0))
    np.testing.assert_allclose(found.regions.by_tissue.sum(0), found.slide.by_tissue[0], rtol=0, atol=0)
    np.testing.assert_allclose(found.cells.by_tissue.sum(0), found.slide.by_tissue[0], rtol=0, atol=0)
    assert found.slide.by_tissue[0].tolist() == np.bincount(classes.ravel()).tolist()
    for region, area in zip(regions, found.regions.total, strict=True):
        assert area == pytest.approx(region.area / 16, abs=region.length / 8)


def test_grid_as_the_slow_reference():
    classes, plane = random_plane(2)
    grid = Grid.over(201, 150, 47.0)
    found = survey(plane, 3, Roles(), grid=grid).cells.by_tissue
    y, x = np.mgrid[:150, :201] + 0.5
    cell = (y // 47).astype(int) * grid.columns + (x // 47).astype(int)
    for i in range(len(grid)):
        assert found[i].tolist() == np.bincount(classes[cell == i], minlength=3).tolist()


def test_distance_to_the_tumour_as_the_slow_reference():
    """Tumour is 1; 2 and 0 are stroma of two kinds."""
    rng = np.random.default_rng(3)
    classes = np.full((150, 201), 2, np.uint8)
    classes[:, :60] = 0
    for y, x in rng.integers(10, 140, (4, 2)):
        classes[y : y + 7, x : x + 5] = 1
    plane, roles = plane_of(classes), Roles((1,), (0, 2), ())
    points = rng.uniform(0, 1, (300, 2)) * (201, 150)
    found = survey(plane, 3, roles, points_xy=points * 4)
    tumor = np.argwhere(classes == 1)
    y, x = np.mgrid[:150, :201]
    distance = np.min([np.hypot(y - a, x - b) for a, b in tumor], axis=0) - 0.5
    distance[classes == 1] = np.nan
    for i, limit in enumerate(BORDER_UM):
        assert found.slide.near_tumor[0, i] == (distance <= limit).sum()
    assert found.slide.by_tissue[0].tolist() == np.bincount(classes.ravel()).tolist()
    expected = distance[points[:, 1].astype(int), points[:, 0].astype(int)]
    expected[expected > BORDER_UM[-1]] = np.nan
    np.testing.assert_allclose(found.tumor_um, expected, atol=1e-4)


def test_only_the_tiles_of_regions():
    _, plane = random_plane()
    region = shapely.box(20, 20, 300, 200)
    asked = []
    watched = TissuePlane(lambda b: asked.append(b) or plane.classes(b), plane.shape, plane.px, plane.mpp)
    found = survey(watched, 3, Roles(), regions=[region], regions_only=True)
    np.testing.assert_array_equal(
        found.regions.by_tissue, survey(plane, 3, Roles(), regions=[region]).regions.by_tissue
    )
    assert len(asked) == 2


def test_a_grid_smaller_than_a_pixel_of_it_and_larger_than_the_slide():
    grid = Grid.over(10, 10, 1000)
    assert len(grid) == 1
    assert grid.cell(np.array([0.0, 10.0]), np.array([0.0, 10.0])).tolist() == [0, 0]
