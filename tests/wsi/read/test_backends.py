"""What the readers know besides pixels: the corner, what is missing, and which file they cannot read."""

import numpy as np
import pytest
import tifffile
from PIL import Image
from scn import CANVAS, CORNER, write_scn

from coseg_bundle.data.images import ImageFileError
from coseg_bundle.wsi.read import backend, openslide_backend, tiff_backend
from coseg_bundle.wsi.read.backend import SlideReadError
from coseg_bundle.wsi.read.backends import open_backend
from coseg_bundle.wsi.read.reader import open_slide

RGB = np.random.default_rng(0).integers(0, 200, (256, 512, 3), np.uint8)


def test_by_hand(tmp_path):
    path = write_scn(tmp_path / "a.scn", RGB)
    with open_slide(path) as bounds, open_slide(path, origin="canvas") as canvas:
        assert (bounds.size_xy, bounds.origin_xy) == ((512, 256), CORNER)
        assert (canvas.size_xy, canvas.origin_xy) == (CANVAS, (0, 0))
        region = bounds.read(10, 20, 100, 50, 0.25)
        assert np.array_equal(region, RGB[20:70, 10:110])
        assert np.array_equal(canvas.read(1010, 620, 100, 50, 0.25), region)
        assert (canvas.read(0, 0, 1000, 600, 0.25) == 255).all()


def test_what_lies_outside_is_not_scanned(tmp_path):
    path = write_scn(tmp_path / "a.scn", RGB)
    with open_slide(path) as bounds, open_slide(path, origin="canvas") as canvas:
        assert not bounds.unscanned(100).any()
        expected = np.ones((CANVAS[1], CANVAS[0]), bool)
        expected[600 : 600 + 256, 1000 : 1000 + 512] = False
        assert np.array_equal(canvas.unscanned(2048), expected)
        assert canvas.unscanned(512).mean() == pytest.approx(expected.mean(), abs=0.005)


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({}, (0, 0, 100, 50)),
        ({"x": "10", "y": "20", "width": "30", "height": "25"}, (10, 20, 30, 25)),
        ({"x": "10", "y": "20", "width": "300", "height": "300"}, (10, 20, 90, 30)),
        ({"x": "10", "y": "20", "width": "30"}, (0, 0, 100, 50)),
        ({"x": "-1", "y": "0", "width": "30", "height": "30"}, (0, 0, 100, 50)),
        ({"x": "100", "y": "0", "width": "30", "height": "30"}, (0, 0, 100, 50)),
        ({"x": "a", "y": "0", "width": "30", "height": "30"}, (0, 0, 100, 50)),
    ],
)
def test_bounds(properties, expected):
    given = {f"openslide.bounds-{name}": value for name, value in properties.items()}
    assert openslide_backend._bounds(given, (100, 50)) == expected


def test_tiles_of_a_size_that_no_scanner_writes(tmp_path, monkeypatch):
    path = tmp_path / "a.svs"
    text = "Aperio Image Library v1\n512x256 [0,0 512x256] (128x128) JPEG/RGB Q=90|AppMag = 20|MPP = 0.25"
    tifffile.imwrite(path, RGB, tile=(128, 128), photometric="rgb", description=text, metadata=None)
    open_slide(path, 0.25).close()
    monkeypatch.setattr(openslide_backend, "_MOST_TILE_PX", 1000)
    with pytest.raises(ImageFileError, match=r"a\.svs: its header says tiles of \d+ x \d+ pixels; the file is damaged"):
        open_slide(path, 0.25)


def test_the_index_tells_without_reading(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", RGB, tile=(128, 128), photometric="rgb")
    monkeypatch.setattr(tiff_backend.TiffBackend, "read", None)
    assert not open_slide(tmp_path / "a.tif", 0.25).unscanned(64).any()


def test_it_travels_with_its_corner(tmp_path):
    import pickle

    reader = pickle.loads(pickle.dumps(open_slide(write_scn(tmp_path / "a.scn", RGB), origin="canvas")))
    assert (reader.origin, reader.size_xy) == ("canvas", CANVAS)


def test_values_that_no_part_that_was_looked_at_has(tmp_path, monkeypatch):
    values = np.full((2048, 4096), 4000, np.uint16)
    values[1500, 1500] = 9000
    tifffile.imwrite(tmp_path / "a.tif", values, tile=(512, 512))
    monkeypatch.setattr(backend, "LOOKED_AT_PX", 2**20)
    with open_slide(tmp_path / "a.tif", 0.25) as slide:
        assert slide.read(0, 0, 8, 8, 0.25).max() == 4000 >> 4
        with pytest.raises(SlideReadError, match=r"a.tif: expected values of 12 bits, got 9000"):
            slide.read(1400, 1400, 200, 200, 0.25)


def test_a_dicom_file_that_is_not_read_is_named(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    from pydicom.dataset import FileDataset, FileMetaDataset

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.JPEGLSLossless
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.6"
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    data = FileDataset("a", {}, file_meta=meta, preamble=bytes(128))
    data.PhotometricInterpretation, data.BitsAllocated = "MONOCHROME2", 16
    data.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    with pytest.raises(ImageFileError, match=r"a DICOM file of 16-bit MONOCHROME2, JPEG-LS Lossless"):
        open_backend(tmp_path / "a.dcm")


def test_images_tell_the_same(tmp_path):
    rgba = np.dstack([RGB, np.where(np.arange(512) < 100, 0, 255)[None].repeat(256, 0).astype(np.uint8)])
    Image.fromarray(rgba).save(tmp_path / "a.png")
    with open_slide(tmp_path / "a.png", 0.25) as slide:
        assert slide.unscanned(512).sum() == 256 * 100
        assert (slide.origin_xy, slide.missing_tiles, slide.notes) == ((0, 0), 0, ())


@pytest.mark.parametrize("name", ["a.ome.btf", "a.svs", "a.png"])
def test_a_tiff_is_one_whatever_it_is_called(tmp_path, name):
    """OpenSlide took the first of three planes for the image, and the resolution from its tags."""
    planes = np.random.default_rng(0).integers(0, 255, (3, 256, 256), np.uint8)
    said = {"axes": "CYX", "PhysicalSizeX": 0.499, "PhysicalSizeY": 0.499}
    options = {"photometric": "minisblack", "tile": (128, 128), "metadata": said, "resolution": (10_020.0, 10_020.0)}
    tifffile.imwrite(tmp_path / "a.ome.tif", planes, ome=True, resolutionunit="CENTIMETER", **options)
    (tmp_path / "a.ome.tif").rename(tmp_path / name)
    with open_slide(tmp_path / name) as slide:
        assert slide.mpp == 0.499
        assert slide.notes == ("its three channels are red, green and blue",)
        assert np.array_equal(slide.read(0, 0, 256, 256, 0.499), np.moveaxis(planes, 0, -1))
