import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image

from coseg_bundle.data.images import (
    ImageFileError,
    check_same_size,
    read_image,
    read_instances,
    read_instances_of,
    read_label,
    read_label_of,
    stem_of,
)
from coseg_bundle.wsi.read.reader import open_slide

RGB = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)


def save_nifti(path, array_xyz, spacing_mm=0.00025):
    nibabel.save(nibabel.Nifti1Image(array_xyz, np.diag([spacing_mm, spacing_mm, spacing_mm, 1])), path)


def test_png_and_tiff_are_exact(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", RGB)
    tifffile.imwrite(tmp_path / "lzw.tiff", RGB, compression="lzw")
    for name in ("a.png", "a.tif", "lzw.tiff"):
        image = read_image(tmp_path / name)
        assert np.array_equal(image.rgb, RGB)
        assert image.mpp is None


def test_jpeg_is_close(tmp_path):
    flat = np.full((16, 16, 3), (200, 120, 160), np.uint8)
    Image.fromarray(flat).save(tmp_path / "a.jpg", quality=95)
    assert np.abs(read_image(tmp_path / "a.jpg").rgb.astype(int) - flat).max() <= 3


def test_transparency_is_laid_on_white(tmp_path):
    rgba = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 51]]], np.uint8)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").rgb.tolist() == [[[10, 20, 30], [255, 255, 255], [204, 204, 204]]]


def test_grey_16_bit_float_and_binary(tmp_path):
    grey = np.array([[0, 128, 255]], np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    tifffile.imwrite(tmp_path / "16.tif", grey.astype(np.uint16) * 257)
    tifffile.imwrite(tmp_path / "float.tif", grey.astype(np.float32) / 255)
    for name in ("grey.png", "16.tif", "float.tif"):
        assert read_image(tmp_path / name).rgb.tolist() == [[[v, v, v] for v in grey[0]]]
    Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1").save(tmp_path / "bits.png")
    assert read_image(tmp_path / "bits.png").rgb[..., 0].tolist() == [[0, 255]]


def test_planar_tiff(tmp_path):
    tifffile.imwrite(tmp_path / "planar.tif", RGB.transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
    assert np.array_equal(read_image(tmp_path / "planar.tif").rgb, RGB)
    tifffile.imwrite(tmp_path / "pages.tif", RGB.transpose(2, 0, 1), photometric="minisblack")
    assert np.array_equal(read_image(tmp_path / "pages.tif").rgb, RGB)


def test_one_row_tiff(tmp_path):
    tifffile.imwrite(tmp_path / "row.tif", RGB[:1])
    assert np.array_equal(read_image(tmp_path / "row.tif").rgb, RGB[:1])


def test_nifti_keeps_rows_columns_and_affine(tmp_path):
    save_nifti(tmp_path / "a.nii.gz", np.swapaxes(RGB, 0, 1)[:, :, None, :])  # (W, H, 1, 3)
    image = read_image(tmp_path / "a.nii.gz")
    assert np.array_equal(image.rgb, RGB)
    assert image.mpp == pytest.approx(0.25, rel=1e-4)
    assert image.affine.shape == (4, 4)
    label = np.arange(54, dtype=np.int16).reshape(6, 9)
    save_nifti(tmp_path / "label.nii.gz", label.T[..., None])
    assert np.array_equal(read_label(tmp_path / "label.nii.gz"), label)


def test_resolution_of_tiff(tmp_path):
    tifffile.imwrite(tmp_path / "cm.tif", RGB, resolution=(40000, 40000), resolutionunit="CENTIMETER")
    assert read_image(tmp_path / "cm.tif").mpp == pytest.approx(0.25)
    tifffile.imwrite(tmp_path / "print.tif", RGB, resolution=(300, 300), resolutionunit="INCH")
    assert read_image(tmp_path / "print.tif").mpp is None  # a printing resolution says nothing about tissue
    tifffile.imwrite(tmp_path / "aperio.tif", RGB, description="Aperio Image Library|AppMag = 20|MPP = 0.4990")
    assert read_image(tmp_path / "aperio.tif").mpp == pytest.approx(0.499)


def test_one_pixel(tmp_path):
    Image.fromarray(RGB[:1, :1]).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").rgb.shape == (1, 1, 3)


def test_labels_keep_their_ids(tmp_path):
    ids = np.array([[0, 70_000, 3]])
    tifffile.imwrite(tmp_path / "a.tif", ids.astype(np.uint32))
    np.save(tmp_path / "a.npy", ids.astype(np.float64))
    np.save(tmp_path / "minus.npy", np.array([[-1, 2]]))
    assert read_label(tmp_path / "a.tif").tolist() == ids.tolist()
    assert read_label(tmp_path / "a.npy").tolist() == ids.tolist()  # whole numbers, though floats
    assert read_label(tmp_path / "minus.npy").tolist() == [[-1, 2]]


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array([[0.5, 1]]), "got fractions"),
        (np.array([[np.nan, 1]]), "got fractions"),
        (np.array([[-2, 1]]), "from -1 .unlabelled."),
        (np.array([[2**31]]), "relabel"),
        (np.zeros((4, 4, 3)), "one value per pixel"),
        (np.array([["a"]]), "whole numbers"),
        (np.zeros((0, 4), int), "no pixels"),
    ],
)
def test_bad_labels(tmp_path, array, words):
    np.save(tmp_path / "bad.npy", array)
    with pytest.raises(ImageFileError, match=rf"bad.npy.*{words}"):
        read_label(tmp_path / "bad.npy")


def test_bad_images(tmp_path):
    with pytest.raises(ImageFileError, match=r"gone.png: file not found"):
        read_image(tmp_path / "gone.png")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ImageFileError, match=r"expected an image .*got .txt"):
        read_image(tmp_path / "notes.txt")
    (tmp_path / "empty.png").touch()
    with pytest.raises(ImageFileError, match="the file is empty"):
        read_image(tmp_path / "empty.png")
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(ImageFileError, match=r"text.png: not readable as an image"):
        read_image(tmp_path / "text.png")
    tifffile.imwrite(tmp_path / "whole.tif", np.tile(RGB, (40, 40, 1)), compression="deflate")
    content = (tmp_path / "whole.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(content[: len(content) // 2])
    with pytest.raises(
        ImageFileError, match=r"cut.tif: the file ends before the tile at pixel \(0, 0\) does; copy the file again"
    ):
        read_image(tmp_path / "cut.tif")
    Image.fromarray(np.tile(RGB, (40, 40, 1))).save(tmp_path / "whole.png")
    content = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageFileError, match=r"cut.png: not readable.*truncated"):
        read_image(tmp_path / "cut.png")
    tifffile.imwrite(tmp_path / "five.tif", np.zeros((6, 6, 5), np.uint8), photometric="minisblack")
    with pytest.raises(ImageFileError, match=r"five.tif: expected one image, got 6 pages"):
        read_image(tmp_path / "five.tif")
    tifffile.imwrite(tmp_path / "wild.tif", np.full((4, 4), 1e6, np.float32))
    with pytest.raises(ImageFileError, match=r"floats in \[0, 1\]"):
        read_image(tmp_path / "wild.tif")


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_a_tiff_that_is_called_png_is_read_as_tiff(tmp_path, bigtiff, byteorder):
    bright = RGB.copy()
    bright[0, 0] = 255
    options = {"photometric": "rgb", "metadata": None, "resolution": (40_000, 40_000), "resolutionunit": "CENTIMETER"}
    deep = bright.astype(np.uint16) << 4
    tifffile.imwrite(tmp_path / "a.png", deep, tile=(16, 16), bigtiff=bigtiff, byteorder=byteorder, **options)
    image = read_image(tmp_path / "a.png")
    assert np.array_equal(image.rgb, bright)
    assert image.mpp == 0.25
    with open_slide(tmp_path / "a.png") as slide:
        assert np.array_equal(slide.read(0, 0, 9, 6, 0.25), bright)


def test_a_program_that_is_called_png_is_not_run(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png", format="EPS")
    with pytest.raises(ImageFileError, match=r"a.png: not readable as an image \(cannot identify image file"):
        read_image(tmp_path / "a.png")


def test_sizes_that_differ_name_both_files():
    check_same_size((2, 3), (2, 3), "a", "b")
    with pytest.raises(ImageFileError, match=r"b has 4 x 2 pixels and its image a has 3 x 2.*size of the image\.$"):
        check_same_size((2, 3), (2, 4), "a", "b")


@pytest.fixture
def finer(tmp_path):
    """A label three times as fine as its image of 2 x 3 pixels: every pixel has a value of its own."""
    values = np.arange(54, dtype=np.uint8).reshape(6, 9)
    np.save(tmp_path / "finer.npy", values)
    return tmp_path / "finer.npy", values


def test_a_finer_label_gives_the_values_at_centres(finer):
    path, values = finer
    assert read_label_of("image", (2, 3), path).tolist() == [[10, 13, 16], [37, 40, 43]]
    assert np.array_equal(read_label_of("image", (2, 3), path, (6, 9)), values)
    assert read_label_of("image", (2, 3), path, (1, 1)).tolist() == [[31]]
    assert np.array_equal(read_label_of("image", (6, 9), path), values)


def test_with_an_even_multiple_the_lower_right_of_four_counts(tmp_path):
    np.save(tmp_path / "even.npy", np.arange(16, dtype=np.uint8).reshape(4, 4))
    assert read_label_of("image", (2, 2), tmp_path / "even.npy").tolist() == [[5, 7], [13, 15]]


@pytest.mark.parametrize("shape", [(2, 9), (6, 3), (3, 3), (4, 6), (12, 18), (3, 4), (7, 9)])
def test_other_sizes_are_errors(finer, shape):
    path, _ = finer
    sizes = rf"finer.npy has 9 x 6 pixels and its image a has {shape[1]} x {shape[0]}"
    with pytest.raises(ImageFileError, match=rf"{sizes}; .* the size of the image, or a whole multiple of it\.$"):
        read_label_of("a", shape, path)


def test_stems():
    assert [stem_of(p) for p in ("x/a.b.png", "a.nii.gz", "A.TIF")] == ["a.b", "a", "A"]


def test_instances_from_a_palette_a_mask_and_two_planes(tmp_path):
    """A colour table is only for the eye: its indices are the ids, in PNG and TIFF."""
    ids = np.zeros((12, 12), np.uint8)
    ids[1:4, 1:4], ids[6:9, 6:9] = 1, 3
    picture = Image.frombytes("P", (12, 12), ids.tobytes())
    picture.putpalette([255, 255, 255, 200, 0, 0, 0, 160, 0, 0, 0, 220] + [0] * 756)
    for name in ("a.png", "a.tif"):
        picture.save(tmp_path / name)
        assert np.array_equal(read_instances(tmp_path / name)[0], ids)
        assert np.array_equal(read_label(tmp_path / name), ids)
    Image.fromarray(np.where(ids > 0, 255, 0).astype(np.uint8)).save(tmp_path / "mask.png")
    instances, (note,) = read_instances_of("image", (12, 12), tmp_path / "mask.png")
    assert np.unique(instances).tolist() == [0, 1, 2]
    assert "mask.png: a mask of 0 and 255" in note
    planes = np.stack([ids, ids]).astype(np.float32)
    tifffile.imwrite(tmp_path / "b.tif", planes)
    tifffile.imwrite(tmp_path / "c.ome.tif", planes, metadata={"axes": "CYX"})
    with tifffile.TiffWriter(tmp_path / "d.tif") as writer:
        for plane in planes:
            writer.write(plane, metadata=None)
    for name in ("b.tif", "c.ome.tif", "d.tif"):
        assert np.array_equal(read_instances(tmp_path / name)[0], ids)
        with pytest.raises(ImageFileError, match=name):
            read_label(tmp_path / name)
