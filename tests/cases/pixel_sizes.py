"""The image's door: what files say of the size of their pixels, and what the command does."""

from __future__ import annotations

from typing import Any

import numpy as np

from .case import Case, near, with_words
from .image_files import HEIGHT, RGB, WIDTH, imagej, nifti, no_length, physical_size, png, tiff
from .images import image
from .stand_in import write


def sized(name: str, content: Any, mpp: float | None, note: str = "", refused: str = "", **rest: Any) -> Case:
    """A case of what a file says of its pixels: the nuclei are 12 px, whatever that is."""
    source = "file" if mpp else "unknown"
    right = {} if refused else {"mpp": near(mpp) if mpp else None, "mpp_source": source, "nuclei": lambda n: n >= 0}
    if note:
        right["read_as"] = with_words(note)
    return image(f"pixel size: {name}", content, refused, **{"file": "a.tif", "options": "", **rest}, **right)


SIZES = [
    *(sized(f"ImageJ, {unit}", imagej(unit, value), 0.3) for unit, value in (("um", 0.3), ("micron", 0.3), ("microns", 0.3), ("nm", 300.0), ("mm", 0.0003), ("cm", 0.00003), ("\\u00B5m", 0.3))),
    sized("ImageJ, pixel", imagej("pixel", 1.0), None),
    *(sized(f"OME, {value} {unit}", physical_size(value, unit), 0.3, file="a.ome.tif") for value, unit in (("0.3", "µm"), ("300", "nm"), ("3e-4", "mm"), ("3e-5", "cm"), ("3e-7", "m"), ("3000", "Å"), ("0,3", "µm"), ("0.3", "&#181;m"), ("300000", "pm"))),
    *(sized(f"OME, {value}", physical_size(value, "µm"), None, "which is no pixel size and counts as not given", file="a.ome.tif") for value in ("0.0", "NaN", "INF", "-0.5", "cat")),
    sized("OME, a unit of time", physical_size("0.5", "s"), None, "which is no unit of length", file="a.ome.tif"),
    sized("OME, reference frame", physical_size("1", "reference frame"), None, file="a.ome.tif"),
    sized("OME, x and y alike", physical_size("0.3", "µm", "0.3"), 0.3, file="a.ome.tif"),
    sized("OME, a scanner's tolerance", physical_size("0.300", "µm", "0.302"), 0.301, file="a.ome.tif"),
    sized("OME, oblong", physical_size("0.3", "µm", "0.6"), None, refused=r"a\.ome\.tif: its pixels are 0\.3 x 0\.6 um and not square \(its OME-XML\); .+", file="a.ome.tif"),
    image("pixel size: OME, oblong, another is given", physical_size("0.3", "µm", "0.6"), file="a.ome.tif", mpp=0.25, mpp_source="given"),
    sized("OME, broken XML", tiff(RGB, description="<?xml version='1.0'?><OME xmlns='http://www.openmicroscopy.org/Schemas/OME/2016-06'><Image><Pixels"), None, like=None, file="a.ome.tif"),
    sized("centimetres", tiff(RGB, resolution=(1e4 / 0.3, 1e4 / 0.3), resolutionunit="CENTIMETER"), 0.3),
    sized("inches", tiff(RGB, resolution=(25400 / 0.3, 25400 / 0.3), resolutionunit="INCH"), 0.3),
    sized("a printing resolution", tiff(RGB, resolution=(300, 300), resolutionunit="INCH"), None),
    sized("no unit", tiff(RGB, resolution=(4, 4), resolutionunit="NONE"), None),
    sized("a resolution of 0", tiff(RGB, resolution=((0, 1), (0, 1)), resolutionunit="CENTIMETER"), None),
    sized("a resolution over 0", no_length, None),
    sized("oblong", tiff(RGB, resolution=(40000, 20000), resolutionunit="CENTIMETER"), None, refused=r"a\.tif: its pixels are 0\.25 x 0\.5 um and not square \(.+\); .+"),
    sized("Aperio's words", tiff(RGB, description="Aperio Image Library v1.0\r\n64x48 |AppMag = 20|MPP = 0.3"), 0.3),
    sized("Aperio's words, comma", tiff(RGB, description="Aperio Image Library v1.0\r\n64x48 |AppMag = 20|MPP = 0,3"), 0.3),
    sized("NIfTI, mm", nifti(np.moveaxis(RGB, 0, 1)[:, :, None], (3e-4, 3e-4, 1, 1)), 0.3, file="a.nii"),
    sized("NIfTI, micron", nifti(np.moveaxis(RGB, 0, 1)[:, :, None], (0.3, 0.3, 1, 1), "micron"), 0.3, file="a.nii"),
    sized("NIfTI, 1 mm is a default", nifti(np.moveaxis(RGB, 0, 1)[:, :, None], (1, 1, 1, 1)), None, file="a.nii"),
    Case("images", "given: far off", write(("a.png", png(RGB))), "predict a.png -o out --mpp 1000", 1, r"a\.png: .*microns per pixel.*"),
    *(Case("images", f"pixel size given: {value}", write(("a.png", png(RGB))), f"predict a.png -o out --mpp={value}", 2, "expected a number above 0") for value in ("0", "-1", "nan", "inf", "0,25", "cat")),
    image("given: twice as coarse", png(RGB), options="--mpp 0.5", like=None, mpp=0.5, size=(HEIGHT, WIDTH), nuclei=lambda n: n >= 0),
]  # fmt: skip

CASES = SIZES
