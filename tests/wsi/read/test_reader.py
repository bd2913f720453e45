import pickle

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image
from standin import write_slide

from coseg_bundle.data.images import ImageFileError
from coseg_bundle.wsi.read.reader import UNREADABLE, SlideReadError, open_slide

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def rgb():
    return RNG.integers(0, 256, (500, 700, 3), np.uint8)


@pytest.fixture(scope="module")
def slide(rgb, tmp_path_factory):
    return write_slide(tmp_path_factory.mktemp("slide") / "slide.tif", rgb)


def test_an_origin_that_there_is_not(tmp_path):
    with pytest.raises(ValueError, match="Unknown origin 'Bounds': expected bounds or canvas"):
        open_slide(tmp_path / "a.svs", origin="Bounds")


def test_by_hand(slide, rgb):
    with open_slide(slide) as reader:
        assert (reader.path, reader.size_xy, reader.mpp) == (slide, (700, 500), 0.25)
        assert np.array_equal(reader.read(10, 20, 300, 200, 0.25), rgb[20:220, 10:310])


def test_white_outside(slide, rgb):
    region = open_slide(slide).read(-10, 490, 30, 40, 0.25)
    assert region.shape == (40, 30, 3)
    assert np.array_equal(region[:10, 10:], rgb[490:, :20])
    assert (region[10:] == 255).all()
    assert (region[:, :10] == 255).all()
    assert (open_slide(slide).read(5000, 5000, 8, 8, 0.25) == 255).all()


def test_half_the_resolution_takes_the_second_level(slide, rgb):
    assert np.array_equal(open_slide(slide).read(0, 0, 200, 100, 0.5), rgb[::2, ::2][:50, :100])


@pytest.mark.parametrize(("mpp", "box"), [(0.25, (64, 128, 256, 192)), (0.5, (128, 128, 256, 256))])
def test_what_is_stored_is_read_without_a_margin(slide, monkeypatch, mpp, box):
    """A margin would decode up to three tiles beside the one that is asked for."""
    reader = open_slide(slide)
    read, boxes = reader._backend.read, []
    monkeypatch.setattr(reader._backend, "read", lambda level, *box: boxes.append(box) or read(level, *box))
    reader.read(*box, mpp)
    assert boxes == [tuple(int(part * 0.25 / mpp) for part in box)]


def test_averages_where_there_is_no_level(rgb, tmp_path):
    one_level = write_slide(tmp_path / "one.tif", rgb, levels=1)
    region = open_slide(one_level).read(100, 60, 80, 40, 1.0)
    mean = rgb[60:100, 100:180].reshape(10, 4, 20, 4, 3).mean((1, 3))
    assert np.abs(region - mean).max() <= 0.51


def test_blocks_do_not_depend_on_the_levels(slide, rgb, tmp_path):
    """The second level of the one is each second pixel of its first."""
    one_level = write_slide(tmp_path / "one.tif", rgb, levels=1)
    for path in (slide, one_level):
        with open_slide(path) as reader:
            assert np.array_equal(reader.blocks(10, 20, 300, 200, 1).rgb, rgb[20:220, 10:310])
            found = reader.blocks(5, -1, 40, 31, 2).rgb
        assert (found[0] == 255).all()
        assert np.abs(found[1:] - rgb[:60, 10:90].reshape(30, 2, 40, 2, 3).mean((1, 3))).max() <= 0.5


def test_blocks_of_a_broken_tile(rgb, tmp_path):
    path = write_slide(tmp_path / "broken.tif", rgb)
    damaged(path)
    with open_slide(path) as reader, pytest.raises(SlideReadError):
        reader.blocks(0, 0, 350, 250, 2)


def test_enlarges(tmp_path):
    gradient = np.repeat(np.arange(0, 200, 2, dtype=np.uint8)[None, :, None], 3, 2).repeat(60, 0)
    reader = open_slide(write_slide(tmp_path / "gradient.tif", gradient, mpp=0.5, levels=1))
    region = reader.read(20, 10, 40, 20, 0.25)
    assert region.shape == (40, 80, 3)
    assert np.abs(region[0, :, 0] - (np.arange(80) / 2 + 19.75) * 2).max() <= 1


@pytest.mark.parametrize("mpp", [0.2, 0.2527, 0.25, 0.3, 0.5, 0.55, 0.7, 1.0])
@pytest.mark.parametrize("levels", [1, 2])
def test_cuts_do_not_show(rgb, tmp_path, mpp, levels, monkeypatch):
    reader = open_slide(write_slide(tmp_path / "slide.tif", rgb, levels=levels))
    scale = mpp / 0.25
    columns, rows = (int(side / scale) for side in (700, 500))
    whole = reader.read(0, 0, columns * scale, rows * scale, mpp)
    monkeypatch.setattr("coseg_bundle.wsi.read.reader._SOURCE_PX", 100)
    assert np.array_equal(reader.read(0, 0, columns * scale, rows * scale, mpp), whole)
    for x, y, width, height in RNG.integers(0, [columns - 60, rows - 60, 60, 60], (20, 4)) + np.array([0, 0, 1, 1]):
        part = reader.read(x * scale, y * scale, width * scale, height * scale, mpp)
        assert np.array_equal(part, whole[y : y + height, x : x + width])


def test_thumbnail(slide, rgb):
    thumbnail = open_slide(slide).thumbnail(70)
    assert thumbnail.shape == (50, 70, 3)
    assert open_slide(slide).thumbnail(5000).shape == rgb.shape


def test_unknown_resolution_names_the_option(rgb, tmp_path):
    path = write_slide(tmp_path / "slide.tif", rgb, mpp=None)
    with pytest.raises(ImageFileError, match=r"slide\.tif: .*resolution.*--mpp"):
        open_slide(path)
    assert open_slide(path, mpp=0.5).mpp == 0.5


def test_senseless_resolution(slide):
    with pytest.raises(ValueError, match=r"out of range.*--mpp"):
        open_slide(slide, mpp=50).size_at(0.25)


def test_ome_tiff(rgb, tmp_path):
    path = tmp_path / "slide.ome.tif"
    metadata = {"axes": "YXS", "PhysicalSizeX": 0.4, "PhysicalSizeXUnit": "µm"}
    tifffile.imwrite(path, rgb, tile=(128, 128), metadata=metadata, photometric="rgb")
    reader = open_slide(path)
    assert reader.mpp == 0.4
    assert np.array_equal(reader.read(100, 50, 200, 300, 0.4), rgb[50:350, 100:300])


def test_planar_ome_tiff(rgb, tmp_path):
    path = tmp_path / "planar.ome.tif"
    metadata = {"axes": "CYX", "PhysicalSizeX": 0.4, "PhysicalSizeXUnit": "µm"}
    tifffile.imwrite(path, np.moveaxis(rgb, -1, 0).copy(), tile=(128, 128), metadata=metadata, photometric="rgb")
    assert np.array_equal(open_slide(path).read(100, 50, 200, 300, 0.4), rgb[50:350, 100:300])


def test_grey_16_bit(tmp_path):
    grey = RNG.integers(0, 65536, (100, 100), np.uint16)
    tifffile.imwrite(tmp_path / "grey.tif", grey, tile=(64, 64))
    region = open_slide(tmp_path / "grey.tif", mpp=0.25).read(0, 0, 100, 100, 0.25)
    assert np.array_equal(region, np.repeat((grey >> 8)[..., None], 3, 2))


def test_plain_image(rgb, tmp_path):
    Image.fromarray(rgb).save(tmp_path / "image.png")
    reader = open_slide(tmp_path / "image.png", mpp=0.25)
    assert np.array_equal(reader.read(3, 4, 50, 60, 0.25), rgb[4:64, 3:53])


def test_travels_to_other_processes(slide, rgb):
    reader = pickle.loads(pickle.dumps(open_slide(slide, mpp=0.3)))
    assert reader.mpp == 0.3
    assert np.array_equal(reader.read(0, 0, 10, 10, 0.3), rgb[:10, :10])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.svs", None, "not found"),
        ("text.svs", b"hello", "no slide that can be read"),
        ("text.tif", b"hello", "not readable"),
        ("text.xyz", b"hello", "no slide that can be read"),
        ("empty.svs", b"", "the file is empty; copy or export it again"),
        ("empty.tif", b"", "the file is empty; copy or export it again"),
        ("cut.svs", b"II*\0" + bytes(99), r"it begins as a TIFF, .+; it may be truncated: copy it again"),
        ("cut.ndpi", b"MM\0+" + bytes(99), r"it begins as a TIFF, .+; it may be truncated: copy it again"),
    ],
)
def test_files_that_are_no_slide(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImageFileError, match=f"{name}.*{message}"):
        open_slide(path)


def test_a_corrupt_tile_spoils_only_itself(rgb, slide, tmp_path):
    path = tmp_path / "corrupt.tif"
    content = bytearray(slide.read_bytes())
    with tifffile.TiffFile(slide) as file:
        page = file.pages[0]
        start, count = page.dataoffsets[1], page.databytecounts[1]
    content[start : start + count] = bytes(count)
    path.write_bytes(content)
    reader = open_slide(path)
    with pytest.raises(SlideReadError, match=r"corrupt\.tif"):
        reader.read(250, 0, 100, 100, 0.25)
    assert np.array_equal(reader.read(0, 300, 200, 200, 0.25), rgb[300:500, :200])


def damaged(path, level=0, tile=1):
    """Overwrites a tile of a level with garbage."""
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        page = file.series[0].levels[level].keyframe
        start, count = page.dataoffsets[tile], page.databytecounts[tile]
    content[start : start + count] = bytes([7]) * count
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("max_side", [700, 350, 175])
def test_a_thumbnail_is_unreadable_where_a_tile_is_and_nowhere_else(rgb, tmp_path, max_side):
    path = write_slide(tmp_path / "one.tif", rgb, levels=1)
    sound = open_slide(path).thumbnail(max_side)
    thumbnail = open_slide(damaged(path)).thumbnail(max_side)
    broken = (thumbnail == UNREADABLE).all(-1)
    columns, rows = ((np.arange(n) + 0.5) * 700 / max_side for n in thumbnail.shape[1::-1])  # centres
    assert np.array_equal(broken, ((columns >= 256) & (columns < 512)) & (rows < 256)[:, None])
    away = cv2.dilate(broken.astype(np.uint8), np.ones((3, 3))) == 0  # beside it pixels are mixed with it
    assert np.array_equal(thumbnail[away], sound[away])


def test_a_thumbnail_takes_what_is_broken_from_a_finer_level(rgb, tmp_path):
    path = write_slide(tmp_path / "two.tif", cv2.blur(rgb, (31, 31)))
    sound = open_slide(path).thumbnail(350)
    thumbnail = open_slide(damaged(path, level=1, tile=0)).thumbnail(350)
    assert not (thumbnail == UNREADABLE).all(-1).any()
    assert np.abs(thumbnail.astype(int) - sound).max() <= 3  # a mean of four instead of one of them


def test_one_broken_tile_hides_nothing_that_was_not_scanned(tmp_path):
    """Where pixels must be read for it, as those of a file with transparency."""
    rgba = RNG.integers(0, 256, (512, 512, 4), np.uint8)
    rgba[..., 3] = 255
    rgba[256:, 256:, 3] = 0
    path = tmp_path / "rgba.tif"
    options = {"photometric": "rgb", "extrasamples": ("unassalpha",), "tile": (256, 256), "compression": "deflate"}
    tifffile.imwrite(path, rgba, resolution=(40_000, 40_000), resolutionunit="CENTIMETER", **options)
    sound = open_slide(path)
    assert sound.unscanned(512)[256:, 256:].all()
    reader = open_slide(path)
    read = reader._backend._stored

    def stored(level, x, y, width, height):
        if x < 256 and y < 256:
            raise SlideReadError("broken")
        return read(level, x, y, width, height)

    reader._backend._stored = stored
    assert np.array_equal(reader.unscanned(512), sound.unscanned(512))


def test_real_slide(real_data):
    with open_slide(real_data / "slides" / "cmu-1-small-region.svs") as reader:
        assert (reader.size_xy, reader.mpp) == ((2220, 2967), 0.499)
        region = reader.read(1000, 1000, 512, 512, 0.25)
        assert region.shape == (1022, 1022, 3)
        assert 100 < region.mean() < 240
        assert reader.read(2200, 2900, 100, 100, 0.499)[70:].min() == 255


def test_a_broken_real_slide_goes_on_after_an_error(real_data, tmp_path):
    content = bytearray((real_data / "slides" / "cmu-1-small-region.svs").read_bytes())
    path = tmp_path / "broken.svs"
    with tifffile.TiffFile(real_data / "slides" / "cmu-1-small-region.svs") as file:
        page = file.pages[0]
        start, count = page.dataoffsets[40], page.databytecounts[40]
        across = -(-page.imagewidth // page.tilewidth)
        x, y = 40 % across * page.tilewidth, 40 // across * page.tilelength
    content[start : start + count] = bytes(count)
    path.write_bytes(content)
    reader = open_slide(path)
    for _ in range(2):
        with pytest.raises(SlideReadError, match=r"broken\.svs"):
            reader.read(x, y, 50, 50, 0.499)
        assert reader.read(0, 0, 64, 64, 0.499).shape == (64, 64, 3)


def test_a_side_that_no_slide_has(tmp_path):
    """Found by `make fuzz`: a damaged header kept a run busy for minutes."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.full((48, 64, 3), 200, np.uint8), tile=(16, 16), photometric="rgb")
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages[0].tags["ImageLength"].overwrite(2_000_001)
    with pytest.raises(ImageFileError, match=r"says 64 x 2000001 px, and a slide has at most 2000000 a side; the"):
        open_slide(path, 0.25)


def test_an_empty_file_that_openslide_takes_by_its_name_is_not_called_empty(tmp_path):
    """MIRAX lies in the folder beside it; this one's lacks the rest."""
    (tmp_path / "a.mrxs").touch()
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "Slidedat.ini").write_text("[GENERAL]\n")
    with pytest.raises(ImageFileError, match=r"a\.mrxs: not readable as a slide \("):
        open_slide(tmp_path / "a.mrxs")
