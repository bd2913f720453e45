"""What was found on a slide, read back from its files."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.writers.corrections import doubts_about
from coseg_bundle.writers.stamp import Stamp
from coseg_bundle.writers.summary import doubts_in
from coseg_bundle.wsi.results.reading import NUCLEI, FinishedSlide

if TYPE_CHECKING:
    import pyarrow as pa
    from PIL.Image import Image

    from coseg_bundle.measures.measuring import Measured


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SlideResult:
    """Nuclei and tissue of one slide; `Model.slide` gives it, and `SlideResult.open` a folder of `coseg slide`.

    They are as the network found them: a warning says so where `coseg view` saved corrections of them, and what makes
    them doubtful, such as tiles that could not be read.
    Files are read when they are asked for; where they were removed or made anew since, `ResultsFolderError` says so.

    Attributes:
        finished: The files.
        stamp: When they were made.
    """

    finished: FinishedSlide
    stamp: Stamp = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "stamp", Stamp.of(self.finished.folder))
        for sentence in doubts_about(self.folder, doubts_in(self.summary)):
            logger.warning("%s: %s", self.folder, sentence)

    @classmethod
    def open(cls, folder: str | PathLike[str]) -> SlideResult:
        """The results in a folder.

        Raises:
            ResultsFolderError: There are none, or they are not finished.
        """
        return cls(FinishedSlide.open(Path(folder)))

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return self.finished.folder

    @property
    def summary(self) -> dict[str, Any]:
        """Content of `summary.json`: counts, areas, and what the results were made from."""
        return self.finished.summary

    @cached_property
    def nuclei(self) -> pa.Table:
        """One row per nucleus; `to_pandas()` makes a data frame of it, coordinates are pixels of level 0."""
        import pyarrow.parquet as pq

        self._raise_if_changed()
        return pq.read_table(self.folder / NUCLEI)

    @cached_property
    def tissue(self) -> NDArray[np.uint8]:
        """The tissue map `(H, W)` uint8 of class ids; `tissue_mpp` is its resolution."""
        return self._tissue[0]

    @property
    def tissue_mpp(self) -> float:
        """Microns per pixel of `tissue`."""
        return self._tissue[1]

    @cached_property
    def _tissue(self) -> tuple[NDArray[np.uint8], float]:
        self._raise_if_changed()
        return self.finished.tissue()

    def _raise_if_changed(self) -> None:
        self.stamp.raise_if_changed("open them again with SlideResult.open")

    def measure(
        self,
        regions: str | PathLike[str] | None = None,
        grid_um: float | None = None,
        stains: bool = True,
        roles: Mapping[str, Sequence[str]] | None = None,
    ) -> Measured:
        """Measures nuclei, tissue and regions, and writes the tables and the report into `measures` of the folder.

        Args:
            regions: A GeoJSON file of regions of interest, as QuPath writes it; a row for each.
            grid_um: Side of the cells of a grid, microns; none without it.
            stains: Whether to measure colours where the slide is at hand.
            roles: Which classes are `tumor`, `stroma` and `inflammatory`, in place of what their names say.

        Raises:
            ResultsFolderError: The results were removed or made anew since they were opened.
            ValueError: The results, the regions, the side of the grid or the roles cannot be used.
        """
        from coseg_bundle.measures.cohort import measure_all, measure_folders
        from coseg_bundle.measures.measuring import Wanted

        self._raise_if_changed()
        wanted = Wanted(
            regions is not None, grid_um, None if regions is None else Path(regions), stains, roles=roles or {}
        )
        [outcome] = measure_all([self.folder], measure_folders([self.folder], None), wanted)
        if outcome.measured is None:
            raise ValueError(outcome.error)
        return outcome.measured

    def plot(self) -> Image:
        """The overview: the slide with its tissue; a notebook shows it."""
        from PIL import Image

        self._raise_if_changed()
        return Image.open(self.folder / "overview.png")
