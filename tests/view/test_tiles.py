from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from view_results import TISSUES

from coseg_bundle.classes import GROUND, ClassMap
from coseg_bundle.view.tiles import ImageTiles, NoTileError, TissueTiles, addresses, extent, level_count, nothing


def test_levels_by_hand():
    assert [level_count(size) for size in ((1, 1), (512, 512), (513, 9), (1024, 1024), (1025, 3))] == [1, 1, 2, 2, 3]
    assert addresses((600, 400), 0) == [(0, 0, 0), (0, 1, 0)]
    assert addresses((600, 400), 1) == [(1, 0, 0)]
    assert extent((600, 400), (0, 1, 0)) == (512, 0, 88, 400)
    assert extent((600, 400), (1, 0, 0)) == (0, 0, 600, 400)


@pytest.mark.parametrize("address", [(2, 0, 0), (-1, 0, 0), (0, 2, 0), (0, 0, 1), (0, -1, 0)])
def test_there_is_no_such_tile(address):
    with pytest.raises(NoTileError, match="There is no tile"):
        extent((600, 400), address)


def picture(content):
    return Image.open(io.BytesIO(content))


def test_image_tiles_are_the_image(result):
    tiles = ImageTiles(result.reader)
    right = np.asarray(picture(tiles.jpeg((0, 1, 0))))
    assert right.shape == (400, 88, 3)
    assert np.abs(right[50, 38].astype(int) - (90, 50, 140)).max() < 12  # the nucleus at 550, 50
    half = np.asarray(picture(tiles.jpeg((1, 0, 0))))
    assert half.shape == (200, 300, 3)
    assert np.abs(half[25, 275].astype(int) - (90, 50, 140)).max() < 12


@pytest.fixture
def tissue(result):
    return TissueTiles(*result.tissue_map, TISSUES, result.size_xy)


def opacity(content):
    return np.asarray(picture(content).convert("RGBA"))[..., 3]


def test_tissue_tiles_by_hand(tissue):
    alpha = opacity(tissue.png((1,), (0, 0, 0)))
    assert alpha.shape == (400, 512)
    assert set(np.unique(alpha)) == {0, 64, 255}
    assert (alpha[:, :296] == 64).all()
    assert (alpha[:, 304:] == 0).all()
    assert (alpha[200, 296:304] == 255).sum() == 1  # one pixel of border
    assert picture(tissue.png((1,), (0, 0, 0))).convert("RGBA").getpixel((9, 9))[:3] == TISSUES.colour_of(1)
    assert tissue.png((1,), (0, 1, 0)) is None


@pytest.mark.parametrize("level", [0, 1])
def test_tissue_covers_what_it_should_at_every_level(tissue, level):
    alpha = opacity(tissue.png((1,), (level, 0, 0)))
    assert (alpha > 0).sum() * 4**level == pytest.approx(300 * 400, rel=0.01)


def test_a_map_finer_than_the_screen():
    ids = np.zeros((4096, 4096), np.uint8)
    ids[:1024] = 1
    tiles = TissueTiles(ids, 1.0, TISSUES, (4096, 4096))
    assert (opacity(tiles.png((1,), (3, 0, 0))) > 0).sum() == 128 * 512


@pytest.mark.parametrize("class_id", [0, 2, -1])
def test_there_is_no_such_class(tissue, class_id):
    with pytest.raises(NoTileError, match="There are no tissue classes"):
        tissue.png((class_id,), (0, 0, 0))


def test_nothing_is_transparent():
    assert opacity(nothing()).tolist() == [[0]]


def test_what_cannot_be_read_has_a_colour_of_its_own(result, monkeypatch):
    from coseg_bundle.wsi.read.reader import UNREADABLE, SlideReadError

    def broken(*_, **__):
        raise SlideReadError("broken")

    monkeypatch.setattr(result.reader, "read", broken)
    tile = np.asarray(picture(ImageTiles(result.reader).jpeg((1, 0, 0))))
    assert tile.shape == (200, 300, 3)
    assert np.abs(tile[9, 9].astype(int) - UNREADABLE).max() < 12


def test_the_ground_has_a_border_and_no_tint():
    ids = np.full((600, 600), 2, np.uint8)
    ids[200:400, 200:400] = 1
    tiles = TissueTiles(ids, 1.0, ClassMap(("empty", "gland", GROUND)), (600, 600))
    alpha = opacity(tiles.png((1, 2), (0, 0, 0)))
    assert alpha[100, 100] == 0
    assert alpha[300, 300] == 64
    assert 255 in alpha[190:210, 300]
