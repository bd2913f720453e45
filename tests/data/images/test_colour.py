from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from coseg_bundle.data.images import ImageFileError, read_image, read_instances, read_label
from coseg_bundle.data.images.colour import Encoding, encoding_of, one_channel, three_channels, to_rgb
from coseg_bundle.wsi.read.reader import open_slide

ROWS, COLUMNS = np.mgrid[:32, :48]
RGB = np.stack([200 + COLUMNS % 40, 80 + ROWS * 3, 150 + (ROWS + COLUMNS) % 60], -1).astype(np.uint8)
SPARE = np.full((32, 48, 1), 7, np.uint8)
FILE = Path("a.tif")


def both(path):
    """What the image's door and the slide's door give."""
    image = read_image(path)
    with open_slide(path, 0.25) as slide:
        region = slide.read(0, 0, *slide.size_xy, 0.25)
    assert np.array_equal(image.rgb, region)
    assert image.rgb.flags.writeable
    return image


PRIMARIES = ("FF0000", "00FF00", "0000FF")
UNSAID = ("its three channels are red, green and blue",)


@pytest.mark.parametrize(
    ("names", "colours", "notes"),
    [
        ((), (), UNSAID),
        (("", "", ""), ("", "", ""), UNSAID),
        (("slide.svs",) * 3, ("FFFFFF",) * 3, UNSAID),
        (("Channel 0", "Channel 1", "Channel 2"), (), UNSAID),
        (("c:1/3 - a.tif", "c:2/3 - a.tif", "c:3/3 - a.tif"), (), UNSAID),
        (("C01", "C02", "C03"), (), UNSAID),
        (("Channel 0", "Channel 1", "Channel 2"), PRIMARIES, ()),
        (("Red", "Green", "Blue"), (), ()),
        (("TL Brightfield_R", "TL Brightfield_G", "TL Brightfield_B"), (), ()),
        (("TL Brightfield", "", ""), ("FFFFFF", "", ""), UNSAID),  # raw2ometiff names the first alone
        (("TL Brightfield",), ("808080",), UNSAID),  # bioformats2raw, one channel of three samples
        ((), ("000000",) * 3, UNSAID),  # Bio-Formats' ChannelSeparator copies the first
        ((), ("FF0000",) * 3, UNSAID),
        (("R", "G", "B"), ("FFFF00", "FF00FF", "FF0000"), ()),  # ARGB that is read as RGBA
        (("Red", "Green", "Blue"), PRIMARIES[::-1], ()),
        (("RedChannel", "GreenChannel", "BlueChannel"), (), ()),
        (("channelR", "channelG", "channelB"), (), ()),
        (("Rot", "Grün", "Blau"), (), ()),
        (("BF Red 620", "BF Green 530", "BF Blue 450"), (), ()),
        (("Bright Field", "Bright Field 2", "Bright Field 3"), (), UNSAID),
        (("DAPI",) * 3, PRIMARIES, ()),
        ((), ("FE0000", "00FE00", "0000FE"), ()),
        ((), ("ff0000", "008000", "0000ff"), ()),
    ],
)
def test_three_channels_are_red_green_and_blue(names, colours, notes):
    assert three_channels(FILE, names, colours) == Encoding("rgb", notes=notes)


@pytest.mark.parametrize(
    ("names", "colours", "words"),
    [
        (("DAPI", "CD3", "CD20"), (), "got channels 'DAPI', 'CD3', 'CD20'; export it as RGB"),
        (("DAPI", "CD3", "CD20"), PRIMARIES, "got channels 'DAPI', 'CD3', 'CD20'"),  # colours of a viewer
        (("CD3", "CD4", "CD8"), (), "'CD3', 'CD4', 'CD8'"),
        (("Texas Red", "FITC Green", "DAPI Blue"), (), "'Texas Red'"),
        (("Blue", "Green", "Red"), (), "'Blue', 'Green', 'Red'"),
        (("C2", "C1", "C0"), (), "'C2', 'C1', 'C0'"),
        (("R", "B", "G"), PRIMARIES, "'R', 'B', 'G'"),
        (("C1", "C2", "C3"), PRIMARIES[::-1], "got channels of the colours 0000FF, 00FF00, FF0000; export"),
        ((), ("FFFF00", "FF00FF", "FF0000"), "of the colours FFFF00, FF00FF, FF0000"),
        ((), ("FF0000", "FFFFFF", "0000FF"), "of the colours FF0000, FFFFFF"),
    ],
)
def test_three_channels_of_something_else(names, colours, words):
    with pytest.raises(ImageFileError, match=words):
        three_channels(FILE, names, colours)


@pytest.mark.parametrize(
    ("names", "colours", "notes"),
    [
        ((), (), ()),
        (("",), ("",), ()),
        (("Channel 0",), ("FFFFFF",), ()),
        (("C01",), ("808080",), ()),
        (("DAPI",), ("FFFFFF",), ("its one channel, 'DAPI', is read as grey",)),
        (("Channel DAPI",), (), ("its one channel, 'Channel DAPI', is read as grey",)),
    ],
)
def test_one_channel_is_grey(names, colours, notes):
    assert one_channel(FILE, names, colours) == Encoding("grey", notes=notes)


def test_one_channel_of_a_colour():
    with pytest.raises(ImageFileError, match="expected an RGB image, got one channel of the colour 0000FF; export"):
        one_channel(FILE, ["DAPI"], ["0000FF"])


OME = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
BLUE, GREEN, RED = 0x0000FFFF, 0x00FF00FF, -0x00FFFF01  # OME's signed RGBA


@pytest.mark.parametrize(
    ("channels", "words"),
    [
        ({"Color": [BLUE, GREEN, RED], "Name": ["Blue", "Green", "Red"]}, "'Blue', 'Green', 'Red'"),
        ({"Color": [BLUE, GREEN, RED]}, "0000FF, 00FF00, FF0000"),
        ({"Name": ["DAPI", "CD3", "CD20"]}, "'DAPI', 'CD3', 'CD20'"),
    ],
)
def test_channels_of_an_ome_tiff(tmp_path, channels, words):
    """Read as red, green and blue, whatever the file said, they had other nuclei or none."""
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(
        path, np.moveaxis(RGB, 2, 0), photometric="minisblack", metadata={"axes": "CYX", "Channel": channels}
    )
    for read in (read_image, lambda path: open_slide(path, 0.25)):
        with pytest.raises(ImageFileError, match=words):
            read(path)


@pytest.mark.parametrize(("sizes", "is_one_image"), [("311", True), ("131", False), ("113", False), ("111", False)])
def test_pages_of_an_ome_tiff_that_does_not_say_which_plane_is_which(tmp_path, sizes, is_one_image):
    """As libvips is told to write OME-TIFF; its three channels were three images."""
    path = tmp_path / "a.ome.tif"
    counts = " ".join(f'Size{axis}="{size}"' for axis, size in zip("CZT", sizes, strict=True))
    pixels = f'<Pixels DimensionOrder="XYCZT" {counts} SizeX="{RGB.shape[1]}" SizeY="{RGB.shape[0]}" Type="uint8"/>'
    description = f'<?xml version="1.0"?><OME xmlns="{OME}"><Image ID="Image:0">{pixels}</Image></OME>'
    with tifffile.TiffWriter(path) as file:
        for plane in np.moveaxis(RGB, 2, 0):
            file.write(plane.copy(), photometric="minisblack", metadata=None, description=description)
            description = None
    if is_one_image:
        image = read_image(path)
        assert np.array_equal(image.rgb, RGB)
        assert image.notes == ("its three channels are red, green and blue",)
    else:
        with pytest.raises(ImageFileError, match="expected one image, got 3 pages"):
            read_image(path)


@pytest.mark.parametrize("said", [{}, {"Name": "Channel 0"}, {"Name": "DAPI"}, {"Name": "DAPI", "Color": BLUE}])
def test_the_one_channel_of_an_ome_tiff(tmp_path, said):
    """Blue light on black was read as a tissue in grey, without a word."""
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, RGB[..., 0], photometric="minisblack", metadata={"axes": "YX", "Channel": said})
    if "Color" in said:
        for read in (read_image, lambda path: open_slide(path, 0.25)):
            with pytest.raises(ImageFileError, match="got one channel of the colour 0000FF"):
                read(path)
        return
    image = both(path)
    assert (image.rgb == RGB[..., :1]).all()
    assert image.notes == (("its one channel, 'DAPI', is read as grey",) if said.get("Name") == "DAPI" else ())


GREY_TABLE = np.stack([np.arange(256, dtype=np.uint8)] * 3)
GREEN_TABLE = GREY_TABLE * np.array([[0], [1], [0]], np.uint8)


@pytest.mark.parametrize(
    ("said", "notes"),
    [({"LUTs": [GREY_TABLE]}, ()), ({"Labels": ["DAPI"]}, ("its one channel, 'DAPI', is read as grey",))],
)
def test_what_imagej_says_of_a_single_channel(tmp_path, said, notes):
    """tifffile gives one table or label without a list: rows were taken for tables, and letters for labels."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, RGB[..., 0], imagej=True, metadata=said)
    image = both(path)
    assert (image.rgb == RGB[..., :1]).all()
    assert image.notes == notes
    assert (read_label(path) == RGB[..., 0]).all()
    tifffile.imwrite(path, RGB[..., 0], imagej=True, metadata={"LUTs": [GREEN_TABLE]})
    with pytest.raises(ImageFileError, match="got one channel of the colour 00FF00"):
        read_image(path)


@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_ids_have_no_colour(tmp_path, name):
    """Label maps that are shown in a colour, or in many, were refused as fluorescence."""
    ids = np.zeros((8, 8), np.uint16)
    ids[1:3, 1:3], ids[5:7, 5:7] = 1, 300
    path = tmp_path / name
    of_ome = {"ome": True, "metadata": {"axes": "YX", "Channel": {"Name": "nuclei", "Color": GREEN}}}
    for said in (of_ome, {"imagej": True, "metadata": {"LUTs": [GREEN_TABLE]}}):
        tifffile.imwrite(path, ids, photometric="minisblack", **said)
        assert (read_label(path) == ids).all()
        assert (read_instances(path)[0] == ids).all()


@pytest.mark.parametrize("channels", [{"Color": [RED, GREEN, BLUE]}, {"Name": ["Red", "Green", "Blue"]}])
def test_an_ome_tiff_that_says_red_green_and_blue(tmp_path, channels):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(
        path, np.moveaxis(RGB, 2, 0), photometric="minisblack", metadata={"axes": "CYX", "Channel": channels}
    )
    image = both(path)
    assert np.array_equal(image.rgb, RGB)
    assert image.notes == ()


@pytest.mark.parametrize("names", [("DAPI", "CD3", "CD20"), ("Red", "Green", "Blue")])
def test_pages_of_a_qptiff_are_named(tmp_path, names):
    with tifffile.TiffWriter(tmp_path / "a.qptiff") as file:
        for place, name in enumerate(names):
            about = f"<PerkinElmer-QPI-ImageDescription><Name>{name}</Name></PerkinElmer-QPI-ImageDescription>"
            said = {"software": "PerkinElmer-QPI", "description": about, "metadata": None}
            file.write(np.ascontiguousarray(RGB[..., place]), photometric="minisblack", contiguous=False, **said)
    (tmp_path / "a.qptiff").rename(tmp_path / "a.tif")
    if names[0] == "Red":
        assert np.array_equal(read_image(tmp_path / "a.tif").rgb, RGB)
        return
    with pytest.raises(ImageFileError, match="got channels 'DAPI', 'CD3', 'CD20'; export it as RGB"):
        read_image(tmp_path / "a.tif")


def table(*colour):
    """ImageJ's look-up table from black to a colour, `(3, 256)`."""
    return (np.arange(256) * np.array(colour)[:, None]).astype(np.uint8)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"Labels": ["DAPI", "CD3", "CD20"]}, "'DAPI', 'CD3', 'CD20'"),
        ({"LUTs": [table(0, 0, 1), table(0, 1, 0), table(1, 0, 0)]}, "0000FF, 00FF00, FF0000"),
        ({"LUTs": [table(1, 0, 0), table(0, 1, 0), table(0, 0, 1)]}, None),
        ({"LUTs": [table(1, 1, 1)] * 3}, None),
        ({}, None),
    ],
)
def test_channels_of_imagej(tmp_path, said, words):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.moveaxis(RGB, 2, 0), imagej=True, metadata={"axes": "CYX", "mode": "composite", **said})
    if words is None:
        assert np.array_equal(both(path).rgb, RGB)
        return
    with pytest.raises(ImageFileError, match=words):
        read_image(path)


def test_by_hand():
    rgba = np.array([[[10, 20, 30, 255], [0, 0, 0, 51], [9, 9, 9, 0]]], np.uint8)
    rgb, empty = to_rgb(rgba, encoding_of(4, FILE), FILE)
    assert rgb.tolist() == [[[10, 20, 30], [204, 204, 204], [255, 255, 255]]]
    assert empty.tolist() == [[False, False, True]]
    palette = Encoding("palette", palette=np.array([[1, 2, 3], [4, 5, 6]], np.uint8))
    assert to_rgb(np.array([[1, 0]], np.uint8), palette, FILE)[0].tolist() == [[[4, 5, 6], [1, 2, 3]]]
    see_through = Encoding("palette", alpha=1, palette=np.array([[1, 2, 3], [4, 5, 6]], np.uint8))
    rgb, empty = to_rgb(np.array([[[1, 255], [0, 0]]], np.uint8), see_through, FILE)
    assert rgb.tolist() == [[[4, 5, 6], [255, 255, 255]]]
    assert empty.tolist() == [[False, True]]


@pytest.mark.parametrize("mode", ["CMYK", "LAB", "YCbCr"])
def test_other_colours_of_tiff(tmp_path, mode):
    Image.fromarray(RGB).convert(mode).save(tmp_path / "a.tif")
    assert np.abs(both(tmp_path / "a.tif").rgb.astype(int) - RGB).max() <= {"CMYK": 0, "LAB": 8, "YCbCr": 3}[mode]


def test_a_text_in_place_of_a_profile(tmp_path):
    cmyk = np.asarray(Image.fromarray(RGB).convert("CMYK"))
    tifffile.imwrite(tmp_path / "a.tif", cmyk, photometric="separated", extratags=[(34675, 2, 5, "text", True)])
    with pytest.raises(ImageFileError, match=r"a.tif: its colour profile cannot be used"):
        read_image(tmp_path / "a.tif")


def test_a_profile_that_is_not_of_inks(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(RGB).convert("CMYK").save(tmp_path / "a.tif", icc_profile=profile)
    with pytest.raises(ImageFileError, match=r"a.tif: its colour profile cannot be used"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("compression", [None, "jpeg", "lzw", "deflate", "zstd"])
def test_ycbcr(tmp_path, planar, compression):
    smooth = np.full((32, 48, 3), (200, 80, 150), np.uint8)
    ycbcr = np.array(Image.fromarray(smooth).convert("YCbCr"))
    options = {"photometric": "ycbcr", "compression": compression, "tile": (16, 16)}
    if planar:
        tifffile.imwrite(tmp_path / "a.tif", np.moveaxis(ycbcr, -1, 0).copy(), planarconfig="separate", **options)
    else:
        tifffile.imwrite(tmp_path / "a.tif", ycbcr, **options)
    assert np.abs(both(tmp_path / "a.tif").rgb.astype(int) - smooth).max() <= 4


def test_ycbcr_in_jpeg_2000(tmp_path):
    options = {"compression": "jpeg2000", "tile": (16, 16), "metadata": None}
    tifffile.imwrite(tmp_path / "a.tif", np.full((32, 48, 3), 90, np.uint8), photometric="ycbcr", **options)
    with pytest.raises(
        ImageFileError, match=r"a.tif: its colours are YCBCR within JPEG2000, which is not read; export"
    ):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("spare", ["unspecified", "unassalpha"])
@pytest.mark.parametrize("opaque", [4095, 65535])
def test_what_lies_beside_the_colours_does_not_say_how_deep_they_are(tmp_path, spare, opaque):
    bright = RGB.copy()
    bright[0, 0] = 255
    beside = np.where(COLUMNS < 10, 0, opaque).astype(np.uint16)
    stored = np.dstack([bright.astype(np.uint16) << 4, beside])
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=[spare], tile=(16, 16))
    image = both(tmp_path / "a.tif")
    is_alpha = spare == "unassalpha"
    assert np.array_equal(image.rgb[:, 10:], bright[:, 10:])
    assert (image.rgb[:, :10] == (255 if is_alpha else bright[:, :10])).all()
    assert (image.unscanned is not None) == is_alpha


@pytest.mark.parametrize("colours", [256, 16])
def test_palette(tmp_path, colours):
    image = Image.fromarray(RGB).quantize(colours)
    image.save(tmp_path / "a.tif")
    image.save(tmp_path / "a.png")
    expected = np.array(image.convert("RGB"))
    assert np.array_equal(both(tmp_path / "a.tif").rgb, expected)
    assert np.array_equal(read_image(tmp_path / "a.png").rgb, expected)
    for name in ("a.tif", "a.png"):  # as a label, the values count
        assert np.array_equal(read_label(tmp_path / name), np.array(image))


def test_palette_of_8_bit_colours(tmp_path):
    colours = np.stack([np.arange(256)] * 3).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", RGB[..., 0], photometric="palette", colormap=colours)
    assert np.array_equal(read_image(tmp_path / "a.tif").rgb, np.repeat(RGB[..., :1], 3, 2))


@pytest.mark.parametrize("planar", [False, True])
def test_a_spare_channel_is_left_out(tmp_path, planar):
    stored = np.dstack([RGB, SPARE * 0])
    stored = np.moveaxis(stored, -1, 0).copy() if planar else stored
    options = {"planarconfig": "separate" if planar else "contig", "extrasamples": ["unspecified"]}
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", **options)
    image = both(tmp_path / "a.tif")
    assert np.array_equal(image.rgb, RGB)
    assert image.notes == ("1 channel beside the colours left out",)


def test_more_spare_channels_than_a_scanner_adds_are_refused(tmp_path):
    for spare in (4, 5):
        stored = np.dstack([RGB] + [SPARE * 0] * spare)
        tifffile.imwrite(tmp_path / f"{spare}.tif", stored, photometric="rgb", extrasamples=["unspecified"] * spare)
    assert np.array_equal(both(tmp_path / "4.tif").rgb, RGB)
    for read in (read_image, lambda path: open_slide(path, mpp=0.25)):
        with pytest.raises(ImageFileError, match=r"expected a grey, RGB or RGBA image, got 8 channels"):
            read(tmp_path / "5.tif")


@pytest.mark.parametrize("alpha", [1, 128, 255])
def test_one_transparency_everywhere_says_nothing(tmp_path, alpha):
    stored = np.dstack([(RGB.astype(int) * alpha + 127) // 255, SPARE * 0 + alpha]).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=["assocalpha"])
    if alpha > 1:
        assert np.abs(both(tmp_path / "a.tif").rgb.astype(int) - RGB).max() <= 2
    tifffile.imwrite(tmp_path / "b.tif", np.dstack([RGB, SPARE * 0 + alpha]), photometric="rgb", extrasamples=[2])
    assert np.array_equal(both(tmp_path / "b.tif").rgb, RGB)


def test_premultiplied_and_straight_transparency_are_the_same_on_white(tmp_path):
    alpha = np.where(COLUMNS < 10, 0, np.where(COLUMNS < 20, 100, 255)).astype(np.uint8)
    premultiplied = ((RGB * alpha[..., None].astype(int) + 127) // 255).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", np.dstack([premultiplied, alpha]), photometric="rgb", extrasamples=[1])
    tifffile.imwrite(tmp_path / "b.tif", np.dstack([RGB, alpha]), photometric="rgb", extrasamples=[2])
    a, b = both(tmp_path / "a.tif"), both(tmp_path / "b.tif")
    assert np.abs(a.rgb.astype(int) - b.rgb).max() <= 1
    assert (b.rgb[:, :10] == 255).all()
    assert np.array_equal(a.unscanned, alpha == 0)
    assert np.array_equal(b.unscanned, alpha == 0)


def test_all_transparent_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.dstack([RGB, SPARE * 0]), photometric="rgb", extrasamples=[2])
    with pytest.raises(ImageFileError, match=r"a.tif: its transparency .alpha. is 0 everywhere"):
        read_image(tmp_path / "a.tif")


def test_white_is_zero_and_bits(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", 255 - RGB[..., 0], photometric="miniswhite", tile=(16, 16))
    assert np.array_equal(both(tmp_path / "a.tif").rgb[..., 0], RGB[..., 0])
    bits = Image.fromarray(RGB).convert("1")
    for compression in (None, "group4"):
        bits.save(tmp_path / "bits.tif", compression=compression)
        assert np.array_equal(read_image(tmp_path / "bits.tif").rgb[..., 0] > 0, np.array(bits))
        both(tmp_path / "bits.tif")


@pytest.mark.parametrize("channels", [2, 4, 7])
@pytest.mark.parametrize("ome", [False, True])
def test_channels_that_are_no_colours_are_refused_by_both_doors(tmp_path, channels, ome):
    planes = np.zeros((channels, 64, 48), np.uint8)
    path = tmp_path / ("a.ome.tif" if ome else "a.tif")
    tifffile.imwrite(path, planes, photometric="minisblack", tile=(16, 16), metadata={"axes": "CYX"})
    with pytest.raises(ImageFileError) as of_image:
        read_image(path)
    with pytest.raises(ImageFileError) as of_slide:
        open_slide(path, 0.25)
    assert str(of_image.value) == str(of_slide.value)
    assert f"got {channels} " in str(of_image.value)


@pytest.mark.parametrize("axes", ["ZYX", "TYX", "TYXS"])
def test_stacks_and_series_are_refused_by_both_doors(tmp_path, axes):
    planes = np.zeros((3, 16, 16, 3)[: 3 + axes.endswith("S")], np.uint8)
    tifffile.imwrite(tmp_path / "a.ome.tif", planes, metadata={"axes": axes})
    for door in (read_image, lambda path: open_slide(path, 0.25)):
        with pytest.raises(ImageFileError, match=rf"expected one image, got 3 pages .*axes {axes}.*export one of them"):
            door(tmp_path / "a.ome.tif")


def test_several_images_of_one_size_are_refused_and_others_named(tmp_path):
    for _ in range(3):
        tifffile.imwrite(tmp_path / "a.tif", RGB[..., 0], append=True)
    with pytest.raises(ImageFileError, match=r"a.tif: expected one image, got 3 of shape \(32, 48\)"):
        read_image(tmp_path / "a.tif")
    for rgb in (RGB, RGB[:20]):
        tifffile.imwrite(tmp_path / "b.tif", rgb, photometric="rgb", append=True, metadata=None)
    image = both(tmp_path / "b.tif")
    assert np.array_equal(image.rgb, RGB)
    assert image.notes == ("the first of 2 images in the file",)


def test_the_macro_comes_first(tmp_path):
    """As some converters write OME-TIFF: the picture of the glass, then the slide, which has another pixel size."""
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        images = (("macro", RGB[:20, :30] // 2, 20.0), ("slide", RGB, 0.5), ("label", RGB[:8, :8], 20.0))
        for name, rgb, mpp in images:
            size = {"PhysicalSizeX": mpp, "PhysicalSizeY": mpp}
            file.write(rgb, photometric="rgb", tile=(16, 16), metadata={"axes": "YXS", "Name": name, **size})
    image = both(tmp_path / "a.ome.tif")
    assert np.array_equal(image.rgb, RGB)
    assert image.mpp == 0.5
    assert image.notes == ("number 2, the largest, of 3 images in the file",)


@pytest.mark.parametrize("first", [0, 1])
def test_of_a_mask_and_an_image_of_one_size_the_image_counts(tmp_path, first):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for array in (RGB, RGB[..., 0])[:: -1 if first else 1]:
            file.write(array, photometric="rgb" if array.ndim == 3 else "minisblack", metadata=None)
    image = both(tmp_path / "a.tif")
    assert np.array_equal(image.rgb, RGB)
    assert image.notes == (f"{('the first', 'number 2, the one in colour,')[first]} of 2 images in the file",)


@pytest.mark.parametrize("name", ["macro", "Label image"])
def test_a_picture_of_the_glass_may_have_more_pixels(tmp_path, name):
    """A region that was cut from a slide is smaller than the picture of the glass; alone that picture is an image."""
    images = ((name, np.tile(RGB, (2, 2, 1)), 20.0), ("region", RGB, 0.5))
    for count in (1, 2):
        with tifffile.TiffWriter(tmp_path / f"{count}.ome.tif", ome=True) as file:
            for title, rgb, mpp in images[:count]:
                size = {"PhysicalSizeX": mpp, "PhysicalSizeY": mpp}
                file.write(rgb, photometric="rgb", tile=(16, 16), metadata={"axes": "YXS", "Name": title, **size})
    image = both(tmp_path / "2.ome.tif")
    assert np.array_equal(image.rgb, RGB)
    assert image.mpp == 0.5
    assert image.notes == ("number 2, since others show label or glass, of 2 images in the file",)
    assert np.array_equal(both(tmp_path / "1.ome.tif").rgb, images[0][1])


def write_several(path, *images):
    """OME-TIFF of images `(name, rgb, mpp)`."""
    with tifffile.TiffWriter(path, ome=True) as file:
        for name, rgb, mpp in images:
            size = {} if mpp is None else {"PhysicalSizeX": mpp, "PhysicalSizeY": mpp}
            file.write(rgb, photometric="rgb", tile=(16, 16), metadata={"axes": "YXS", "Name": name, **size})


def test_an_image_that_is_left_out_and_may_be_tissue_is_named(tmp_path):
    """Neither the label nor the same section at another size; the largest is read."""
    large, half = np.tile(RGB, (2, 2, 1)), np.ascontiguousarray(np.tile(RGB, (2, 2, 1))[::2, ::2][:30])
    macro = ("macro image", np.tile(RGB, (3, 3, 1)), 30.0)
    images = (("section 1", RGB, 0.5), ("section 2", large, 0.5), ("half of 2", half, 1.0), macro)
    write_several(tmp_path / "a.ome.tif", *images)
    image = both(tmp_path / "a.ome.tif")
    assert np.array_equal(image.rgb, large)
    assert image.notes == (
        "number 2, since others show label or glass, of 4 images in the file",
        "left out: number 1 (section 1) of the images in the file, which may be tissue",
    )


@pytest.mark.parametrize("name", ["Slide Macro", "WSI thumbnail", "macro image (1)", "preview", "Map"])
@pytest.mark.parametrize("mpp", [30.0, None])
def test_a_picture_of_the_glass_by_any_name(tmp_path, name, mpp):
    write_several(tmp_path / "a.ome.tif", (name, np.tile(RGB, (2, 2, 1)), mpp), ("scan", RGB, 0.5))
    image = both(tmp_path / "a.ome.tif")
    assert (image.mpp, image.rgb.shape) == (0.5, RGB.shape)
    assert image.notes == ("number 2, since others show label or glass, of 2 images in the file",)


def test_a_picture_of_the_glass_may_have_the_scans_size(tmp_path):
    write_several(tmp_path / "a.ome.tif", ("macro image", RGB // 2, None), ("scan", RGB, 0.5))
    image = both(tmp_path / "a.ome.tif")
    assert np.array_equal(image.rgb, RGB)
    assert image.notes == ("number 2, since others show label or glass, of 2 images in the file",)
    write_several(tmp_path / "b.ome.tif", ("macro", RGB, 0.5), ("scan", RGB, 0.5), ("scan 2", RGB, 0.5))
    with pytest.raises(ImageFileError, match=r"b\.ome\.tif: expected one image, got 2 of shape \(32, 48, 3\)"):
        read_image(tmp_path / "b.ome.tif")


@pytest.mark.parametrize("name", ["Overview scan 20x", "MAP-17-0012", "my_label.svs", "Pre-label H&E", "label 2024"])
def test_a_scan_may_have_such_a_word_in_its_name(tmp_path, name):
    """Its mask was read instead, and nothing was said of the scan."""
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        file.write(RGB, photometric="rgb", tile=(16, 16), metadata={"axes": "YXS", "Name": name})
        file.write(RGB[..., 0], photometric="minisblack", tile=(16, 16), metadata={"axes": "YX", "Name": "mask"})
    image = both(tmp_path / "a.ome.tif")
    assert np.array_equal(image.rgb, RGB)
    assert image.notes == ("the first of 2 images in the file",)


def test_pixels_wider_than_a_scanners_are_those_of_a_picture_of_the_glass(tmp_path):
    write_several(tmp_path / "a.ome.tif", ("a", np.tile(RGB, (2, 2, 1)), 30.0), ("b", RGB, 0.5))
    assert both(tmp_path / "a.ome.tif").mpp == 0.5
    write_several(tmp_path / "b.ome.tif", ("a", np.tile(RGB, (2, 2, 1)), 30.0), ("b", RGB, 30.0))
    assert both(tmp_path / "b.ome.tif").rgb.shape == (64, 96, 3)  # there is nothing else


@pytest.mark.parametrize(("photometric", "name"), [("cfa", "CFA"), ("logluv", "LOGLUV"), ("icclab", "ICCLAB")])
def test_colours_that_are_not_read_are_named(tmp_path, photometric, name):
    data = RGB if photometric != "cfa" else RGB[..., 0]
    tifffile.imwrite(tmp_path / "a.tif", data, photometric=photometric)
    with pytest.raises(ImageFileError, match=rf"a.tif: its colours are stored as {name}, which is not read; export"):
        read_image(tmp_path / "a.tif")


def test_no_image_has_five_channels():
    with pytest.raises(ImageFileError, match="got 5 channels"):
        encoding_of(5, FILE)


def test_a_palette_of_two_colours_at_one_bit():
    """Found by `make fuzz`: pixels of one bit were taken for a mask."""
    palette = Encoding("palette", palette=np.array([[1, 2, 3], [4, 5, 6]], np.uint8))
    rgb, _ = to_rgb(np.array([[False, True, True]]), palette, Path("a.tif"))
    assert rgb.tolist() == [[[1, 2, 3], [4, 5, 6], [4, 5, 6]]]
