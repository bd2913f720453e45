import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coseg_bundle.wsi.segment.tiling import Box, TileGrid


@st.composite
def grids(draw):
    core = draw(st.integers(1, 40))
    size = st.integers(1, 120)
    return TileGrid(draw(size), draw(size), core, draw(st.integers(0, 30)), draw(st.integers(0, core - 1)))


def test_by_hand():
    grid = TileGrid(100, 60, core_px=64, halo_px=8)
    assert [tile.core for tile in grid] == [(0, 0, 64, 60), (64, 0, 100, 60)]
    assert [tile.halo for tile in grid] == [(0, 0, 72, 60), (56, 0, 100, 60)]
    assert [tile.window for tile in grid] == [(-8, -8, 72, 72), (56, -8, 136, 72)]


def test_offset_by_hand():
    grid = TileGrid(100, 10, core_px=64, halo_px=0, offset_px=32)
    assert [tile.core for tile in grid] == [(0, 0, 32, 10), (32, 0, 96, 10), (96, 0, 100, 10)]


@settings(deadline=None)
@given(grids())
def test_cores_partition_the_plane(grid):
    owners = np.zeros((grid.height, grid.width), int)
    for tile in grid:
        owners[tile.core.y0 : tile.core.y1, tile.core.x0 : tile.core.x1] += 1
    assert (owners == 1).all()


@settings(deadline=None)
@given(grids())
def test_halos_are_clipped_windows_of_one_size(grid):
    for tile in grid:
        assert not tile.core.empty
        assert tile.window.width == tile.window.height == grid.core_px + 2 * grid.halo_px
        assert tile.halo == tile.window.intersection(grid.plane)
        assert tile.core == tile.window.grown(-grid.halo_px).intersection(grid.plane)


@settings(deadline=None)
@given(grids(), st.lists(st.integers(-20, 140), min_size=4, max_size=4), st.integers(0, 20))
def test_touching_is_what_a_search_finds(grid, corners, reach):
    box = Box(*corners)
    inside = box.intersection(grid.plane)
    found = [
        tile.index
        for tile in grid
        if not inside.empty and not tile.window.grown(reach - grid.halo_px).intersection(inside).empty
    ]
    assert grid.touching(box, reach) == found


@pytest.mark.parametrize("sizes", [(0, 5, 4, 0), (5, 5, 0, 0), (5, 5, 4, -1), (5, 5, 4, 0, 4), (5, 5, 4, 0, -1)])
def test_sizes_out_of_range(sizes):
    with pytest.raises(ValueError, match="Expected"):
        TileGrid(*sizes)


def test_index_out_of_range():
    with pytest.raises(IndexError, match="from 0 to 1"):
        TileGrid(100, 60, 64, 0)[2]


def test_a_box_on_a_picture_of_the_plane():
    """Ten pixels of the plane for one of the picture; a pixel that is touched counts."""
    grid = TileGrid(100, 60, core_px=20, halo_px=0)
    assert grid.on_picture(Box(20, 10, 40, 30), (6, 10)) == Box(2, 1, 4, 3)
    assert grid.on_picture(Box(19, 11, 41, 29), (6, 10)) == Box(1, 1, 5, 3)
