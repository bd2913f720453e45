from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coseg_bundle.data.images import ImageFileError
from coseg_bundle.data.labels.maps import count_within, instance_map, label_map, untyped

FILE = Path("a.png")
TWO = np.zeros((12, 12), np.uint8)
TWO[1:4, 1:4], TWO[6:9, 6:9] = 1, 2


@pytest.mark.parametrize("value", [1, 7, 255, 257, 65535, 2**31 - 1])
def test_a_mask_becomes_its_pieces_by_hand(value):
    mask = np.where(TWO > 0, value, 0).astype(np.min_scalar_type(value))
    instances, (note,) = instance_map(mask, FILE)
    assert np.array_equal(instances, TWO)
    assert note == f"a.png: a mask of 0 and {value}; each of its 2 pieces counts as a nucleus"


def test_pieces_touch_at_corners_and_unlabelled_pixels_stay():
    mask = np.zeros((6, 6), np.int16)
    mask[0, 0] = mask[1, 1] = mask[4, 4] = 255
    mask[5] = -1
    instances, _ = instance_map(mask, FILE)
    assert (instances.max(), instances[0, 0], instances[1, 1]) == (2, 1, 1)
    assert (instances[5] == -1).all()


@pytest.mark.parametrize("array", [TWO, TWO > 1, np.zeros((4, 4)), np.full((4, 4), 3), TWO.astype(float) * 1000])
def test_instances_stay_as_they_are(array):
    instances, notes = instance_map(array, FILE)
    assert np.array_equal(instances, array)
    assert notes == ()


def test_classes_given_as_nuclei():
    classes = np.zeros((40, 40), np.uint8)
    classes[::4, ::4], classes[2::4, ::4] = 1, 2
    with pytest.raises(ImageFileError, match="2 ids in 200 separate pieces; these are classes"):
        instance_map(classes, FILE)
    inverted = np.where(TWO > 0, 1, 2)
    inverted[:, 5] = 1
    inverted[:, 6:] = np.where(TWO[:, 6:] > 0, 1, 2)
    with pytest.raises(ImageFileError, match=r"expected 0 where no nucleus is, got the values 1 and 2"):
        instance_map(inverted, FILE)


def test_one_nucleus_in_one_piece_stays_as_it_is():
    one = np.where(TWO == 1, 40000, 0)
    instances, notes = instance_map(one, FILE)
    assert np.array_equal(instances, one)
    assert notes == ()


def _grid(columns: int, rows: int, gap: int = 8) -> np.ndarray:
    """Squares of 4 px, numbered row by row."""
    ids = np.zeros((rows * gap, columns * gap), np.int32)
    for number in range(rows * columns):
        y, x = gap * (number // columns) + 2, gap * (number % columns) + 2
        ids[y : y + 4, x : x + 4] = number + 1
    return ids


def test_shades_of_a_resized_mask_are_no_nuclei():
    mask = np.where(_grid(3, 3) > 0, 255, 0).astype(np.uint8)
    shades = np.array(Image.fromarray(mask).resize((31, 31), Image.Resampling.BILINEAR))
    with pytest.raises(
        ImageFileError, match=r"got \d+ ids in \d+ separate pieces; these are classes, shades of a mask"
    ):
        instance_map(shades, FILE)
    instances, _ = instance_map(np.array(Image.fromarray(mask).resize((31, 31), Image.Resampling.NEAREST)), FILE)
    assert instances.max() == 9


@pytest.mark.parametrize("stored", [lambda ids: np.minimum(ids, 255), lambda ids: ids % 256])
def test_more_nuclei_than_8_bits_have_ids(stored):
    ids = _grid(20, 13)  # 260 nuclei
    with pytest.raises(ImageFileError, match=r"got 255 ids in 2\d\d separate pieces; .* ids that 8 bits cannot hold"):
        instance_map(stored(ids).astype(np.uint8), FILE)
    assert np.array_equal(instance_map(ids, FILE)[0], ids)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_255_nuclei_with_more_bits_are_255(dtype):
    """The remedy that 8 bits are refused with: a nucleus in pieces far apart is one, whatever the highest id."""
    ids = _grid(20, 13)
    ids[ids > 255] = 0
    ids[-6:-2, -6:-2] = 1
    with pytest.raises(ImageFileError, match="ids that 8 bits cannot hold"):
        instance_map(ids.astype(np.uint8), FILE)
    assert np.array_equal(instance_map(ids.astype(dtype), FILE)[0], ids)


def test_a_nucleus_of_type_0_is_untyped_and_no_background():
    types, instances = np.array([[0, 0, 0, 2, 1, 0]]), np.array([[0, 5, 5, 7, 0, -1]])
    assert untyped(types, instances).tolist() == [[False, True, True, False, False, True]]
    assert count_within(types == 0, instances) == 1
    assert count_within(types < 9, instances) == 2
    assert count_within(types == 0, np.array([[0, 7, 7, 7, 0, -1]])) == 0  # the nucleus has a type on one of its pixels


def test_nuclei_in_several_pieces_stay_whole():
    """A hole, a fold or a border cuts nuclei; their pieces lie close together."""
    ids = _grid(20, 13)
    ids[ids > 255] = 0
    ids[4::8, :40] = 0
    instances, notes = instance_map(ids.astype(np.uint8), FILE)
    assert np.array_equal(instances, ids)
    assert notes == ()


def test_nuclei_and_cells():
    cells = np.zeros_like(TWO)
    cells[:5, :5], cells[5:, 5:] = 1, 2
    for array in (np.stack([TWO, cells]), np.stack([TWO, cells], axis=-1)):
        instances, (note,) = instance_map(array, FILE)
        assert np.array_equal(instances, TWO)
        assert "nuclei and cells" in note
    with pytest.raises(ImageFileError, match=r"one value per pixel, got shape \(2, 12, 12\)"):
        instance_map(np.stack([cells, np.roll(TWO, 6, 0)]), FILE)
    with pytest.raises(ImageFileError, match="one value per pixel"):
        label_map(np.stack([TWO, cells]), FILE)


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("types", [[0, 2, 1], [0, 3, 3]])
def test_instances_and_types_are_no_nuclei_and_cells(types, order):
    """CoNIC's layout, and the same the other way round; also where each nucleus has a class of its own."""
    array = np.stack([TWO, np.array(types)[TWO]][::order], axis=-1)
    with pytest.raises(ImageFileError, match=r"a.png: expected nuclei, or .* ids on the same pixels: instances and ty"):
        instance_map(array, FILE)


def test_cells_that_are_hardly_larger_than_their_nuclei():
    """One is missing; or each nucleus has a cell of its own with another id, which types have not."""
    nuclei = _grid(6, 6)
    for cells in (np.where(nuclei == 3, 0, nuclei), np.where(nuclei > 0, nuclei * 7 % 1000 + 1, 0)):
        instances, (note,) = instance_map(np.stack([nuclei, cells]), FILE)
        assert np.array_equal(instances, nuclei)
        assert "nuclei and cells" in note
    types = np.where(nuclei > 0, nuclei % 11 + 2, 0)
    for array in ([nuclei, types], [types, nuclei]):
        with pytest.raises(ImageFileError, match="on the same pixels: instances and types"):
            instance_map(np.stack(array), FILE)


def test_a_second_channel_that_has_no_cell_for_each_nucleus():
    """Alpha is no cell, nor is a mask of all cells."""
    grey = np.dstack([TWO, np.full_like(TWO, 255)])
    instances, notes = instance_map(grey, FILE)
    assert np.array_equal(instances, TWO)
    assert notes == ()
    cells = np.zeros_like(TWO)
    cells[:5, :5] = cells[5:, 5:] = 1
    with pytest.raises(ImageFileError, match=r"one value per pixel, got shape \(2, 12, 12\)"):
        instance_map(np.stack([TWO, cells]), FILE)


def test_cells_without_a_nucleus_and_nuclei_that_share_a_cell():
    nuclei, cells = _grid(4, 4), np.kron(np.arange(1, 17).reshape(4, 4), np.ones((8, 8), np.int32))
    nuclei[nuclei > 12] = 0
    cells[cells == 2] = 1
    instances, (note,) = instance_map(np.stack([nuclei, cells]), FILE)
    assert np.array_equal(instances, nuclei)
    assert "nuclei and cells" in note


def _watershed(line=0):
    """As `cv2.watershed` leaves it: nuclei from 2 on, 1 around them, -1 between them and as a frame."""
    ids = _grid(3, 3) + 1
    around = np.pad(ids, 1, constant_values=1)
    edge = np.zeros_like(ids, bool)
    for y in range(3):
        for x in range(3):
            edge |= (ids == 1) & (around[y : y + len(ids), x : x + len(ids)] > 1)
    ids[edge] = line
    if line < 0:
        ids[0] = ids[-1] = ids[:, 0] = ids[:, -1] = -1
    return ids


@pytest.mark.parametrize(
    "ids",
    [_grid(3, 3) + 1, np.where(_grid(3, 3) > 0, _grid(3, 3), 65535), _watershed(-1), _watershed(0), 3 - TWO[:11]],
    ids=["one more", "65535", "OpenCV", "scikit-image", "one and two"],
)
def test_a_background_with_an_id_is_no_nucleus(ids):
    with pytest.raises(ImageFileError, match=r"a.png: expected 0 where no nucleus is, got the id \d+ around others on"):
        instance_map(ids, FILE)


def _large(rest):
    """A nucleus over nearly all of a tile, another one in its corner, and a third where the first one ends."""
    tile = np.ones((20, 20), np.int32)
    tile[:4, :4], tile[16:, 10:], tile[16:, :10] = 2, 3, rest
    return tile


@pytest.mark.parametrize(
    "ids",
    [
        np.ones((8, 8), np.int32),
        _large(1),
        _large(4),
        _large(0),
        _large(-1),
        np.where(_grid(3, 3) > 0, _grid(3, 3), -1),
        np.where(_grid(2, 2, 4) > 0, _grid(2, 2, 4), -1),
        np.kron(np.arange(1, 10).reshape(3, 3), np.ones((4, 4), np.int32)),
        np.pad(np.where(np.arange(25).reshape(5, 5) == 12, 2, 1), 3),
    ],
    ids=["full", "to the border", "others", "some 0", "some -1", "-1 around", "dense", "cells", "one on top"],
)
def test_a_large_nucleus_is_no_background(ids):
    instances, notes = instance_map(ids, FILE)
    assert np.array_equal(instances, ids)
    assert notes == ()


def test_grey_pictures_are_labels_and_colours_are_none():
    grey = np.dstack([TWO] * 3)
    assert np.array_equal(label_map(grey, FILE), TWO)
    assert np.array_equal(label_map(np.dstack([grey, np.full_like(TWO, 255)]), FILE), TWO)
    with pytest.raises(ImageFileError, match="it is a picture: save the ids, not colours"):
        label_map(np.dstack([TWO, TWO, 0 * TWO]), FILE)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((2, 2), 2**31, np.uint32), "got 2147483648 to 2147483648; relabel"),
        (np.full((2, 2), 1e300), "relabel"),
        (np.full((2, 2), -2), "got -2"),
        (np.full((2, 2), np.nan), "fractions"),
        (np.full((2, 2), 0.5), "fractions"),
        (np.full((2, 2), 1j), "complex"),
        (np.zeros(4), "one value per pixel"),
    ],
)
def test_what_is_no_label(array, words):
    with pytest.raises(ImageFileError, match=f"a.png: .*{words}"):
        label_map(array, FILE)
