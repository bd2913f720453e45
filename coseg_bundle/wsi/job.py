"""One slide's run: what is to be done, and the journal of what is done.

The journal is the folder `.work` beside the results. A file in it is one finished step; it appears whole or not at all,
and its content depends on the plan alone. So whatever happens, the files that are there are right, and the steps whose
files are missing are to be done.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle import __version__
from coseg_bundle.atomic import whole_file
from coseg_bundle.wsi.maps import TISSUE_STEP, MapLayout, TileMaps, seam_of
from coseg_bundle.wsi.nuclei import NucleiSettings, needed_box
from coseg_bundle.wsi.reader import SlideReader
from coseg_bundle.wsi.tiles import network_grid
from coseg_bundle.wsi.tiling import TileGrid

if TYPE_CHECKING:
    from coseg_bundle.inferers import Predictor

SUMMARY = "summary.json"
"""Written last: where it is, the results are complete."""

WORK = ".work"
PIECE_PX = 1536
"""Nuclei are looked for in pieces of about this side, a whole number of tiles, at the network's resolution."""


class TileNotReadyError(LookupError):
    """The maps of a tile are asked for before it went through the network."""


@dataclass(frozen=True)
class Plan:
    """Everything that the results depend on; plain values, for `plan.json`.

    Attributes:
        slide: The file.
        slide_bytes: Its size, to notice another file under the same name.
        size_xy: Width and height of level 0, px.
        mpp: Microns per pixel of level 0.
        network_mpp: Microns per pixel of the network.
        tile_px: Side of a tile with its halo.
        halo_px: Width of the halo.
        offset_px: How far the tiles are moved to the left and up.
        batch_size: Tiles that go through the network together.
        inference: How they do, as the predictor's `settings`; the `precision` is resolved, so that all parts of a
            slide have one, whatever processors work on it.
        tissue_classes: Names.
        nuclei_classes: Names, background first.
        type_channels: Number of type logits.
        disagreement: Whether the network gives one.
        nuclei: How nuclei are separated.
        min_tissue_area_px: Smaller tissue regions take the class around them.
        weights: Name of the weights file.
        weights_sha256: Its hash.
        version: Of this package.
    """

    slide: str
    slide_bytes: int
    size_xy: tuple[int, int]
    mpp: float
    network_mpp: float
    tile_px: int
    halo_px: int
    offset_px: int
    batch_size: int
    inference: dict[str, Any]
    tissue_classes: tuple[str, ...]
    nuclei_classes: tuple[str, ...]
    type_channels: int
    disagreement: bool
    nuclei: dict[str, Any]
    min_tissue_area_px: int
    weights: str | None
    weights_sha256: str | None
    version: str = __version__

    @classmethod
    def of(
        cls, reader: SlideReader, predictor: Predictor, tile_px: int, halo_px: int, batch_size: int, offset_px: int = 0
    ) -> Plan:
        """The plan for a slide and a network."""
        layout = predictor.postprocessing.layout
        grid = network_grid(reader, predictor.mpp, tile_px, halo_px, offset_px)
        maps = MapLayout.of(layout, grid)
        return cls(
            slide=str(reader.path.resolve()),
            slide_bytes=reader.path.stat().st_size,
            size_xy=reader.size_xy,
            mpp=reader.mpp,
            network_mpp=predictor.mpp,
            tile_px=tile_px,
            halo_px=halo_px,
            offset_px=offset_px,
            batch_size=batch_size,
            inference=predictor.settings,
            tissue_classes=predictor.tissue_classes.names,
            nuclei_classes=predictor.nuclei_classes.names,
            type_channels=maps.type_channels,
            disagreement=maps.disagreement,
            nuclei=asdict(NucleiSettings.of(predictor.postprocessing)),
            min_tissue_area_px=predictor.postprocessing.min_tissue_area_px,
            weights=predictor.weights.name if predictor.weights else None,
            weights_sha256=predictor.weights_sha256,
        )

    @property
    def precision(self) -> str:
        """What the network computes in, by its name."""
        return str(self.inference["precision"]["name"])

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON gives it back."""
        return dict(json.loads(json.dumps(asdict(self))))


def read_plan(folder: Path) -> dict[str, Any]:
    """What `Job.save` wrote: the plan's values, and the tiles."""
    return dict(json.loads((folder / WORK / "plan.json").read_text(encoding="utf-8")))


class Job:
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
        self.scale = plan.network_mpp / plan.mpp

    @classmethod
    def load(cls, folder: Path) -> Job:
        """Reads the journal's plan."""
        content = read_plan(folder)
        tiles = content.pop("tiles")
        for name in ("size_xy", "tissue_classes", "nuclei_classes"):
            content[name] = tuple(content[name])
        return cls(folder, Plan(**content), tiles)

    def save(self, foreground: NDArray[np.bool_]) -> None:
        """Writes the plan: with it, the journal begins.

        Args:
            foreground: Mask of the tissue over the slide, at any resolution; outside of it the tissue class is 0.
        """
        self.work.mkdir(parents=True, exist_ok=True)
        for name in ("maps", "nuclei"):
            (self.work / name).mkdir(exist_ok=True)
        with whole_file(self.work / "foreground.npy") as partial:
            np.save(partial, foreground)
        with whole_file(self.work / "plan.json") as partial:
            partial.write_text(json.dumps({**self.plan.to_json(), "tiles": list(self.tiles)}), encoding="utf-8")

    @cached_property
    def foreground_mask(self) -> NDArray[np.bool_]:
        """What `save` was given."""
        return np.asarray(np.load(self.work / "foreground.npy"))

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

    def tile_file(self, tile: int) -> Path:
        """The journal's file of a tile."""
        return self.work / "maps" / f"{tile:07d}"

    def piece_file(self, piece: int) -> Path:
        """The journal's file of a piece's nuclei."""
        return self.work / "nuclei" / f"{piece:06d}.arrow"

    def done(self) -> tuple[set[int], set[int]]:
        """Tiles and pieces whose files are there."""
        tiles = {int(path.name) for path in (self.work / "maps").iterdir() if path.name.isdigit()}
        pieces = {int(path.stem) for path in (self.work / "nuclei").iterdir() if path.stem.isdigit()}
        return tiles, pieces

    def save_maps(self, tile: int, maps: TileMaps | str) -> None:
        """Files the maps of a tile, or the reason why there are none."""
        import imagecodecs

        with whole_file(self.tile_file(tile)) as partial:
            if isinstance(maps, str):
                partial.write_bytes(b"E" + maps.encode())
                return
            tissue, fine = (bytes(imagecodecs.zstd_encode(a.tobytes(), level=1)) for a in (maps.tissue, maps.fine))
            partial.write_bytes(b"M" + len(tissue).to_bytes(4, "little") + tissue + fine)

    def maps(self, tile: int, fine: bool = True) -> TileMaps | None:
        """The maps of a tile, or None where it has no tissue or could not be read.

        Args:
            tile: Its index.
            fine: Whether the nuclei's maps are needed too.

        Raises:
            TileNotReadyError: It has not gone through the network yet.
        """
        import imagecodecs

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
        tissue = np.frombuffer(imagecodecs.zstd_decode(content[5:end]), np.float16).reshape(-1, coarse, coarse)
        if not fine:
            return TileMaps(np.zeros((0, 0, 0), np.int8), tissue)
        return TileMaps(np.frombuffer(imagecodecs.zstd_decode(content[end:]), np.int8).reshape(-1, side, side), tissue)

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
