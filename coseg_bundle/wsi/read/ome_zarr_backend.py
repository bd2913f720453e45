"""OME-Zarr (NGFF 0.4 and 0.5), by zarr."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.images import ImageFileError
from coseg_bundle.data.images.colour import Encoding, completed, one_channel, three_channels, to_rgb
from coseg_bundle.data.images.files import first_line
from coseg_bundle.data.images.pixel_size import PixelSize, microns, number, square
from coseg_bundle.data.images.tiff.image import OneOfSeveral, choose
from coseg_bundle.wsi.read.backend import Region, SlideReadError, looked_at, same_shape

VERSIONS = ("0.4", "0.5")
_DESCRIPTIONS = ".zarray", ".zattrs", "zarr.json"


def is_zarr(folder: Path) -> bool:
    """Whether a folder is a Zarr group or array."""
    return any((folder / name).is_file() for name in ("zarr.json", ".zgroup", ".zattrs", ".zarray"))


class OmeZarrBackend:
    """An image of OME-Zarr: only the chunks of a region are read.

    Args:
        path: The folder. Of what bioformats2raw writes, the first image that shows neither label nor glass is read.

    Raises:
        ImageFileError: It holds something else than one grey or RGB image, or is of another version.
    """

    origin_xy = (0, 0)
    missing_tiles = 0

    def __init__(self, path: Path) -> None:
        import zarr

        self.path = path
        try:
            group = zarr.open_group(str(path), mode="r")
            about, self.notes = _image_of(group, path)
            group = group[about.pop("group")] if "group" in about else group
            multiscale = about["multiscales"][0]
            self._axes = "".join(str(axis["name"]) for axis in multiscale["axes"])
            arrays = [_level(group, dataset["path"], path) for dataset in multiscale["datasets"]]
            _raise_if_empty(arrays[0], path)
            shapes = [dict(zip(self._axes, array.shape, strict=True)) for array in arrays]
            self._encoding = _encoding(shapes[0], about.get("omero"), path)
            sizes = [(shape["x"], shape["y"]) for shape in shapes]
            kept = [level for level, size in enumerate(sizes) if same_shape(size, sizes[0])]
            self._arrays = [arrays[level] for level in kept]
            self.level_sizes_xy = [sizes[level] for level in kept]
            self.downsamples = [self.level_sizes_xy[0][0] / width for width, _ in self.level_sizes_xy]
            self.pixel_size = _pixel_size(multiscale)
            if self._arrays[0].dtype != np.uint8:
                self._encoding = completed(self._looked_at(), self._encoding, path)
        except (ImageFileError, MemoryError):
            raise
        except Exception as error:  # zarr raises whatever its stores and codecs raise, and attributes may be anything
            raise ImageFileError(f"{path}: not readable as OME-Zarr ({first_line(error)}); export it again.") from error
        self.notes += (*self._encoding.notes, *self.pixel_size.notes)

    def read(self, level: int, x: int, y: int, width: int, height: int) -> Region:
        """See `Backend`."""
        stored = self._stored(level, x, y, width, height)
        try:
            return Region(to_rgb(stored, self._encoding, self.path)[0])
        except ImageFileError as error:  # values that no part that was looked at has
            raise SlideReadError(str(error)) from error

    def unscanned(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.bool_] | None:
        """See `Backend`; a chunk that is not there has the fill value, as Zarr means it."""
        return None

    def close(self) -> None:
        """See `Backend`."""

    def _stored(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[Any]:
        """A region, `(H, W)` or `(H, W, 3)`."""
        index = {"y": slice(y, y + height), "x": slice(x, x + width), "c": slice(None)}
        try:
            part = np.asarray(self._arrays[level][tuple(index.get(axis, 0) for axis in self._axes)])
        except Exception as error:
            raise SlideReadError(
                f"{self.path}: a chunk near level-{level} pixel ({x}, {y}) is broken: {error}"
            ) from error
        kept = [axis for axis in self._axes if axis in index]
        part = part.transpose([kept.index(axis) for axis in "yxc" if axis in kept])  # (c, y, x) -> (H, W, C)
        return part[..., 0] if part.ndim == 3 and part.shape[2] == 1 else part

    def _looked_at(self) -> NDArray[Any]:
        level = len(self._arrays) - 1
        return looked_at(self.level_sizes_xy[level], lambda *box: self._stored(level, *box))


def _level(group: Any, name: Any, path: Path) -> Any:
    try:
        return group[name]
    except KeyError as error:
        raise ImageFileError(
            f"{path}: its metadata lists the level {name!r}, which is not there; copy it again, or export it again."
        ) from error


def _raise_if_empty(array: Any, path: Path) -> None:
    """Raises ImageFileError where the folder of an array holds nothing but what describes it."""
    files = (name for _, _, names in os.walk(path / array.path) for name in names)
    if all(name in _DESCRIPTIONS for name in files):
        raise ImageFileError(
            f"{path}: holds none of its {array.nchunks} chunks, as after an export that was stopped; make or copy it "
            "again."
        )


def _image_of(group: Any, path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The attributes of the image (`group` names it where it is not the root), and what is to be said of the choice."""
    about = _attributes(group)
    if "multiscales" in about:
        return _checked(about, path), ()
    if about.get("bioformats2raw.layout") is None or "0" not in group:
        raise ImageFileError(f"{path}: Zarr without an image (no multiscales); give the folder of an OME-Zarr image.")
    names = sorted((name for name in group.group_keys() if name.isdecimal()), key=int)
    number, notes = choose([_one_of_several(group[name]) for name in names], largest=False)
    return {**_checked(_attributes(group[names[number]]), path), "group": names[number]}, notes


def _one_of_several(group: Any) -> OneOfSeveral:
    """What an image says of itself; nothing where it is broken, which is an error once it is the one that is read."""
    try:
        multiscale = _attributes(group)["multiscales"][0]
        array = group[multiscale["datasets"][0]["path"]]
        sides = dict(zip((str(axis["name"]) for axis in multiscale["axes"]), array.shape, strict=True))
        size, in_colour = (int(sides.get("x", 1)), int(sides.get("y", 1))), sides.get("c", 1) > 2
        return OneOfSeveral(str(multiscale.get("name") or ""), size, in_colour, _pixel_size(multiscale).mpp)
    except MemoryError:
        raise
    except Exception:  # as above
        return OneOfSeveral("", (0, 0), False, None)


def _attributes(group: Any) -> dict[str, Any]:
    """NGFF's attributes: those of 0.5 lie under `ome`."""
    about = dict(group.attrs)
    inner = about.get("ome")
    return {"version": inner.get("version"), **inner} if isinstance(inner, dict) else about


def _checked(about: dict[str, Any], path: Path) -> dict[str, Any]:
    multiscale = about["multiscales"][0]
    version = str(about.get("version") or multiscale.get("version"))
    if not version.startswith(VERSIONS) or not all(isinstance(axis, dict) for axis in multiscale.get("axes", [0])):
        raise ImageFileError(f"{path}: expected OME-Zarr {' or '.join(VERSIONS)}, got {version}; convert it.")
    return about


def _encoding(shape: dict[str, int], omero: Any, path: Path) -> Encoding:
    others = {axis: size for axis, size in shape.items() if axis not in "cyx" and size != 1}
    if others or not {"x", "y"} <= set(shape):
        raise ImageFileError(f"{path}: expected one image, got {shape}; export one of them.")
    channels = shape.get("c", 1)
    if channels not in (1, 3):
        raise ImageFileError(f"{path}: expected a grey or RGB image, got {channels} channels; export it as RGB.")
    said = (omero.get("channels") if isinstance(omero, dict) else None) or ()
    names = [str(channel.get("label") or "") for channel in said]
    colours = [str(channel.get("color") or "").upper().lstrip("#") for channel in said]
    return (one_channel if channels == 1 else three_channels)(path, names, colours)


def _pixel_size(multiscale: dict[str, Any]) -> PixelSize:
    """Scales of the largest level and of all levels, in the unit that each axis states."""
    sizes: dict[str, float | None] = {}
    scales = [
        transform["scale"]
        for level in (multiscale["datasets"][0], multiscale)
        for transform in level.get("coordinateTransformations", ())
        if transform.get("type") == "scale"
    ]
    for place, axis in enumerate(multiscale["axes"]):
        factor = microns(axis.get("unit"))
        known = [number(scale[place]) for scale in scales]
        sizes[axis["name"]] = float(np.prod(known)) * factor if known and factor else None
    return square(sizes.get("x"), sizes.get("y"), "its OME-Zarr")
