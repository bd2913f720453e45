"""OME-Zarr as a slide. The files are written here as the specification has them; ome-zarr 0.18, ngff-zarr and
bioformats2raw write the same."""

import json

import numpy as np
import pytest
import zarr

from coseg_bundle.data.images import ImageFileError
from coseg_bundle.fingerprint import bytes_of, fingerprint
from coseg_bundle.wsi.read import backend
from coseg_bundle.wsi.read.backend import SlideReadError
from coseg_bundle.wsi.read.reader import open_slide

RGB = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
AXES = [{"name": "c", "type": "channel"}, *({"name": n, "type": "space", "unit": "micrometer"} for n in "yx")]


def write(path, image=RGB, version="0.5", axes=AXES, scale=0.5, levels=2, **attributes):
    """Channels first, as most programs write; `attributes` go beside `multiscales`."""
    stored = np.moveaxis(image, -1, 0) if image.ndim == 3 else image
    group = zarr.open_group(str(path), mode="w", zarr_format=3 if version == "0.5" else 2)
    datasets = []
    for level in range(levels):
        part = stored[..., :: 2**level, :: 2**level]
        chunks = tuple(min(32, side) for side in part.shape)
        group.create_array(str(level), data=part, chunks=chunks)
        factors = [1.0] * (part.ndim - 2) + [scale * 2**level] * 2
        datasets.append({"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": factors}]})
    about = {"multiscales": [{"axes": axes, "datasets": datasets}], **attributes}
    if version == "0.5":
        group.attrs["ome"] = {"version": version, **about}
    else:
        about["multiscales"][0]["version"] = version
        group.attrs.update(about)
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_by_hand(tmp_path, version):
    colours = [{"color": colour} for colour in ("FF0000", "00FF00", "0000FF")]
    path = write(tmp_path / "a.ome.zarr", version=version, omero={"channels": colours})
    with open_slide(path) as slide:
        assert (slide.size_xy, slide.mpp, slide.notes) == ((128, 96), 0.5, ())
        assert np.array_equal(slide.read(10, 20, 40, 30, 0.5), RGB[20:50, 10:50])
        assert np.array_equal(slide.read(0, 0, 128, 96, 1.0), RGB[::2, ::2])  # the second level
        assert not slide.unscanned(64).any()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_slide_without_a_single_chunk_is_refused(tmp_path, version):
    """As an export leaves it that was stopped; it was one without tissue, "not scanned 100 %"."""
    path = write(tmp_path / "a.zarr", version=version)
    chunks = [
        file for file in (path / "0").rglob("*") if file.is_file() and file.suffix != ".json" and file.name[0] != "."
    ]
    assert len(chunks) == 12
    for chunk in chunks:
        open_slide(path).close()
        chunk.unlink()
    with pytest.raises(
        ImageFileError, match=r"a\.zarr: holds none of its 12 chunks, as after an export that was stopped"
    ):
        open_slide(path)


def test_units_scales_and_what_is_said(tmp_path):
    axes = [AXES[0], *({"name": n, "type": "space", "unit": "nanometer"} for n in "yx")]
    path = write(tmp_path / "a.zarr", axes=axes, scale=250)
    with open_slide(path) as slide:
        assert slide.mpp == 0.25
        assert slide.notes == ("its three channels are red, green and blue",)
    about = json.loads((path / "zarr.json").read_text())
    about["attributes"]["ome"]["multiscales"][0]["coordinateTransformations"] = [{"type": "scale", "scale": [1, 2, 2]}]
    (path / "zarr.json").write_text(json.dumps(about))
    with open_slide(path) as slide:
        assert slide.mpp == 0.5  # those of the level and of all levels


def test_grey_and_deep(tmp_path):
    grey = RGB[..., 0].astype(np.uint16) * 16
    grey[0, 0] = 4095
    with open_slide(write(tmp_path / "a.zarr", grey, axes=AXES[1:], levels=1)) as slide:
        assert np.array_equal(slide.read(0, 0, 128, 96, 0.5)[..., 1], grey >> 4)


def test_deep_values_are_looked_at_everywhere(tmp_path, monkeypatch):
    """A black corner of a mosaic made 12 bits 16: the slide was dark, and without tissue."""
    monkeypatch.setattr(backend, "LOOKED_AT_PX", 2**22)
    grey = np.zeros((2100, 2100), np.uint16)
    grey[1500:, 1500:] = 4080
    with open_slide(write(tmp_path / "a.zarr", grey, axes=AXES[1:], levels=1)) as slide:
        assert slide.notes[-1] == "12 significant bits, as its values up to 4080 show"
        assert slide.read(2000, 2000, 8, 8, 0.5).min() == 255


def test_the_one_channel(tmp_path):
    grey, said = RGB[..., 0], {"channels": [{"label": "DAPI", "color": "FFFFFF"}]}
    with open_slide(write(tmp_path / "a.zarr", grey, axes=AXES[1:], omero=said)) as slide:
        assert slide.notes == ("its one channel, 'DAPI', is read as grey",)
    said["channels"][0]["color"] = "0000ff"
    with pytest.raises(ImageFileError, match="got one channel of the colour 0000FF; export it as RGB"):
        open_slide(write(tmp_path / "b.zarr", grey, axes=AXES[1:], omero=said))


def test_the_first_image_of_bioformats2raw(tmp_path):
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=2)
    group.attrs["bioformats2raw.layout"] = 3
    for name in ("0", "1"):
        write(tmp_path / "a.zarr" / name, version="0.4")
    with open_slide(tmp_path / "a.zarr") as slide:
        assert slide.size_xy == (128, 96)
        assert slide.notes[0] == "the first of 2 images in the file"


@pytest.mark.parametrize(
    ("images", "chosen", "notes"),
    [
        (
            (("", 30.0, 128), ("", 0.5, 96)),
            96,
            ("number 2, since others show label or glass, of 2 images in the file",),
        ),
        (
            (("Slide Macro", 0.5, 128), ("", 0.5, 96)),
            96,
            ("number 2, since others show label or glass, of 2 images in the file",),
        ),
        (
            (("", 0.5, 96), ("section 2", 0.5, 128)),
            96,
            (
                "the first of 2 images in the file",
                "left out: number 2 (section 2) of the images in the file, which may be tissue",
            ),
        ),
        ((("", 30.0, 128),), 128, ()),
    ],
)
def test_the_image_of_bioformats2raw_that_is_the_scan(tmp_path, images, chosen, notes):
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=2)
    group.attrs["bioformats2raw.layout"] = 3
    for number, (name, mpp, width) in enumerate(images):
        path = write(tmp_path / "a.zarr" / str(number), RGB[:, :width], version="0.4", scale=mpp)
        about = json.loads((path / ".zattrs").read_text())
        about["multiscales"][0]["name"] = name
        (path / ".zattrs").write_text(json.dumps(about))
    with open_slide(tmp_path / "a.zarr") as slide:
        assert slide.size_xy == (chosen, 96)
        assert slide.notes == (*notes, "its three channels are red, green and blue")


def test_an_image_that_is_broken_spares_the_others(tmp_path):
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=2)
    group.attrs["bioformats2raw.layout"] = 3
    write(tmp_path / "a.zarr" / "0", version="0.4")
    (write(tmp_path / "a.zarr" / "1", version="0.4") / ".zattrs").write_text("{}")
    with open_slide(tmp_path / "a.zarr") as slide:
        assert slide.notes[0] == "the first of 2 images in the file"
    (tmp_path / "a.zarr" / "0" / ".zattrs").write_text("{}")
    with pytest.raises(ImageFileError, match="not readable as OME-Zarr"):
        open_slide(tmp_path / "a.zarr")


def edited(path, change):
    about = json.loads((path / "zarr.json").read_text())
    change(about["attributes"]["ome"])
    (path / "zarr.json").write_text(json.dumps(about))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda ome: ome.update(version="0.3"), r"expected OME-Zarr 0.4 or 0.5, got 0.3; convert it"),
        (lambda ome: ome.pop("multiscales"), r"Zarr without an image"),
        (lambda ome: ome["multiscales"][0].pop("datasets"), r"not readable as OME-Zarr"),
        (lambda ome: ome["multiscales"][0]["datasets"][0].update(path="9"), r"lists the level '9', which is not"),
        (
            lambda ome: ome["multiscales"][0]["datasets"][1].update(path="9"),
            r"lists the level '9', which is not there; co",
        ),
        (
            lambda ome: ome.update(omero={"channels": [{"color": c} for c in ("0000FF", "00FF00", "FF0000")]}),
            r"0000FF, 00",
        ),
        (
            lambda ome: ome.update(omero={"channels": [{"label": name} for name in ("DAPI", "CD3", "CD20")]}),
            r"got channels 'DAPI', 'CD3', 'CD20'; export it as RGB",
        ),
        (lambda ome: ome["multiscales"][0]["axes"][0].update(name="z"), r"expected one image, got .*'z': 3"),
    ],
)
def test_what_is_no_slide_is_one_sentence(tmp_path, change, words):
    path = write(tmp_path / "a.zarr")
    edited(path, change)
    with pytest.raises(ImageFileError, match=words):
        open_slide(path)


def test_a_level_of_another_shape_is_none(tmp_path):
    """One number says how much smaller a level is, so one that is smaller in one direction alone cannot be used."""
    path = write(tmp_path / "a.zarr", levels=3)
    group = zarr.open_group(str(path), mode="r+")
    del group["1"]
    group.create_array("1", data=np.moveaxis(RGB[:, ::2], -1, 0), chunks=(3, 32, 32))
    with open_slide(path) as slide:
        assert list(slide._downsamples) == [1, 4]
        assert slide.read(0, 0, 128, 96, 1.0).shape == (48, 64, 3)


def test_a_file_that_does_not_say_its_resolution(tmp_path):
    path = write(tmp_path / "a.zarr")
    edited(path, lambda ome: [axis.pop("unit", None) for axis in ome["multiscales"][0]["axes"]])
    with pytest.raises(ImageFileError, match="does not say its resolution"):
        open_slide(path)
    assert open_slide(path, mpp=0.25).mpp == 0.25


def test_too_many_channels(tmp_path):
    with pytest.raises(ImageFileError, match="got 4 channels"):
        open_slide(write(tmp_path / "a.zarr", np.dstack([RGB, RGB[..., :1]])))


def test_a_broken_chunk_is_a_part_that_cannot_be_read(tmp_path):
    path = write(tmp_path / "a.zarr")
    (path / "0" / "c" / "0" / "0" / "0").write_bytes(b"x")
    with open_slide(path) as slide:
        assert np.array_equal(slide.read(64, 64, 10, 10, 0.5), RGB[64:74, 64:74])
        with pytest.raises(SlideReadError, match="a chunk near level-0 pixel"):
            slide.read(0, 0, 10, 10, 0.5)


def test_the_content_of_a_folder(tmp_path, monkeypatch):
    """Any file counts; where they are many, those that say what the others are, and all sizes."""
    from coseg_bundle import fingerprint as module

    path = write(tmp_path / "a.zarr")
    first = fingerprint(path)
    assert bytes_of(path) == sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    path.rename(tmp_path / "b.zarr")
    path = tmp_path / "b.zarr"
    assert fingerprint(path) == first
    monkeypatch.setattr(module, "WHOLE_BYTES", 1)
    monkeypatch.setattr(module, "_END", 1)
    many = fingerprint(path)
    edited(path, lambda ome: ome.update(name="x"))
    assert fingerprint(path) != many
