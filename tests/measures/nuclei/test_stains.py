from itertools import product

import numpy as np
import pytest
import shapely
from PIL import Image
from skimage.color import rgb2hed
from standin import write_slide

from coseg_bundle.measures.nuclei.stains import STAINS, stain_measures, stain_step
from coseg_bundle.wsi.read.backend import Region
from coseg_bundle.wsi.read.reader import SlideReadError, open_slide

PURPLE, PINK = (90, 60, 140), (230, 170, 200)


def od(colour):
    return rgb2hed(np.array([[colour]], np.uint8))[0, 0, :2] * 6


@pytest.fixture
def slide(tmp_path):
    """A pink ground of 0.5 um per pixel with two purple squares, far apart, and two that touch."""
    rgb = np.full((200, 1500, 3), PINK, np.uint8)
    boxes = [(20, 20, 40, 40), (1300, 50, 1330, 80), (100, 100, 120, 120), (120, 100, 140, 120)]
    for x0, y0, x1, y1 in boxes:
        rgb[y0:y1, x0:x1] = PURPLE
    Image.fromarray(rgb).save(tmp_path / "slide.png")
    return tmp_path / "slide.png", np.array([shapely.box(*box) for box in boxes], object)


def test_by_hand(slide):
    path, polygons = slide
    with open_slide(path, 0.5) as reader:
        found = stain_measures(polygons, reader)
    assert tuple(found) == STAINS
    haematoxylin, eosin = od(PURPLE)
    np.testing.assert_allclose(found["haematoxylin_od"], haematoxylin, rtol=1e-5)
    np.testing.assert_allclose(found["eosin_od"], eosin, rtol=1e-5)
    np.testing.assert_allclose(found["haematoxylin_od_sd"], 0, atol=1e-6)
    ground = od(PINK)
    np.testing.assert_allclose(found["ring_haematoxylin_od"], ground[0], rtol=1e-5)  # neighbours are no ring
    np.testing.assert_allclose(found["ring_eosin_od"], ground[1], rtol=1e-5)


@pytest.mark.parametrize(("step", "mpps"), [(1, (0.499, 0.5, 0.502, 0.4, 1.0)), (2, (0.2495, 0.25, 0.2505))])
def test_the_same_pixels_have_the_same_densities(tmp_path, step, mpps):
    """However near their width is to half a micron, wherever the nucleus lies, and whatever levels the file has: 0.499
    was interpolated at a phase that drifts over the slide, 0.2495 all but averaged."""
    square = np.random.default_rng(5).integers(40, 250, (32, 32, 3), np.uint8)
    rgb = np.tile(square, (12, 12, 1))
    polygons = np.array([shapely.box(x + 8, y + 8, x + 24, y + 24) for y in (0, 320) for x in (0, 96, 352)], object)
    read = square.reshape(32 // step, step, 32 // step, step, 3).mean((1, 3)).round().astype(np.uint8)
    inside = rgb2hed(read)[8 // step : 24 // step, 8 // step : 24 // step] * 6
    paths = [write_slide(tmp_path / f"{levels}.tif", rgb, levels=levels) for levels in (1, 3)]
    for path, mpp in product(paths, mpps):
        with open_slide(path, mpp) as reader:
            found = stain_measures(polygons, reader)
        assert stain_step(mpp) == step
        np.testing.assert_allclose(found["haematoxylin_od"], inside[..., 0].mean(), rtol=1e-2)
        np.testing.assert_allclose(found["haematoxylin_od_sd"], inside[..., 0].std(), rtol=1e-2)
        for name in STAINS:
            assert np.ptp(found[name]) == 0, name


def test_black_is_as_dark_as_eight_bits_tell(tmp_path):
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / "black.png")
    with open_slide(tmp_path / "black.png", 0.5) as reader:
        found = stain_measures(np.array([shapely.box(10, 10, 20, 20)], object), reader)
    assert 0 <= found["haematoxylin_od"][0] < 4


@pytest.mark.parametrize("mpp", [0.5, 0.499, 0.25, 0.3])
def test_the_white_beyond_the_slide_is_no_stain(tmp_path, mpp):
    """In the corner the ring was half white, and a nucleus that reaches out of the slide was paler than it is."""
    rgb = np.full((121, 121, 3), PINK, np.uint8)
    boxes = [(0, 0, 16, 16), (50, 50, 66, 66), (105, 60, 125, 76), (60, 105, 76, 121)]
    for x0, y0, x1, y1 in boxes:
        rgb[y0:y1, x0:x1] = PURPLE
    Image.fromarray(rgb).save(tmp_path / "slide.png")
    with open_slide(tmp_path / "slide.png", mpp) as reader:
        found = stain_measures(np.array([shapely.box(*box) for box in boxes], object), reader)
    assert (np.ptp(found["ring_haematoxylin_od"]), np.ptp(found["haematoxylin_od"])) == pytest.approx((0, 0), abs=0.06)
    if mpp == 0.5:
        np.testing.assert_allclose(found["ring_haematoxylin_od"], od(PINK)[0], rtol=1e-5)
        np.testing.assert_allclose(found["haematoxylin_od"], od(PURPLE)[0], rtol=1e-5)


def test_what_was_not_scanned_is_no_stain(slide, monkeypatch):
    path, polygons = slide
    with open_slide(path, 0.5) as reader:
        whole = reader.blocks

        def blocks(x, y, columns, rows, step):
            rgb, _ = whole(x, y, columns, rows, step)
            unscanned = np.zeros(rgb.shape[:2], bool)
            unscanned[:, max(0, 30 - int(x)) :] = True  # all right of the middle of the first square
            return Region(np.where(unscanned[..., None], np.uint8(255), rgb), unscanned)

        monkeypatch.setattr(reader, "blocks", blocks)
        found = stain_measures(polygons[:2], reader)
    np.testing.assert_allclose(found["haematoxylin_od"], [od(PURPLE)[0], np.nan], rtol=1e-5)
    np.testing.assert_allclose(found["ring_haematoxylin_od"], [od(PINK)[0], np.nan], rtol=1e-5)


def test_what_cannot_be_read_is_not_known(slide, monkeypatch):
    """A broken part hides the nuclei that lie on it, and none of those around."""
    path, polygons = slide
    with open_slide(path, 0.5) as reader:
        whole, broken = reader.blocks, shapely.box(95, 95, 118, 125)

        def blocks(x, y, columns, rows, step):
            if broken.intersects(shapely.box(x, y, x + columns, y + rows)):
                raise SlideReadError("a tile is broken")
            return whole(x, y, columns, rows, step)

        monkeypatch.setattr(reader, "blocks", blocks)
        found = stain_measures(polygons, reader)
    assert np.isnan(found["haematoxylin_od"]).tolist() == [False, False, True, True]  # the last one by its ring


def test_none(slide):
    with open_slide(slide[0], 0.5) as reader:
        assert all(len(values) == 0 for values in stain_measures(np.zeros(0, object), reader).values())
