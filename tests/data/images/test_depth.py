from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from coseg_bundle.data.images import ImageFileError, read_image
from coseg_bundle.data.images.depth import significant_bits, to_8_bit

RGB = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
RGB[0, 0] = 255
FILE = Path("a.tif")
OME = (
    '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="Pixels:0" '
    'DimensionOrder="XYCZT" Type="uint16" SizeX="16" SizeY="16" SizeC="3" SizeZ="1" SizeT="1" SignificantBits="{}">'
    '<Channel ID="Channel:0:0" SamplesPerPixel="3"/><TiffData IFD="0" PlaneCount="1"/></Pixels></Image></OME>'
)


def test_by_hand():
    assert significant_bits(4080, None, FILE)[0] == 12
    assert to_8_bit(np.array([0, 16, 4080, 4095], np.uint16), 12, FILE).tolist() == [0, 1, 255, 255]


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("scaled", [False, True])
def test_the_values_show_the_bits(tmp_path, bits, scaled):
    values = np.round(RGB.astype(float) * (2**bits - 1) / 255) if scaled else RGB.astype(float) * 2 ** (bits - 8)
    tifffile.imwrite(tmp_path / "a.tif", values.astype(np.uint16), photometric="rgb")
    image = read_image(tmp_path / "a.tif")
    assert np.array_equal(image.rgb, RGB)
    said = f"{bits} significant bits, as its values up to {values.max():.0f} show"
    assert image.notes == (() if bits == 16 else (said,))


@given(st.integers(0, 255), st.sampled_from([8, 9, 10, 12, 14, 16]))
def test_both_ways_of_scaling_come_back(value, bits):
    scaled = np.array([value << (bits - 8), round(value * (2**bits - 1) / 255)], np.uint16)
    assert to_8_bit(scaled, bits, FILE).tolist() == [value, value]


@pytest.mark.parametrize(("told", "expected"), [(12, 12), (13, 13), (11, 11)])
def test_the_tags_count(tmp_path, told, expected):
    dark = RGB.astype(np.uint16) * 4
    ome, tag = tmp_path / "ome.ome.tif", tmp_path / "tag.tif"
    tifffile.imwrite(ome, dark, photometric="rgb", description=OME.format(told).encode(), metadata=None)
    tifffile.imwrite(tag, dark, photometric="rgb", extratags=[(281, "H", 3, (2**told - 1,) * 3, True)])
    for path in (ome, tag):
        image = read_image(path)
        assert np.array_equal(image.rgb, dark >> (expected - 8))
        assert image.notes == (f"{expected} significant bits, as its tags say",)


@pytest.mark.parametrize("highest", [256, 500, 3000, 5000, 10_000, 17_000, 32_000, 70_000])
def test_what_cannot_be_told_is_refused(highest):
    with pytest.raises(ImageFileError, match=rf"a.tif: no tag says .* end at {highest}.*8-bit RGB.*SignificantBits"):
        significant_bits(highest, None, FILE)


def test_tags_that_the_values_belie():
    with pytest.raises(ImageFileError, match=r"say 12 significant bits, and it has values up to 4096"):
        significant_bits(4096, 12, FILE)
    with pytest.raises(ImageFileError, match=r"say 16 significant bits, and its values end at 4080"):
        significant_bits(4080, 16, FILE)  # many programs write 16 of every 16-bit file
    assert significant_bits(20_000, 16, FILE) == (16, ())


def test_extremes():
    assert significant_bits(0, None, FILE) == (16, ())
    assert significant_bits(65535, None, FILE) == (16, ())
    assert to_8_bit(np.array([True, False]), None, FILE).tolist() == [255, 0]
    assert to_8_bit(np.array([0, 7, 15], np.uint8), 4, FILE).tolist() == [0, 119, 255]
    for wrong in (np.array([-1], np.int16), np.array([1.5]), np.array([np.nan]), np.array([1], np.int8)):
        with pytest.raises(ImageFileError, match="expected 8-bit or 16-bit"):
            to_8_bit(wrong, None, FILE)
    with pytest.raises(ImageFileError, match="expected values of 12 bits, got 5000"):
        to_8_bit(np.array([5000], np.uint16), 12, FILE)


@pytest.mark.parametrize("bits", [10, 12])
def test_slides_count_the_same_bits(tmp_path, bits):
    from coseg_bundle.wsi.read.reader import open_slide

    values = np.tile(RGB, (32, 32, 1)).astype(np.uint16) << (bits - 8)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", tile=(256, 256))
    with open_slide(tmp_path / "a.tif", 0.25) as slide:
        assert np.array_equal(slide.read(0, 0, 16, 16, 0.25), RGB)
        assert slide.notes == (f"{bits} significant bits, as its values up to {values.max()} show",)
