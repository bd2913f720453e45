"""A slide's finished results, read back in pieces."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.classes import ClassMap
from coseg_bundle.writers.summary import SUMMARY

if TYPE_CHECKING:
    import pyarrow as pa

NUCLEI, TISSUE = "nuclei.parquet", "tissue.ome.tif"
_LARGEST_TISSUE_PX = 2**27
"""The tissue map is taken at the finest level of no more pixels: 11,585 px square, 11.6 mm of a slide at 1 um."""


@dataclass(frozen=True)
class FinishedSlide:
    """What `coseg slide` wrote about a slide.

    Attributes:
        folder: The folder of results.
        summary: Content of `summary.json`.
    """

    folder: Path
    summary: dict[str, Any]

    @classmethod
    def open(cls, folder: Path) -> FinishedSlide:
        """Opens a folder of results.

        Raises:
            ValueError: The folder holds no finished slide.
        """
        absent = [name for name in (SUMMARY, NUCLEI, TISSUE) if not (folder / name).is_file()]
        if absent:
            raise ValueError(
                f"{folder}: no finished slide ({absent[0]} is missing); finish it with coseg slide --resume."
            )
        return cls(folder, json.loads((folder / SUMMARY).read_text(encoding="utf-8")))

    @property
    def slide(self) -> Path:
        """The slide that was segmented."""
        return Path(self.summary["slide"])

    @property
    def nuclei_classes(self) -> ClassMap:
        """Nuclei classes, background first."""
        return ClassMap(("background", *self.summary["nuclei_by_class"]))

    @property
    def tissue_classes(self) -> ClassMap:
        """Tissue classes."""
        return ClassMap(tuple(self.summary["nuclei_by_tissue"]))

    def nuclei(self) -> Iterator[pa.Table]:
        """The rows of `nuclei.parquet`, some ten thousand at a time; coordinates in pixels of level 0."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.folder / NUCLEI) as file:
            for batch in file.iter_batches():
                yield pa.Table.from_batches([batch])

    def tissue(self, largest_px: int = _LARGEST_TISSUE_PX) -> tuple[NDArray[np.uint8], float]:
        """The tissue map `(H, W)` of class ids, and its microns per pixel.

        Args:
            largest_px: The finest level of no more pixels is read; the coarsest if all have more.
        """
        import tifffile

        with tifffile.TiffFile(self.folder / TISSUE) as file:
            levels = file.series[0].levels
            fitting = [number for number, level in enumerate(levels) if level.size <= largest_px]
            number = fitting[0] if fitting else len(levels) - 1
            return levels[number].asarray(), self.summary["tissue_map_mpp"] * 2**number
