from types import SimpleNamespace

import numpy as np
import pytest
import standin
import torch
from hypothesis import given
from hypothesis import strategies as st

from coseg_bundle.wsi.read.reader import open_slide
from coseg_bundle.wsi.segment import tiles
from coseg_bundle.wsi.segment.maps import MapLayout
from coseg_bundle.wsi.segment.tiles import TileImage, infer_tiles, part_with, read_tile
from coseg_bundle.wsi.segment.tiling import Box, TileGrid

GRID = TileGrid(1000, 1000, core_px=384, halo_px=64)  # windows of 512 px


def mask_with(*boxes, shape=(1000, 1000)):
    mask = np.zeros(shape, bool)
    for x0, y0, x1, y1 in boxes:
        mask[y0:y1, x0:x1] = True
    return mask


@pytest.mark.parametrize(
    ("seen", "part"),
    [
        (
            (400, 500, 420, 510),
            (320, 320, 576, 576),
        ),  # with the halo from 336 to 484 and 436 to 574: two windows of 128
        ((384, 384, 768, 768), (320, 320, 832, 832)),  # all of the core: the whole window
        ((330, 384, 340, 394), (320, 320, 448, 576)),  # in the seam: it counts, and there is no more than the window
        ((760, 700, 765, 705), (576, 576, 832, 832)),  # no further than the window
        ((0, 0, 10, 10), (320, 320, 832, 832)),  # nothing here: whoever asks is to have all
    ],
)
def test_parts_by_hand(seen, part):
    assert part_with(mask_with(seen), GRID, 4, seam_px=48) == Box(*part)


def test_a_coarse_mask():
    """One pixel of ten, from 400 to 410: 10 px and the halo."""
    assert part_with(mask_with((40, 50, 41, 51), shape=(100, 100)), GRID, 4, 48) == Box(320, 320, 576, 576)


@given(
    st.integers(0, 8),
    st.lists(st.tuples(*[st.integers(0, 990)] * 2, *[st.integers(1, 300)] * 2), min_size=1, max_size=3),
)
def test_all_that_is_used_and_its_halo_lie_in_the_part(index, drawn):
    mask = mask_with(*((x, y, x + width, y + height) for x, y, width, height in drawn))
    window, part = GRID[index].window, part_with(mask, GRID, index, 48)
    assert part == part.intersection(window)
    assert all((a - b) % 128 == 0 for a, b in zip(part, (*window[:2], *window[:2]), strict=True))
    used = window.grown(48 - 64).intersection(GRID.plane)
    for y, x in np.add(np.argwhere(mask[used.y0 : used.y1, used.x0 : used.x1])[::500], [used.y0, used.x0]):
        around = Box(x, y, x + 1, y + 1).grown(64).intersection(window)
        assert around == around.intersection(part)


def test_a_part_says_what_its_window_says(tmp_path):
    """With a network that looks at few pixels; beyond the part there is nothing."""
    rng = np.random.default_rng(0)
    path = standin.write_slide(tmp_path / "a.tif", rng.integers(0, 255, (600, 600, 3), np.uint8))
    predictor = standin.predictor()
    part = Box(64, 0, 192, 256)
    with open_slide(path) as reader:
        grid = TileGrid(600, 600, 256, 32)
        layout = MapLayout.of(predictor.postprocessing.layout, grid)
        images = [
            read_tile(reader, grid, 0, 0.25),
            read_tile(reader, grid, 0, 0.25, part),
            read_tile(reader, grid, 4, 0.25),
        ]
    assert images[1].corner == (96, 32)
    assert images[1].rgb.shape == (256, 128, 3)
    whole, found, other = infer_tiles(predictor, images, layout)
    cut = 32 - layout.seam_px
    here = np.s_[:, 32 - cut : 288 - cut, 96 - cut : 224 - cut]
    inside = np.s_[:, 8:-8, 8:-8]
    assert np.array_equal(found.fine[here][inside], whole.fine[here][inside])
    rest = np.ones(found.fine.shape[1:], bool)
    rest[here[1:]] = False
    assert (found.fine[0][rest] < -100).all()
    assert np.array_equal(other.fine, infer_tiles(predictor, images[2:], layout)[0].fine)


@pytest.mark.parametrize(
    ("device", "shapes"),
    [
        ("cuda", [(2, 128, 64, 3), (1, 320, 320, 3)]),
        ("cpu", [(1, 128, 64, 3), (1, 320, 320, 3), (1, 128, 64, 3)]),
    ],
)
def test_parts_of_one_size_go_together_on_a_gpu(monkeypatch, device, shapes):
    asked = []

    def infer_batch(_, rgb):
        asked.append(rgb.shape)
        return torch.zeros(len(rgb), 7, *rgb.shape[1:3])

    monkeypatch.setattr(tiles, "infer_batch", infer_batch)
    predictor = SimpleNamespace(postprocessing=standin.predictor().postprocessing, device=SimpleNamespace(type=device))
    layout = MapLayout.of(predictor.postprocessing.layout, TileGrid(600, 600, 256, 32))
    boxes = [Box(0, 0, 64, 128), Box(0, 0, 320, 320), Box(0, 0, 64, 128)]
    assert len(infer_tiles(predictor, [TileImage.blank(box) for box in boxes], layout)) == 3
    assert asked == shapes


def test_beyond_the_edge_as_in_a_mirror(tmp_path):
    rgb = np.random.default_rng(0).integers(100, 200, (60, 80, 3), np.uint8)
    path = standin.write_slide(tmp_path / "a.tif", rgb)
    with open_slide(path) as reader:
        image = read_tile(reader, TileGrid(80, 60, 96, 16), 0, 0.25).rgb
        inside = reader.read(0, 0, 80, 60, 0.25)
    assert np.array_equal(image[16:76, 16:96], inside)
    assert np.array_equal(image, np.pad(inside, ((16, 52), (16, 32), (0, 0)), mode="reflect"))
