"""The weights that are served: the bundle's own, then each version that was trained from annotations."""

from __future__ import annotations

import logging
import re
import shutil
from pathlib import Path

from coseg_bundle.atomic import whole_file

logger = logging.getLogger(__name__)

_VERSION = re.compile(r"coseg_v(\d{3,})\.pt")


class WeightsFolder:
    """Numbered weights in a folder; the highest number is served, the others are kept.

    Args:
        folder: Where versions are written, `coseg_v001.pt` first; None where `initial` alone is served.
        initial: Weights to serve while there is no version.
    """

    def __init__(self, folder: Path | None, initial: Path) -> None:
        self.folder, self.initial = folder, initial

    def versions(self) -> list[Path]:
        """Files of the versions, oldest first."""
        if self.folder is None:
            return []
        found = {int(m[1]): path for path in self.folder.glob("*.pt") if (m := _VERSION.fullmatch(path.name))}
        return [found[number] for number in sorted(found)]

    def candidates(self) -> list[Path]:
        """Files to serve, the best choice first."""
        return [*reversed(self.versions()), self.initial]

    def publish(self, weights: Path) -> Path:
        """Adds a file as the next version; it appears whole or not at all.

        Raises:
            ValueError: There is no folder for versions.
        """
        if self.folder is None:
            raise ValueError(f"Expected a folder for new weights, got {self.initial} alone; give WeightsFolder one.")
        self.folder.mkdir(parents=True, exist_ok=True)
        newest = self.versions()[-1:]
        number = int(_VERSION.fullmatch(newest[0].name)[1]) + 1 if newest else 1  # type: ignore[index]
        path = self.folder / f"coseg_v{number:03d}.pt"
        with whole_file(path) as partial:
            shutil.copyfile(weights, partial)
        logger.info("New weights to serve: %s", path)
        return path
