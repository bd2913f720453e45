from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

from coseg_bundle.data.images import read_image
from coseg_bundle.data.images.pixel_size import microns, number, openslide_pixel_size, square, tiff_pixel_size
from coseg_bundle.wsi.read.reader import open_slide

RGB = np.full((8, 8, 3), 200, np.uint8)
OME = (
    '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
    '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="8" SizeY="8" SizeC="3" '
    'SizeZ="1" SizeT="1" {}><Channel ID="Channel:0:0" SamplesPerPixel="3"/><TiffData IFD="0" PlaneCount="1"/></Pixels>'
    "</Image></OME>"
)


def ome(path, attributes):
    content = OME.format(attributes).encode()
    tifffile.imwrite(path, RGB, photometric="rgb", description=content, metadata=None, tile=(16, 16))
    return path


def test_by_hand():
    assert square(0.25, 0.25, "x").mpp == 0.25
    assert square(0.25, 0.252, "x").mpp == pytest.approx(0.251)
    assert (number("0,5"), number(" 5e-4 ")) == (0.5, 5e-4)


@pytest.mark.parametrize(
    ("value", "unit"),
    [("0.5", "µm"), ("0.5", "μm"), ("0.5", "um"), ("0.5", "micron"), ("0.5", "Microns"), ("0.5", "micrometre"),
     ("0.5", "\\u00B5m"), ("0.5", "\\u03BCm"), ("0.5", "&amp;#181;m"), ("0.5", "Âµm"), ("500", "nm"), ("5e-4", "mm"),
     ("5e-5", "cm"), ("5e-7", "m"), ("5000", "Å"), ("5000", "angstrom"), ("0,5", "µm"), ("500000", "pm"),
     ("1.9685039370e-5", "in")],
)  # fmt: skip
def test_ome_units(tmp_path, value, unit):
    path = ome(tmp_path / "a.ome.tif", f'PhysicalSizeX="{value}" PhysicalSizeXUnit="{unit}"')
    assert read_image(path).mpp == pytest.approx(0.5)
    assert open_slide(path).mpp == pytest.approx(0.5)


def test_the_default_unit_is_the_micron(tmp_path):
    assert read_image(ome(tmp_path / "a.ome.tif", 'PhysicalSizeX="0.5"')).mpp == 0.5


@pytest.mark.parametrize("value", ["0.0", "NaN", "INF", "-0.5", "half"])
def test_nonsense_counts_as_not_given_and_is_named(tmp_path, value):
    path = ome(tmp_path / "a.ome.tif", f'PhysicalSizeX="{value}" PhysicalSizeY="{value}"')
    image = read_image(path)
    assert image.mpp is None
    assert "no pixel size and counts as not given" in image.notes[0]
    with pytest.raises(ValueError, match=r"does not say its resolution .*no pixel size.*--mpp"):
        open_slide(path)
    assert open_slide(path, 0.5).mpp == 0.5


def test_what_is_no_number_is_quoted(tmp_path):
    image = read_image(ome(tmp_path / "a.ome.tif", 'PhysicalSizeX="0.5 um" PhysicalSizeY="0.5 um"'))
    assert image.notes == ("its OME-XML says '0.5 um x 0.5 um', which is no pixel size and counts as not given",)
    image = read_image(ome(tmp_path / "b.ome.tif", 'PhysicalSizeX="half" PhysicalSizeY="0.5"'))
    assert image.mpp == 0.5


def test_a_resolution_without_a_unit_is_in_inches(tmp_path):
    """As TIFF says; unit 1 means that it has none."""
    options = {"resolution": (25_400 / 0.5, 25_400 / 0.5), "resolutionunit": "INCH", "metadata": None}
    tifffile.imwrite(tmp_path / "a.tif", RGB, photometric="rgb", **options)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        where = file.pages[0].tags["ResolutionUnit"].offset
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[where : where + 2] = (297).to_bytes(2, "little")  # the tag is another one now
    (tmp_path / "b.tif").write_bytes(content)
    assert read_image(tmp_path / "a.tif").mpp == pytest.approx(0.5)
    assert read_image(tmp_path / "b.tif").mpp == pytest.approx(0.5)


@pytest.mark.parametrize("unit", ["pixel", "reference frame", "furlong", "Mm"])
def test_other_units_are_named(tmp_path, unit):
    image = read_image(ome(tmp_path / "a.ome.tif", f'PhysicalSizeX="1" PhysicalSizeXUnit="{unit}"'))
    assert image.mpp is None
    assert unit in image.notes[0]


@pytest.mark.parametrize("unit", ["pixel", "", None, "furlong"])
def test_no_length(unit):
    assert microns(unit) is None


@pytest.mark.parametrize(
    ("unit", "value"),
    [("um", 0.5), ("micron", 0.5), ("microns", 0.5), ("\\u00B5m", 0.5), ("nm", 500), ("mm", 5e-4), ("cm", 5e-5),
     ("inch", 0.5 / 25_400)],
)  # fmt: skip
def test_imagej(tmp_path, unit, value):
    options = {"imagej": True, "resolution": (1 / value, 1 / value), "metadata": {"unit": unit}}
    tifffile.imwrite(tmp_path / "a.tif", RGB, **options)
    assert read_image(tmp_path / "a.tif").mpp == pytest.approx(0.5, rel=1e-4)


def test_imagej_without_a_length(tmp_path):
    for unit, density in (("pixel", 1), ("inch", 72), ("cm", 118)):
        tifffile.imwrite(tmp_path / "a.tif", RGB, imagej=True, resolution=(density, density), metadata={"unit": unit})
        assert read_image(tmp_path / "a.tif").mpp is None


def test_aperio(tmp_path):
    for text, mpp in (("MPP = 0.2520", 0.252), ("MPP = 0,2520", 0.252), ("MPP=0.5", 0.5), ("MPP = 0", None)):
        tifffile.imwrite(tmp_path / "a.tif", RGB, description=f"Aperio Image|AppMag = 40|{text}|x = 1", metadata=None)
        image = read_image(tmp_path / "a.tif")
        assert image.mpp == mpp
        assert len(image.notes) == (mpp is None)


def test_oblong_pixels_are_refused_unless_a_resolution_is_given(tmp_path):
    path = ome(tmp_path / "a.ome.tif", 'PhysicalSizeX="0.25" PhysicalSizeY="0.5"')
    image = read_image(path)
    assert image.mpp is None
    assert "a.ome.tif: its pixels are 0.25 x 0.5 um and not square (its OME-XML); resample" in image.mpp_refusal
    with pytest.raises(ValueError, match=r"a.ome.tif: its pixels are 0.25 x 0.5 um and not square"):
        open_slide(path)
    assert open_slide(path, mpp=0.25).mpp == 0.25
    tifffile.imwrite(path, RGB, resolution=(40_000, 20_000), resolutionunit="CENTIMETER")
    assert "not square (its resolution tags)" in read_image(path).mpp_refusal


def test_openslide():
    assert openslide_pixel_size({"openslide.mpp-x": "0.25", "openslide.mpp-y": "0.251"}).mpp == 0.2505
    assert openslide_pixel_size({}) == square(None, None, "")
    assert openslide_pixel_size({"openslide.mpp-x": "0", "openslide.mpp-y": "0"}).notes
    assert openslide_pixel_size({"openslide.mpp-x": "0.25", "openslide.mpp-y": "0.5"}).refusal


@pytest.mark.parametrize("xml", ["<OME", '<?xml version="1.0" encoding="no-such"?><OME/>'])
def test_broken_ome_xml_is_named(xml):
    page = SimpleNamespace(description="", tags={})
    size = tiff_pixel_size(SimpleNamespace(ome_metadata=xml, is_imagej=False), page)
    assert size.notes == ("its OME-XML is broken and says nothing",)


@pytest.mark.parametrize("sizes", [(1.0, 0.499), (0.499, 1.0), (None, 0.499)])
def test_two_images_of_one_size_have_their_own_pixel_sizes(tmp_path, sizes):
    """The one of a mask was taken for that of the image behind it: 2,402 nuclei for 918."""
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        for mpp, shape in zip(sizes, ((64, 64), (64, 64, 3)), strict=True):
            said = {"PhysicalSizeX": mpp, "PhysicalSizeY": mpp} if mpp else {}
            file.write(np.full(shape, 99, np.uint8), photometric="rgb" if len(shape) == 3 else None, metadata=said)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        found = [tiff_pixel_size(file, page).mpp for page in file.pages]
    assert found == list(sizes)
    assert read_image(tmp_path / "a.ome.tif").mpp == sizes[1]
