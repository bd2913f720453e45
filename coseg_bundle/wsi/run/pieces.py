"""The journal's file of a piece: its nuclei, in an Arrow table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from coseg_bundle.wsi.segment.nuclei import NucleiTable

if TYPE_CHECKING:
    import pyarrow as pa

_NUMBERS = ("area_um2", "type_id", "type_prob", "nuclei_prob", "disagreement")


def write_piece(path: Path, nuclei: NucleiTable) -> None:
    """Writes a table as an Arrow file, polygons as WKB."""
    import pyarrow as pa
    import pyarrow.feather
    import shapely

    columns: dict[str, Any] = {"geometry": pa.array(shapely.to_wkb(nuclei.polygons).astype(object), pa.binary())}
    columns |= {"x": nuclei.centroid_xy[:, 0], "y": nuclei.centroid_xy[:, 1]}
    columns |= {name: getattr(nuclei, name) for name in _NUMBERS}
    pyarrow.feather.write_feather(pa.table(columns), str(path), compression="uncompressed")


def read_piece(path: Path) -> pa.Table:
    """Reads what `write_piece` wrote: `geometry`, `x`, `y` and the numbers."""
    import pyarrow.feather

    return pyarrow.feather.read_table(str(path), memory_map=False)
