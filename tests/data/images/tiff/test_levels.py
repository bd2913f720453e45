import numpy as np
import pytest
import tifffile

from coseg_bundle.data.images import ImageFileError, read_image
from coseg_bundle.data.images.tiff import levels
from coseg_bundle.data.images.tiff.levels import images_in
from coseg_bundle.data.synthetic import synthetic_tissue
from coseg_bundle.wsi.read.reader import open_slide

TISSUE = synthetic_tissue(512).rgb[:384]
HALF = np.asarray(TISSUE.reshape(TISSUE.shape[0] // 2, 2, TISSUE.shape[1] // 2, 2, 3).mean((1, 3)), np.uint8)
GLASS = np.full_like(HALF, 243)


def write(path, *pages, mpps=(None, None, None), tile=64, **options):
    """Pages as they come, without marks; tifffile's metadata would tell it that they are no levels."""
    with tifffile.TiffWriter(path) as file:
        for rgb, mpp in zip(pages, mpps, strict=False):
            resolution = {"resolution": (1e4 / mpp,) * 2, "resolutionunit": "CENTIMETER"} if mpp else {}
            given = {"photometric": "rgb", "tile": (tile, tile) if tile else None, "metadata": None, **options}
            file.write(np.ascontiguousarray(rgb), **given, **resolution)
    return path


def sizes(path):
    """Widths of the levels of each image."""
    with tifffile.TiffFile(path) as file:
        return [[level.keyframe.imagewidth for level in image.levels] for image in images_in(file)]


def test_by_hand(tmp_path):
    """Pages of 4 x 4 and 2 x 2 px: a copy, whose mean is that of the whole, 152.5, and another one, of mean 30."""
    large = np.kron(np.array([[10, 200], [200, 200]], np.uint8), np.ones((2, 2), np.uint8))
    options = {"photometric": "minisblack", "tile": None, "rowsperstrip": 4}
    assert sizes(write(tmp_path / "a.tif", large, large[::2, ::2], **options)) == [[4, 2]]
    assert sizes(write(tmp_path / "b.tif", large, large[::2, ::2] // 5, **options)) == [[4], [2]]


@pytest.mark.parametrize("mpps", [(None, None), (0.5, 0.5), (0.5, 0.25)])
@pytest.mark.parametrize("other", [GLASS, HALF[::-1], HALF[:, ::-1]])
@pytest.mark.parametrize("tile", [64, None])
def test_another_scan_of_half_the_size_is_no_level(tmp_path, mpps, other, tile):
    """It was taken for one: a blank one made the slide one without tissue, and nothing was said of it."""
    path = write(tmp_path / "a.tif", TISSUE, other, mpps=mpps, tile=tile)
    assert sizes(path) == [[TISSUE.shape[1]], [HALF.shape[1]]]
    notes = ("the first of 2 images in the file",)
    if mpps[0]:
        notes += ("left out: number 2 of the images in the file, which may be tissue",)
    with open_slide(path, 0.5) as slide:
        assert (list(slide._downsamples), slide.notes) == ([1], notes)
    assert read_image(path).notes == notes


def test_a_blank_scan_before_the_one_with_tissue(tmp_path):
    blank = np.full_like(TISSUE, 243)
    assert sizes(write(tmp_path / "a.tif", blank, HALF, mpps=(0.5, 0.5))) == [[TISSUE.shape[1]], [HALF.shape[1]]]


def test_little_tissue_is_found_by_the_bytes_of_its_tile(tmp_path, monkeypatch):
    monkeypatch.setattr(levels, "_SPREAD", 4)
    large = np.full((1024, 1024, 3), 243, np.uint8)
    large[330:370, 330:370] = TISSUE[100:140, 100:140]
    other = np.full((512, 512, 3), 243, np.uint8)
    assert sizes(write(tmp_path / "a.tif", large, other, compression="deflate")) == [[1024], [512]]


@pytest.mark.parametrize("mpps", [(None,) * 3, (0.5, 0.5, 0.5), (0.5, 1.0, 2.0)])
@pytest.mark.parametrize("compression", [None, "deflate", "jpeg"])
@pytest.mark.parametrize("tile", [64, None])
@pytest.mark.parametrize(
    "copies", [(HALF, HALF[::2, ::2]), (TISSUE[::2, ::2], TISSUE[::4, ::4]), (TISSUE[1::4, 1::4],)]
)
def test_a_pyramid_keeps_levels_that_nobody_marked(tmp_path, mpps, compression, tile, copies):
    path = write(tmp_path / "a.tif", TISSUE, *copies, mpps=mpps, compression=compression, tile=tile)
    assert sizes(path) == [[TISSUE.shape[1], *(copy.shape[1] for copy in copies)]]
    with open_slide(path, 0.5) as slide:
        assert (len(slide._downsamples), slide.notes) == (1 + len(copies), ())


@pytest.mark.parametrize("rows", [1, 2, 3, 8, 384])
@pytest.mark.parametrize("copy", [HALF, TISSUE[::2, ::2]])
def test_strips_of_a_few_rows_are_compared_together(tmp_path, rows, copy):
    """Of 3 rows their copies differed by half a row; of 1 another image was a copy, for nothing was compared."""
    options = {"tile": None, "rowsperstrip": rows}
    assert sizes(write(tmp_path / "a.tif", TISSUE, copy, copy[::2, ::2], **options)) == [[512, 256, 128]]
    assert sizes(write(tmp_path / "b.tif", TISSUE, copy[::-1], **options)) == [[512], [256]]


def test_a_tile_is_decoded_once(tmp_path, monkeypatch):
    """A page of one strip was decoded for each of 257 places of a page of many."""
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        for rgb, rows in ((TISSUE, 384), (HALF, 8)):
            file.write(np.ascontiguousarray(rgb), photometric="rgb", metadata=None, rowsperstrip=rows)
    decoded = []
    whole = levels._Bands._tile
    monkeypatch.setattr(levels._Bands, "_tile", lambda self, tile: (decoded.append(tile), whole(self, tile))[1])
    assert sizes(path) == [[512, 256]]
    assert len(decoded) == 1 + 192 // 8


def test_a_tile_that_is_too_large_says_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(levels, "_LARGEST_PX", TISSUE.shape[0] * TISSUE.shape[1] - 1)
    assert sizes(write(tmp_path / "a.tif", TISSUE, GLASS, tile=None, rowsperstrip=384)) == [[512, 256]]


@pytest.mark.parametrize("marked", [{"subfiletype": 1}, {"subifds": 1}])
def test_what_is_marked_or_kept_apart_is_a_level_unseen(tmp_path, monkeypatch, marked):
    """As vips, GDAL and tifffile write them; vips gives each page the resolution of the first."""
    monkeypatch.setattr(levels, "_show_the_same", None)
    options = {"photometric": "rgb", "metadata": None, "resolution": (2e4, 2e4), "resolutionunit": "CENTIMETER"}
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(TISSUE, subifds=marked.get("subifds"), **options)
        file.write(HALF, subfiletype=marked.get("subfiletype"), **options)
    assert sizes(tmp_path / "a.tif") == [[TISSUE.shape[1], HALF.shape[1]]]


@pytest.mark.parametrize("options", [{"planarconfig": "separate"}, {"photometric": "minisblack"}, {"dtype": np.uint16}])
def test_levels_of_other_layouts(tmp_path, options):
    def stored(rgb):
        if "planarconfig" in options:
            return np.moveaxis(rgb, 2, 0)
        return rgb[..., 1] if "photometric" in options else rgb.astype(np.uint16) * 16

    options = {name: value for name, value in options.items() if name != "dtype"}
    for name, copy, expected in (("a", HALF, [[512, 256]]), ("b", HALF[::-1], [[512], [256]])):
        found = sizes(write(tmp_path / f"{name}.tif", stored(TISSUE), stored(copy), **options))
        assert found == expected


def test_what_is_missing_or_broken_says_nothing(tmp_path):
    path = write(tmp_path / "a.tif", TISSUE, HALF, compression="deflate")
    with tifffile.TiffFile(path, mode="r+") as file:
        offsets, lengths = (file.pages[1].tags[tag] for tag in ("TileOffsets", "TileByteCounts"))
        offsets.overwrite([0, *offsets.value[1:]])
        lengths.overwrite([0, *lengths.value[1:]])
        file.filehandle.seek(offsets.value[1])
        file.filehandle.write(b"\7" * 8)
    assert sizes(path) == [[TISSUE.shape[1], HALF.shape[1]]]


OME = '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{}">{}</OME>'
IDS = [f"urn:uuid:11111111-1111-4111-8111-11111111111{number}" for number in range(2)]


def one_file_each(folder, *images):
    """As Bio-Formats writes several images, or several planes of one: each in a file, the OME-XML of all in each."""
    said = "".join(
        f'<Image ID="Image:{n}"><Pixels ID="Pixels:{n}" DimensionOrder="XYCZT" SizeX="{image.shape[1]}" '
        f'SizeY="{image.shape[0]}" SizeC="3" SizeT="1" SizeZ="1" Type="uint8"><Channel SamplesPerPixel="3"/>'
        f'<TiffData IFD="0" PlaneCount="1"><UUID FileName="s{n}.ome.tif">{IDS[n]}</UUID></TiffData></Pixels></Image>'
        for n, image in enumerate(images)
    )
    paths = [folder / f"s{number}.ome.tif" for number in range(len(images))]
    for path, image, identity in zip(paths, images, IDS, strict=True):
        tifffile.imwrite(path, image, photometric="rgb", metadata=None, description=OME.format(identity, said))
    return paths


def test_a_file_is_not_another_one_that_it_names(tmp_path):
    """The larger image of two files was the image of both."""
    large, small = one_file_each(tmp_path, TISSUE, HALF)
    for path, image in ((large, TISSUE), (small, HALF)):
        assert np.array_equal(read_image(path).rgb, image)
        assert read_image(path).notes == ()
        with open_slide(path, 0.5) as slide:
            assert np.array_equal(slide.read(0, 0, *slide.size_xy, 0.5), image)


def test_planes_that_lie_in_several_files_are_named(tmp_path):
    planes = "".join(
        f'<TiffData FirstC="{n}" IFD="0" PlaneCount="1"><UUID FileName="s{n}.ome.tif">{IDS[n]}</UUID></TiffData>'
        for n in range(2)
    )
    pixels = (
        '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" SizeX="64" SizeY="64" SizeC="2" SizeT="1" SizeZ="1" Type="uint8">'
    )
    said = f'<Image ID="Image:0">{pixels}<Channel/><Channel/>{planes}</Pixels></Image>'
    for number in range(2):
        description = OME.format(IDS[number], said)
        tifffile.imwrite(tmp_path / f"s{number}.ome.tif", TISSUE[:64, :64, 0], metadata=None, description=description)
    with pytest.raises(
        ImageFileError, match=r"s1.ome.tif: parts of its image lie in other files; export it as one file"
    ):
        read_image(tmp_path / "s1.ome.tif")


def test_json_of_another_program_that_quotes_a_shape(tmp_path):
    """As large_image's converter keeps the description of what it converted; the file was called truncated."""
    path = write(tmp_path / "a.tif", TISSUE, description='{"internal": {"xml": {"shape": [384, 512, 3]}}}')
    with tifffile.TiffFile(path) as file, pytest.raises(KeyError):
        file.series  # noqa: B018
    assert np.array_equal(read_image(path).rgb, TISSUE)
    with open_slide(path, 0.5) as slide:
        assert np.array_equal(slide.read(0, 0, *slide.size_xy, 0.5), TISSUE)
