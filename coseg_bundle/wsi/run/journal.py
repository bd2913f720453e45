"""The journal of a slide's run: what is done.

It is the folder `.work` beside the results. A file in it is one finished step; it appears whole or not at all, and its
content depends on the plan alone. So whatever happens, the files that are there are right, and the steps whose files
are missing are to be done.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.atomic import whole_file
from coseg_bundle.writers.summary import BrokenRecordError, read_record
from coseg_bundle.wsi.run.plan import Plan
from coseg_bundle.wsi.segment.foreground import TISSUE
from coseg_bundle.wsi.segment.maps import TISSUE_STEP, MapLayout, TileMaps, seam_of
from coseg_bundle.wsi.segment.nuclei import PIECE_PX, NucleiSettings, needed_box
from coseg_bundle.wsi.segment.tiles import part_with
from coseg_bundle.wsi.segment.tiling import Box, TileGrid

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

WORK = ".work"


class TileNotReadyError(LookupError):
    """The maps of a tile are asked for before it went through the network."""


def read_plan(folder: Path) -> dict[str, Any]:
    """What `Journal.save` wrote: the plan's values, and the tiles.

    Raises:
        BrokenRecordError: The file is broken.
    """
    return read_record(folder / WORK / "plan.json")


class Journal:
    """A slide's plan, its tiles and pieces, and the files of its steps.

    Args:
        folder: The folder of results; `.work` in it is the journal.
        plan: What to do.
        tiles: The tiles with tissue, in the order in which they go through the network.
    """

    def __init__(self, folder: Path, plan: Plan, tiles: Sequence[int]) -> None:
        self.folder, self.plan, self.tiles = folder, plan, tuple(tiles)
        self.work = folder / WORK
        core = plan.tile_px - 2 * plan.halo_px
        scale = plan.mpp / plan.network_mpp
        width, height = (max(1, round(side * scale)) for side in plan.size_xy)
        self.grid = TileGrid(width, height, core, plan.halo_px, plan.offset_px)
        classes = len(plan.tissue_classes)
        self.layout = MapLayout(self.grid, classes, plan.type_channels, plan.disagreement, seam_of(self.grid))
        self.nuclei = NucleiSettings(**plan.nuclei)
        self.pieces = TileGrid(width, height, core * max(1, round(PIECE_PX / core)), 0)
        self.scale = plan.network_mpp / plan.mpp  # pixels of level 0 per pixel of the network
        self.tissue_px = TISSUE_STEP * self.scale  # pixels of level 0 per pixel of the tissue map
        self.tissue_mpp = TISSUE_STEP * plan.network_mpp
        height, width = self.layout.tissue_size
        self.tissue_plane = Box(0, 0, width, height)

    @classmethod
    def load(cls, folder: Path) -> Journal:
        """Reads the journal's plan."""
        content = read_plan(folder)
        tiles = content.pop("tiles")
        content.pop("foreground", None)
        for name in ("size_xy", "origin_xy", "tissue_classes", "nuclei_classes", "untrained"):
            content[name] = tuple(content[name])
        content["regions"] = tuple(content["regions"]) if content.get("regions") is not None else None
        return cls(folder, Plan(**content), tiles)

    def save(self, kinds: NDArray[np.uint8]) -> None:
        """Writes the plan: with it, the journal begins.

        Args:
            kinds: What there is over the slide (`segment.foreground.KINDS`), at any resolution; outside of tissue the
                class is 0.
        """
        self.work.mkdir(parents=True, exist_ok=True)
        for name in ("maps", "nuclei"):
            (self.work / name).mkdir(exist_ok=True)
        with whole_file(self.work / "foreground.npy") as partial:
            np.save(partial, kinds)
        with whole_file(self.work / "plan.json") as partial:
            said = {"tiles": list(self.tiles), "foreground": list(kinds.shape)}
            partial.write_text(json.dumps({**self.plan.to_json(), **said}), encoding="utf-8")

    @cached_property
    def kinds(self) -> NDArray[np.uint8]:
        """What `save` was given."""
        try:
            kinds = np.asarray(np.load(self.work / "foreground.npy"))
        except OSError:
            raise
        except Exception as error:  # NumPy reads headers as Python, with all its errors
            raise BrokenRecordError(f"foreground.npy is broken ({type(error).__name__})") from error
        if kinds.ndim != 2 or not kinds.size or kinds.dtype != np.uint8:
            raise BrokenRecordError(f"foreground.npy is broken ({kinds.dtype} of shape {kinds.shape})")
        if list(kinds.shape) != (begun := read_plan(self.folder).get("foreground")):
            raise BrokenRecordError(f"foreground.npy has the shape {kinds.shape}, and plan.json says {begun}")
        return kinds

    @cached_property
    def foreground_mask(self) -> NDArray[np.bool_]:
        """Where there is tissue."""
        return self.kinds == TISSUE

    @cached_property
    def foreground(self) -> frozenset[int]:
        """The tiles with tissue."""
        return frozenset(self.tiles)

    @property
    def batches(self) -> list[tuple[int, ...]]:
        """Tiles that go through the network together: always the same ones, since a sum may depend on its batch."""
        size = self.plan.batch_size
        return [self.tiles[start : start + size] for start in range(0, len(self.tiles), size)]

    def tiles_of(self, piece: int) -> list[int]:
        """Tiles that a piece's nuclei are found on, clumps that reach far out of it aside."""
        box = needed_box(self.pieces[piece].core, self.layout)
        return [tile for tile in self.layout.tiles(box) if tile in self.foreground]

    def part(self, tile: int) -> Box:
        """The part of a tile's window that goes through the network."""
        return part_with(self.foreground_mask, self.grid, tile, self.layout.seam_px)

    def tile_file(self, tile: int) -> Path:
        """The journal's file of a tile."""
        return self.work / "maps" / f"{tile:07d}"

    def piece_file(self, piece: int) -> Path:
        """The journal's file of a piece's nuclei."""
        return self.work / "nuclei" / f"{piece:06d}.npz"

    def done(self) -> tuple[set[int], set[int]]:
        """Tiles and pieces whose files are there."""
        tiles = {int(path.name) for path in (self.work / "maps").iterdir() if path.name.isdigit()}
        pieces = {int(path.stem) for path in (self.work / "nuclei").glob("*.npz") if path.stem.isdigit()}
        return tiles, pieces

    def save_maps(self, tile: int, maps: TileMaps | str) -> None:
        """Files the maps of a tile, or the reason why there are none."""
        with whole_file(self.tile_file(tile)) as partial:
            if isinstance(maps, str):
                partial.write_bytes(b"E" + maps.encode())
                return
            tissue, fine = (zstd.compress(a.tobytes(), 1) for a in (maps.tissue, maps.fine))
            partial.write_bytes(b"M" + len(tissue).to_bytes(4, "little") + tissue + fine)

    def maps(self, tile: int, fine: bool = True) -> TileMaps | None:
        """The maps of a tile, or None where it has no tissue or could not be read.

        Args:
            tile: Its index.
            fine: Whether the nuclei's maps are needed too.

        Raises:
            TileNotReadyError: It has not gone through the network yet.
        """
        if tile not in self.foreground:
            return None
        try:
            content = self.tile_file(tile).read_bytes()
        except FileNotFoundError:
            raise TileNotReadyError(tile) from None
        if content[:1] == b"E":
            return None
        end = 5 + int.from_bytes(content[1:5], "little")
        side, coarse = self.layout.kept_px, self.layout.kept_px // TISSUE_STEP
        tissue = np.frombuffer(zstd.decompress(content[5:end]), np.float16).reshape(-1, coarse, coarse)
        if not fine:
            return TileMaps(np.zeros((0, 0, 0), np.int8), tissue)
        return TileMaps(np.frombuffer(zstd.decompress(content[end:]), np.int8).reshape(-1, side, side), tissue)

    def tissue_maps(self, tile: int) -> TileMaps | None:
        """The same, without the nuclei's maps."""
        return self.maps(tile, fine=False)

    def failure(self, tile: int) -> str | None:
        """Why a tile could not be read, or None."""
        with self.tile_file(tile).open("rb") as file:
            return file.read().decode()[1:] if file.read(1) == b"E" and file.seek(0) == 0 else None


def in_order(tiles: Sequence[int], grid: TileGrid, side: int) -> list[int]:
    """Tiles sorted piece by piece (`side` x `side` tiles each), so that pieces become complete early."""

    def place(tile: int) -> tuple[int, ...]:
        row, column = divmod(tile, grid.columns)
        return row // side, column // side, row, column

    return sorted(tiles, key=place)
