"""Whether a folder still holds the results that were opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from coseg_bundle.writers.folders import ResultsFolderError
from coseg_bundle.writers.summary import SUMMARY


@dataclass(frozen=True)
class Stamp:
    """When the results of a folder were finished: their summary is written last, and removed first.

    Attributes:
        folder: The folder of results.
        finished: When their summary was written, ns, and how long it is, bytes; None where there is none.
    """

    folder: Path
    finished: tuple[int, int] | None

    @classmethod
    def of(cls, folder: Path) -> Stamp:
        """The one of what lies there now."""
        try:
            found = (folder / SUMMARY).stat()
        except OSError:
            return cls(folder, None)
        return cls(folder, (found.st_mtime_ns, found.st_size))

    def raise_if_changed(self, remedy: str) -> None:
        """Refuses to mix what was read with what lies there now.

        Args:
            remedy: What to do about it.

        Raises:
            ResultsFolderError: The folder was removed, or its results made anew.
        """
        if Stamp.of(self.folder) != self:
            raise ResultsFolderError(
                f"The results of {self.folder.name} were removed or made anew since they were opened; {remedy}."
            )
