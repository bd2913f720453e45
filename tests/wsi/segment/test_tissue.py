"""The slide's tissue map is the same wherever it is cut, and its outlines are as GeoJSON wants them."""

import numpy as np
import pytest
from scipy import ndimage

from coseg_bundle.postprocessing.tissue import tissue_polygons, without_specks
from coseg_bundle.wsi.segment import tissue as module
from coseg_bundle.wsi.segment.tiling import Box, TileGrid
from coseg_bundle.wsi.segment.tissue import tissue_map, tissue_regions

SIDE = 160


class Logits:
    """A layout whose logits are there already."""

    tissue_size = (SIDE, SIDE)

    def __init__(self, logits):
        self.logits = logits

    def tissue(self, tile_maps, box):
        return self.logits[:, box.y0 : box.y1, box.x0 : box.x1].copy()


def noise(seed, blur, share=1.0):
    rng = np.random.default_rng(seed)
    logits = ndimage.gaussian_filter(rng.normal(size=(3, SIDE, SIDE)), (0, blur, blur)).astype(np.float32)
    logits[:, : int(SIDE * (1 - share))] = np.array([1, 0, 0])[:, None, None]
    return Logits(logits)


def in_pieces(layout, smallest, foreground=None, side=50):
    whole = np.zeros((SIDE, SIDE), np.uint8)
    for piece in TileGrid(SIDE, SIDE, side, 0):
        box = piece.core
        found = tissue_map(layout, None, box, smallest * 16, foreground)
        whole[box.y0 : box.y1, box.x0 : box.x1] = found
    return whole


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("blur", "share"), [(0, 1.0), (1, 1.0), (2, 0.5), (4, 1.0)])
def test_pieces_are_cut_from_one_map(seed, blur, share):
    """Also where small regions fill more than the first margin, and none but them is there."""
    layout = noise(seed, blur, share)
    expected = without_specks(layout.logits.argmax(0).astype(np.uint8), 5)
    assert np.array_equal(in_pieces(layout, 5), expected)


def test_what_the_foreground_cuts_off_is_not_too_small():
    """A bar across the glass: its part on the tissue has 3 pixels, below the 10 that a region must have."""
    logits = np.zeros((2, SIDE, SIDE), np.float32)
    logits[1, 40, 20:60] = 1
    logits[1, 80:90, 20:60] = 1
    mask = np.zeros((SIDE, SIDE), bool)
    mask[30:100, 57:100] = True
    found = in_pieces(Logits(logits), 10, lambda box: mask[box.y0 : box.y1, box.x0 : box.x1])
    assert not found[40].any()
    assert found.sum() == 30  # of the other bar


def test_the_margin_ends(monkeypatch):
    """Noise from one end to the other: the window stops growing, and every pixel has a class."""
    monkeypatch.setattr(module, "LARGEST_MARGIN_PX", 20)
    assert set(np.unique(in_pieces(noise(0, 0), 5))) <= {0, 1, 2}


@pytest.mark.parametrize("piece_px", [16, 2048])
def test_outlines_by_hand(piece_px):
    """A frame of 40 px around a hole, across the pieces; the slide ends within the map's last pixels."""
    classes = np.zeros((50, 48), np.uint8)
    classes[8:48, 8:48] = 1
    classes[20:30, 20:30] = 0

    def read(box):
        return classes[box.y0 : box.y1, box.x0 : box.x1]

    [region] = tissue_regions(read, Box(0, 0, 48, 50), 4.0, 1.0, (190, 197), piece_px)
    assert region.polygon.bounds == (32, 32, 190, 192)
    assert region.polygon.exterior.is_ccw
    assert [ring.is_ccw for ring in region.polygon.interiors] == [False]
    assert region.area_um2 == 40 * 39.5 - 100  # half of the last column lies on the slide


@pytest.mark.parametrize("seed", range(3))
def test_winding_of_any_region(seed):
    classes = without_specks(noise(seed, 2).logits.argmax(0).astype(np.uint8), 5)
    regions = list(
        tissue_regions(lambda b: classes[b.y0 : b.y1, b.x0 : b.x1], Box(0, 0, SIDE, SIDE), 4.0, 1.0, (638, 640), 64)
    )
    assert all(region.polygon.exterior.is_ccw and region.polygon.is_valid for region in regions)
    assert not any(ring.is_ccw for region in regions for ring in region.polygon.interiors)
    assert max(region.polygon.bounds[2] for region in regions) == 638
    whole = [region.area_px for region in tissue_polygons(classes, skip_ids=(0,))]
    assert len(regions) == len(whole)
    assert min(whole) >= 5
    assert sum(region.area_um2 for region in regions) == sum(whole) - 0.5 * (classes[:, -1] > 0).sum()
    assert all(region.area_um2 == pytest.approx(region.polygon.area / 16) for region in regions)
