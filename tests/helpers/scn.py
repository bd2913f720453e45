"""A Leica slide whose scanned part lies on a larger glass."""

from pathlib import Path

import numpy as np
import tifffile

NM, CORNER, CANVAS = 250, (1000, 600), (2048, 1536)


def write_scn(path: Path, rgb: np.ndarray) -> Path:
    """A Leica slide: what was scanned lies at `CORNER` on a glass of `CANVAS` pixels."""
    height, width = rgb.shape[:2]

    def view(name, size, where, number, extent):
        return (
            f'<image name="{name}"><pixels sizeX="{size[0]}" sizeY="{size[1]}"><dimension sizeX="{size[0]}" '
            f'sizeY="{size[1]}" r="0" ifd="{number}"/></pixels><view sizeX="{extent[0] * NM}" sizeY="{extent[1] * NM}" '
            f'offsetX="{where[0] * NM}" offsetY="{where[1] * NM}"/><scanSettings><objectiveSettings><objective>40'
            "</objective></objectiveSettings><illuminationSettings><illuminationSource>brightfield"
            "</illuminationSource></illuminationSettings></scanSettings></image>"
        )

    xml = (
        '<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01" uuid="urn:uuid:1">'
        f'<collection name="c" sizeX="{CANVAS[0] * NM}" sizeY="{CANVAS[1] * NM}">'
        + view("macro", (256, 256), (0, 0), 0, CANVAS)
        + view("main", (width, height), CORNER, 1, (width, height))
        + "</collection></scn>"
    )
    options = {"resolution": (1e7 / NM, 1e7 / NM), "resolutionunit": 3, "photometric": "rgb", "tile": (256, 256)}
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        file.write(np.full((256, 256, 3), 240, np.uint8), description=xml, metadata=None, **options)
        file.write(rgb, metadata=None, **options)
    return path
