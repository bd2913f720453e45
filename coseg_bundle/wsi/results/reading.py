"""A slide's finished results, read back in pieces."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.classes import ClassMap
from coseg_bundle.writers.folders import ResultsFolderError, check_kind, check_own
from coseg_bundle.writers.nuclei_table import schema
from coseg_bundle.writers.summary import SUMMARY, BrokenRecordError, read_record, untrained_in
from coseg_bundle.wsi.results.nuclei_rows import CSV

if TYPE_CHECKING:
    import pyarrow as pa

_NOT_ALWAYS = ("bbox",)
"""Columns of the nuclei that results of former versions lack."""

_SIDES = ("height_px", "width_px")
NUCLEI, TISSUE = "nuclei.parquet", "tissue.ome.tif"
LARGEST_TISSUE_PX = 2**27
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
            ResultsFolderError: The folder holds no finished slide, its summary is broken, or a file is not its own.
        """
        try:
            check_kind(folder, "slide")
        except ResultsFolderError as error:
            raise ResultsFolderError(
                f"{folder} holds results of coseg predict; give a folder that coseg slide wrote."
            ) from error
        absent = [name for name in (SUMMARY, NUCLEI, TISSUE) if not (folder / name).is_file()]
        if SUMMARY not in absent:
            absent = [name for name in absent if name not in _left_out(folder)]
        if NUCLEI in absent and (folder / CSV).is_file():
            raise ResultsFolderError(
                f"{folder}: its nuclei are in {CSV}, since pyarrow was not installed, and {NUCLEI} is needed here; "
                "pip install 'coseg-bundle[full]' and make the results anew with coseg slide --overwrite."
            )
        if absent:
            if SUMMARY not in absent:
                raise ResultsFolderError(
                    f"{folder}: no finished slide ({absent[0]} is missing); make it anew with coseg slide --overwrite."
                )
            raise ResultsFolderError(
                f"{folder}: no finished slide ({absent[0]} is missing); finish it with coseg slide --resume."
            )
        try:
            summary = _checked(folder / SUMMARY)
            check_own(folder, summary, NUCLEI, TISSUE)
            if "nuclei" not in untrained_in(summary):
                _check_rows(folder / NUCLEI, summary["nuclei"])
            return cls(folder, summary)
        except BrokenRecordError as error:
            raise ResultsFolderError(f"{folder}: {error}; make the results anew with coseg slide --overwrite.") from error

    @property
    def slide(self) -> Path:
        """The slide that was segmented."""
        return Path(self.summary["slide"])

    @property
    def untrained(self) -> tuple[str, ...]:
        """Tasks that nobody taught the network, whose files were left out."""
        return untrained_in(self.summary)

    @property
    def nuclei_classes(self) -> ClassMap:
        """Nuclei classes, background first."""
        return ClassMap(("background", *self.summary["nuclei_by_class"]))

    @property
    def tissue_classes(self) -> ClassMap:
        """Tissue classes."""
        return ClassMap(tuple(self.summary["nuclei_by_tissue"]))

    def nuclei(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The rows of `nuclei.parquet`, some ten thousand at a time; coordinates in pixels of level 0.

        Args:
            columns: Names of the columns that are wanted; all when not given.

        Raises:
            ResultsFolderError: The file is broken, or names classes that the summary does not.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        if "nuclei" in self.untrained:
            return

        try:
            with pq.ParquetFile(self.folder / NUCLEI) as file:
                for batch in file.iter_batches(columns=None if columns is None else list(columns)):
                    rows = pa.Table.from_batches([batch])
                    self._check_names(rows)
                    yield rows
        except (pa.ArrowException, OSError) as error:  # pyarrow's codecs raise OSError
            raise self._broken(NUCLEI, error) from error

    def _check_names(self, rows: pa.Table) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        for column, classes in (("type", self.nuclei_classes), ("tissue", self.tissue_classes)):
            if column in rows.column_names:
                found = set(pc.unique(rows[column].cast(pa.string())).to_pylist()) - {None}
                if unknown := sorted(found.difference(classes.names)):
                    raise self._broken(NUCLEI, f"{column} {', '.join(unknown)}, which {SUMMARY} does not name")

    def tissue(self, largest_px: int = LARGEST_TISSUE_PX) -> tuple[NDArray[np.uint8], float]:
        """The tissue map `(H, W)` of class ids, and its microns per pixel.

        Args:
            largest_px: The finest level of no more pixels is read; the coarsest if all have more.

        Raises:
            ResultsFolderError: The file is broken.
        """
        import tifffile

        try:
            with tifffile.TiffFile(self.folder / TISSUE) as file:
                levels = file.series[0].levels
                fitting = [number for number, level in enumerate(levels) if level.size <= largest_px]
                number = fitting[0] if fitting else len(levels) - 1
                whole, tissue = levels[0].shape, levels[number].asarray()
        except MemoryError as error:  # a few pixels, as its pages say, in tiles of any size
            raise self._broken(TISSUE, "it asks for more memory than there is") from error
        except Exception as error:  # tifffile and its codecs raise many kinds
            raise self._broken(TISSUE, error) from error
        if tissue.dtype != np.uint8 or tissue.ndim != 2 or not tissue.size or tissue.max() >= len(self.tissue_classes):
            raise self._broken(TISSUE, f"values to {tissue.max(initial=0)}, {tissue.dtype} of shape {tissue.shape}")
        said = [math.ceil(self.summary[side] * self.summary["mpp"] / self.summary["tissue_map_mpp"]) for side in _SIDES]
        if max(abs(side - other) for side, other in zip(whole, said, strict=True)) > 1:  # the two are rounded otherwise
            raise self._broken(TISSUE, f"{whole} pixels, and by {SUMMARY} it has {tuple(said)}")
        return tissue, self.summary["tissue_map_mpp"] * 2**number

    def _broken(self, name: str, reason: object) -> ResultsFolderError:
        return ResultsFolderError(
            f"{self.folder / name} is broken ({reason}); make the results anew with coseg slide --overwrite."
        )


def _left_out(folder: Path) -> set[str]:
    """The files that there cannot be, since nobody taught the network their task."""
    try:
        untrained = untrained_in(read_record(folder / SUMMARY))
    except BrokenRecordError:  # said when it is read for good
        return set()
    return {name for task, name in (("nuclei", NUCLEI), ("tissue", TISSUE)) if task in untrained}


def _checked(path: Path) -> dict[str, Any]:
    """A summary whose entries are what the conversions take them for.

    Raises:
        BrokenRecordError: Entries are missing or of another kind; all of them are named.
    """
    summary = read_record(path)
    wrong = [name for name in ("slide",) if not isinstance(summary.get(name), str)]
    wrong += [name for name in ("mpp", "network_mpp", "tissue_map_mpp") if not _positive(summary.get(name))]
    wrong += [name for name in ("width_px", "height_px") if not _count(summary.get(name), 1)]
    wrong += [name for name in ("origin_x_px", "origin_y_px") if not _count(summary.get(name, 0))]
    wrong += [name for name in ("nuclei",) if not _count(summary.get(name))]
    for name in ("nuclei_by_class", "nuclei_by_tissue"):
        counts = summary.get(name)
        if not isinstance(counts, dict) or not counts or not all(map(_count, counts.values())):
            wrong.append(name)
    wrong += [name for name in ("untrained",) if not _texts(summary.get(name, []))]
    wrong += [name for name in ("weights", "weights_sha256") if not isinstance(summary.get(name, 0), str | None)]
    wrong += [name for name in ("thumbnail",) if not _shares(summary.get(name, {}))]
    if wrong:
        raise BrokenRecordError(f"{path} is broken (no usable {', '.join(wrong)})")
    return summary


def _check_rows(path: Path, expected: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows, names = pq.read_metadata(path).num_rows, pq.read_schema(path).names
    except (pa.ArrowException, OSError) as error:
        raise BrokenRecordError(f"{path} is broken ({error})") from error
    if missing := [name for name in schema().names if name not in (*names, *_NOT_ALWAYS)]:
        raise BrokenRecordError(f"{path} is broken (no column {', '.join(missing)})")
    if rows != expected:
        raise BrokenRecordError(f"{path} has {rows} nuclei, and {SUMMARY} says {expected}")


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value and math.isfinite(value)


def _shares(value: object) -> bool:
    """Whether it is shares of a whole, by name."""
    return isinstance(value, dict) and all(share == 0 or (_positive(share) and share <= 1) for share in value.values())


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _count(value: object, least: int = 0) -> bool:
    return type(value) is int and value >= least
