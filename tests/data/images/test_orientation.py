import numpy as np
import pytest
import tifffile
from PIL import Image

from coseg_bundle.data.images import read_image, read_label
from coseg_bundle.data.images.orientation import orientation_of, turned_beside_labels, upright

SEEN = np.arange(6, dtype=np.uint8).reshape(2, 3)
STORED = {
    1: SEEN,
    2: SEEN[:, ::-1],
    3: SEEN[::-1, ::-1],
    4: SEEN[::-1],
    5: SEEN.T,
    6: np.rot90(SEEN),
    7: SEEN[::-1, ::-1].T,
    8: np.rot90(SEEN, -1),
}


def test_by_hand():
    assert upright(np.array([[1, 2, 3]]), 6).tolist() == [[1], [2], [3]]
    assert upright(np.array([[1, 2, 3]]), 8).tolist() == [[3], [2], [1]]
    assert upright(np.array([[1, 2], [3, 4]]), 2).tolist() == [[2, 1], [4, 3]]


@pytest.mark.parametrize("tag", STORED)
def test_image_and_label_are_turned_alike(tag, tmp_path):
    stored = np.ascontiguousarray(STORED[tag])
    exif = Image.Exif()
    exif[274] = tag
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    tifffile.imwrite(tmp_path / "a.tif", stored, extratags=[(274, "H", 1, tag, True)])
    for name in ("a.png", "a.tif"):
        image = read_image(tmp_path / name)
        assert np.array_equal(image.rgb[..., 0], SEEN)
        assert np.array_equal(read_label(tmp_path / name), SEEN)
        assert bool(image.notes) == (tag != 1)
    Image.fromarray(np.repeat(np.repeat(stored, 16, 0), 16, 1) * 40).save(tmp_path / "a.jpg", exif=exif, quality=100)
    assert np.abs(read_image(tmp_path / "a.jpg").rgb[8::16, 8::16, 0] - SEEN * 40.0).max() <= 3


@pytest.mark.parametrize("tag", [0, 9, 255])
def test_no_orientation_is_none(tag):
    assert np.array_equal(upright(SEEN, tag), SEEN)


def test_a_slide_is_turned_too(tmp_path):
    from coseg_bundle.wsi.read.reader import open_slide

    tifffile.imwrite(tmp_path / "a.tif", STORED[6].copy(), extratags=[(274, "H", 1, 6, True)])
    with open_slide(tmp_path / "a.tif", 0.25) as slide:
        assert slide.size_xy == (3, 2)
        assert np.array_equal(slide.read(0, 0, 3, 2, 0.25)[..., 0], SEEN)


def test_the_tag_alone(tmp_path):
    rgb, exif = np.zeros((4, 6, 3), np.uint8), Image.Exif()
    exif[274] = 6
    tifffile.imwrite(tmp_path / "a.tif", rgb, extratags=[(274, "H", 1, 8, True)])
    tifffile.imwrite(tmp_path / "odd.tif", rgb, extratags=[(274, "H", 1, 9, True)])
    for name in ("a.png", "a.jpg"):
        Image.fromarray(rgb).save(tmp_path / name, exif=exif)
    Image.fromarray(rgb).save(tmp_path / "plain.png")
    (tmp_path / "broken.tif").write_bytes(b"II")
    said = {path.name: orientation_of(path) for path in tmp_path.iterdir()}
    assert said == {"a.tif": 8, "odd.tif": 1, "a.png": 6, "a.jpg": 6, "plain.png": 1, "broken.tif": 1}
    assert orientation_of(tmp_path / "gone.nii.gz") == 1
    [sentence] = turned_beside_labels(tmp_path / "a.jpg")
    assert sentence == (
        f"{tmp_path / 'a.jpg'}: turned as its orientation tag (6) says; labels of the unturned pixels do not fit"
    )
    assert turned_beside_labels(tmp_path / "plain.png") == ()
