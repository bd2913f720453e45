import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from coseg_bundle.data.images import ImageFileError, read_image, read_label

RGB = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
RGB[0, 0] = 255


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def header(width, height, bits=8, colour=2, pixels=bytes(99), also=b""):
    """A PNG that says its size, with hardly any data unless some is given."""
    size = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + also
    return start + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def test_too_large_is_said_before_decoding(tmp_path):
    (tmp_path / "bomb.png").write_bytes(header(60_000, 60_000))
    with pytest.raises(ImageFileError, match=r"bomb.png: its header says 60000 x 60000 pixels, and at most 1000000000"):
        read_image(tmp_path / "bomb.png")


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_pillows_limit_is_not_ours(tmp_path, monkeypatch, suffix):
    Image.fromarray(np.full((40, 40, 3), 9, np.uint8)).save(tmp_path / f"a.{suffix}")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert read_image(tmp_path / f"a.{suffix}").rgb.shape == (40, 40, 3)
    assert Image.MAX_IMAGE_PIXELS == 100  # other parts of a program may rely on it


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("channels", [3, 4])
def test_16_bit_colours_keep_their_bits(tmp_path, bits, channels):
    alpha = np.full((6, 9, 1), 255, np.uint8)
    values = np.dstack([RGB, alpha])[..., :channels].astype(np.uint16) << (bits - 8)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(values))
    assert np.array_equal(read_image(tmp_path / "a.png").rgb, RGB)


def test_a_transparent_colour(tmp_path):
    Image.fromarray(np.array([[[1, 2, 3], [9, 9, 9]]], np.uint8)).save(tmp_path / "a.png", transparency=(1, 2, 3))
    image = read_image(tmp_path / "a.png")
    assert image.rgb.tolist() == [[[255, 255, 255], [9, 9, 9]]]
    assert image.unscanned.tolist() == [[True, False]]


@pytest.mark.parametrize(
    ("bits", "row", "values"),
    [(1, 0b01110000, [0, 1, 1, 1]), (2, 0b00011011, [0, 1, 2, 3]), (4, (0x01, 0xAF), [0, 1, 10, 15])],
)
def test_greys_of_few_bits_are_pictures_and_labels(tmp_path, bits, row, values):
    pixels = b"\0" + bytes(row if isinstance(row, tuple) else [row])
    (tmp_path / "a.png").write_bytes(header(4, 1, bits, 0, pixels))
    assert read_label(tmp_path / "a.png").tolist() == [values]
    assert read_image(tmp_path / "a.png").rgb[0, :, 0].tolist() == [value * 255 // (2**bits - 1) for value in values]
    (tmp_path / "b.png").write_bytes(header(4, 1, bits, 0, pixels, chunk(b"tRNS", b"\0\1")))
    assert read_image(tmp_path / "b.png").unscanned.tolist() == [[value == 1 for value in values]]


def test_a_palette_with_transparency(tmp_path):
    image = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.save(tmp_path / "a.png", transparency=0)
    assert read_image(tmp_path / "a.png").rgb.tolist() == [[[255, 255, 255], [40, 50, 60]]]


def test_frames_are_refused(tmp_path):
    frames = [Image.fromarray(RGB), Image.fromarray(RGB[::-1].copy())]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    with pytest.raises(ImageFileError, match=r"a.png: expected one image, got 2 frames"):
        read_image(tmp_path / "a.png")


def test_cmyk_jpeg(tmp_path):
    flat = Image.fromarray(np.full((16, 16, 3), (200, 80, 150), np.uint8))
    flat.convert("CMYK").save(tmp_path / "a.jpg", quality=100)
    assert np.abs(read_image(tmp_path / "a.jpg").rgb.astype(int) - np.asarray(flat)).max() <= 3
