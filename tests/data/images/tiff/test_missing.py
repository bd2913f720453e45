from functools import partial

import numpy as np
import pytest
import tifffile
from PIL import Image
from standin import write_slide

from coseg_bundle.data.images import ImageFileError, read_image, read_label
from coseg_bundle.data.images.tiff.missing import JpegTiles
from coseg_bundle.wsi.read.reader import SlideReadError, open_slide

RGB = np.random.default_rng(0).integers(0, 200, (256, 384, 3), np.uint8)
APERIO = "Aperio Image Library v1\r\n384x256 (128x128) JPEG/RGB|AppMag = 40|MPP = 0.25"


def without(path, tile, tags, page=0):
    """Takes a tile out of a file: its offset, its length, or both become 0."""
    with tifffile.TiffFile(path, mode="r+") as file:
        for tag in tags:
            entry = file.pages[page].tags[tag] if page == 0 else file.pages[0].pages[page - 1].tags[tag]
            values = list(entry.value)
            values[tile] = 0
            entry.overwrite(values)
    return path


TAGS = [("TileOffsets",), ("TileByteCounts",), ("TileOffsets", "TileByteCounts")]


@pytest.mark.parametrize("compression", [None, "deflate", "lzw", "jpeg"])
@pytest.mark.parametrize("tags", TAGS)
@pytest.mark.parametrize("suffix", ["tif", "svs"])
def test_missing_tiles_are_white_and_known(tmp_path, compression, tags, suffix):
    path = tmp_path / f"a.{suffix}"
    description = APERIO if suffix == "svs" else None
    tifffile.imwrite(
        path, RGB, tile=(128, 128), compression=compression, photometric="rgb", description=description, metadata=None
    )
    with open_slide(path, 0.25) as slide:
        whole = slide.read(0, 0, 384, 256, 0.25)
        assert not slide.unscanned(384).any()
    without(path, 4, tags)
    expected = np.zeros((256, 384), bool)
    expected[128:, 128:256] = True
    with open_slide(path, 0.25) as slide:
        assert slide.missing_tiles == 1
        read, unscanned = slide.region(0, 0, 384, 256, 0.25)
        assert np.array_equal(unscanned, expected)
        assert slide.region(0, 0, 128, 256, 0.25).unscanned is None
        assert np.array_equal(slide.region(-64, 0, 448, 256, 0.5).unscanned[:, 32:], expected[::2, ::2])
        assert slide.region(120, 120, 30, 30, 0.1).unscanned.sum() == 55**2  # 22 px of 30 a side
        assert np.array_equal(slide.unscanned(384), expected)
        assert np.array_equal(slide.read(100, 100, 50, 60, 0.25), read[100:160, 100:150])
    assert (read[expected] == 255).all()
    assert np.array_equal(read[~expected], whole[~expected])
    if suffix == "tif":
        image = read_image(path)
        assert np.array_equal(image.unscanned, expected)
        assert np.array_equal(image.rgb, read)


@pytest.mark.parametrize(("start", "share"), [(0, 1.0), (400, 1.0), (400, 0.5)])
@pytest.mark.parametrize("suffix", ["tif", "svs"])
def test_a_jpeg_that_is_overwritten_with_zeros_is_no_image(tmp_path, suffix, start, share):
    path = tmp_path / f"a.{suffix}"
    description = APERIO if suffix == "svs" else None
    kind = {"compression": "jpeg", "photometric": "rgb", "description": description, "metadata": None}
    tifffile.imwrite(path, RGB, tile=(128, 128), **kind)
    with tifffile.TiffFile(path) as file:
        offset, length = file.pages[0].dataoffsets[4], file.pages[0].databytecounts[4]
    with path.open("r+b") as file:
        file.seek(offset + start)
        file.write(bytes(int((length - start) * share)))
    with open_slide(path, 0.25) as slide:
        assert slide.read(260, 0, 100, 256, 0.25).shape == (256, 100, 3)  # the others go on
        with pytest.raises(SlideReadError, match=r"the tile at level-0 pixel \(128, 128\) is overwritten with zeros"):
            slide.read(100, 100, 50, 60, 0.25)
    if suffix == "tif":
        with pytest.raises(ImageFileError, match=r"the tile at pixel \(128, 128\) is overwritten with zeros; copy"):
            read_image(path)


def test_zeros_beside_the_scan_of_a_jpeg_are_fine(tmp_path):
    """Padding behind its end, and a profile before it."""
    path = tmp_path / "a.jpg"
    Image.fromarray(RGB).save(path, icc_profile=bytes(300))
    content = path.read_bytes() + bytes(100)
    (tmp_path / "a").write_bytes(content)
    where = JpegTiles(tmp_path / "a", np.array([[0]]), np.array([[len(content)]]), 256, 384)
    assert where.zeroed(0, 0, 10, 10) is None


def test_missing_strips(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, RGB, rowsperstrip=64, photometric="rgb")
    without(path, 1, ("StripOffsets", "StripByteCounts"))
    image = read_image(path)
    assert image.unscanned.sum() == 64 * 384
    assert (image.rgb[64:128] == 255).all()
    assert np.array_equal(image.rgb[128:], RGB[128:])


def test_a_tile_missing_in_one_plane_is_missing(tmp_path):
    path = tmp_path / "a.tif"
    planes = np.moveaxis(RGB, -1, 0).copy()
    tifffile.imwrite(path, planes, tile=(128, 128), photometric="rgb", planarconfig="separate")
    without(path, 6 + 2, TAGS[2])  # of the second plane
    image = read_image(path)
    assert image.unscanned[:128, 256:].all()
    assert image.unscanned.sum() == 128 * 128
    assert np.array_equal(open_slide(path, 0.25).read(0, 0, 384, 256, 0.25), image.rgb)


def test_a_level_that_lacks_what_level_0_has_is_not_used(tmp_path):
    path = write_slide(tmp_path / "a.tif", np.tile(RGB, (4, 4, 1)), levels=2)
    with tifffile.TiffFile(path) as file:
        levels = len(file.series[0].levels)
    with open_slide(path) as slide:
        assert len(slide._downsamples) == levels == 2
    with tifffile.TiffFile(path, mode="r+") as file:
        page = file.series[0].levels[1].pages[0]
        for tag in TAGS[2]:
            page.tags[tag].overwrite([0, *page.tags[tag].value[1:]])
    with open_slide(path) as slide:
        assert len(slide._downsamples) == 1
        assert not slide.unscanned(100).any()


def test_a_level_that_lacks_what_level_0_lacks_is(tmp_path):
    path = write_slide(tmp_path / "a.tif", np.tile(RGB, (4, 4, 1)), levels=2)
    with tifffile.TiffFile(path, mode="r+") as file:
        for level, kept in zip(file.series[0].levels, (2, 1), strict=True):  # tiles a side, at the upper left
            page = level.pages[0]
            rows, columns = np.indices(page.chunked[:2]).reshape(2, -1)
            for tag in TAGS[2]:
                values = np.where((rows >= kept) | (columns >= kept), 0, page.tags[tag].value)
                page.tags[tag].overwrite(values.tolist())
    with open_slide(path) as slide:
        assert len(slide._downsamples) == 2
        assert slide.unscanned(100).mean() == pytest.approx(5 / 6, abs=0.02)


@pytest.mark.parametrize("suffix", ["tif", "svs"])
def test_a_slide_without_a_single_tile_is_refused(tmp_path, suffix):
    """As a conversion leaves it that was stopped; it was one without tissue."""
    path = tmp_path / f"a.{suffix}"
    description = APERIO if suffix == "svs" else None
    tifffile.imwrite(path, RGB, tile=(128, 128), photometric="rgb", description=description, metadata=None)
    for tile in range(6):
        open_slide(path, 0.25).close()
        without(path, tile, TAGS[2])
    for read in (partial(open_slide, mpp=0.25), *([read_image] if suffix == "tif" else ())):
        with pytest.raises(
            ImageFileError, match=rf"a\.{suffix}: the file holds none of its 6 tiles, as after a conversion"
        ):
            read(path)


def test_a_file_without_a_list_of_its_tiles_is_refused(tmp_path):
    """As libvips leaves one whose first tile could not be written; it was one without tissue."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, RGB, tile=(128, 128), photometric="rgb", metadata=None)
    with tifffile.TiffFile(path, mode="r+") as file:
        page = file.pages[0]
        for name, other in zip(TAGS[2], (65000, 65001), strict=True):
            file.filehandle.seek(page.tags[name].offset)
            file.filehandle.write(other.to_bytes(2, "little"))
    for read in (partial(open_slide, mpp=0.25), read_image):
        with pytest.raises(ImageFileError, match="the file holds none of its 6 tiles"):
            read(path)


def test_a_sparse_label_map_may_hold_no_tile(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", RGB[..., 0], tile=(128, 128))
    for tile in range(6):
        without(tmp_path / "a.tif", tile, TAGS[2])
    assert not read_label(tmp_path / "a.tif").any()


@pytest.mark.parametrize("overwritten", [False, True])
def test_zeros_that_the_code_tables_of_a_tile_make_blank_blocks_of(tmp_path, overwritten):
    half = np.full((256, 512, 3), 255, np.uint8)
    half[:, :256] = RGB[:, :256]
    options = {"photometric": "rgb", "compression": "jpeg", "compressionargs": {"level": 90, "optimize": True}}
    tifffile.imwrite(tmp_path / "a.tif", half, tile=(256, 256), metadata=None, **options)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        offsets, lengths = file.pages[0].dataoffsets, file.pages[0].databytecounts
    content = bytearray((tmp_path / "a.tif").read_bytes())
    assert bytes(64) in content[offsets[1] : offsets[1] + lengths[1]]
    if overwritten:
        middle = offsets[0] + lengths[0] // 2
        content[middle : middle + 300] = bytes(300)
        (tmp_path / "a.tif").write_bytes(content)
        with pytest.raises(ImageFileError, match=r"the tile at pixel \(0, 0\) is overwritten with zeros"):
            read_image(tmp_path / "a.tif")
        return
    assert (read_image(tmp_path / "a.tif").rgb[:, 256:] == 255).all()
    with open_slide(tmp_path / "a.tif", 0.25) as slide:
        assert (slide.read(256, 0, 256, 256, 0.25) == 255).all()


@pytest.mark.parametrize("layout", [{"tile": (128, 128)}, {"rowsperstrip": 64}])
@pytest.mark.parametrize("compression", ["jpeg", "lzw", "jpeg2000", "webp"])
def test_a_file_that_ends_within_a_tile(tmp_path, compression, layout):
    path = tmp_path / "a.tif"
    smooth = np.broadcast_to(np.linspace(90, 200, 384).astype(np.uint8)[None, :, None], RGB.shape)
    tifffile.imwrite(path, smooth, compression=compression, photometric="rgb", **layout)
    with tifffile.TiffFile(path) as file:
        last = int(file.pages[0].dataoffsets[-1]), int(file.pages[0].databytecounts[-1])
    path.write_bytes(path.read_bytes()[: last[0] + last[1] - max(1, last[1] // 4)])
    corner = r"\(256, 128\)" if "tile" in layout else r"\(0, 192\)"
    with pytest.raises(
        ImageFileError, match=rf"a\.tif: the file ends before the tile at pixel {corner} does; copy the"
    ):
        read_image(path)
    with open_slide(path, 0.25) as slide:
        assert slide.read(0, 0, 128, 64, 0.25).shape == (64, 128, 3)
        with pytest.raises(SlideReadError, match=r"a\.tif: .+"):
            slide.read(200, 100, 100, 156, 0.25)


def test_the_length_of_a_last_strip_that_is_not_compressed_says_little(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, RGB, photometric="rgb", rowsperstrip=100)
    with tifffile.TiffFile(path, mode="r+") as file:
        entry = file.pages[0].tags["StripByteCounts"]
        entry.overwrite([100 * 384 * 3] * 3)
    path.write_bytes(path.read_bytes().rstrip(b"\0"))
    assert np.array_equal(read_image(path).rgb, RGB)
