"""What a slide's run is to do: everything that its results depend on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from coseg_bundle import __version__
from coseg_bundle.classes import ClassMap, result_classes
from coseg_bundle.data.labels.regions import RegionOfInterest
from coseg_bundle.fingerprint import bytes_of, fingerprint
from coseg_bundle.settings.values import check_number
from coseg_bundle.wsi.read.backend import Origin
from coseg_bundle.wsi.read.reader import SlideReader
from coseg_bundle.wsi.segment.maps import TISSUE_STEP, MapLayout
from coseg_bundle.wsi.segment.nuclei import NucleiSettings
from coseg_bundle.wsi.segment.tiles import network_grid

if TYPE_CHECKING:
    from coseg_bundle.inferers import Predictor


@dataclass(frozen=True)
class Plan:
    """Everything that the results depend on; plain values, for `plan.json`.

    Attributes:
        slide: The file, or folder.
        slide_bytes: Its size.
        content: Its fingerprint, to notice another file under the same name.
        size_xy: Width and height of level 0, px.
        mpp: Microns per pixel of level 0.
        origin: Where pixel (0, 0) lies: `bounds` (of what was scanned) or `canvas`.
        origin_xy: Where that is on the canvas of the file, px of level 0.
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
        min_tissue_area_px: Smaller tissue regions take the class around them: px of the network, or of level 0 where
            those are wider.
        untrained: Tasks that nobody taught the network; their results are left out.
        weights: Name of the weights file.
        weights_sha256: Its hash.
        version: Of this package.
        regions: What the run is limited to, as `RegionOfInterest` gives it: `name`, `class` and the polygon as WKT, px
            of level 0. The whole slide where it is None.
    """

    slide: str
    slide_bytes: int
    content: str
    size_xy: tuple[int, int]
    mpp: float
    origin: Origin
    origin_xy: tuple[int, int]
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
    untrained: tuple[str, ...] = ()
    version: str = __version__
    regions: tuple[dict[str, str], ...] | None = None

    @classmethod
    def of(
        cls,
        reader: SlideReader,
        predictor: Predictor,
        tile_px: int,
        halo_px: int,
        batch_size: int,
        offset_px: int = 0,
        regions: Sequence[RegionOfInterest] | None = None,
    ) -> Plan:
        """The plan for a slide, or regions of it, and a network.

        Raises:
            ValueError: The sizes do not fit each other, or the step of the tissue map.
        """
        for option, size in (("--halo", halo_px), ("--tile-size", tile_px)):
            check_number(option, size, kind="whole number")
            if size % TISSUE_STEP:
                raise ValueError(f"{option} must be a multiple of {TISSUE_STEP}, got {size}.")
        layout = predictor.postprocessing.layout
        grid = network_grid(reader, predictor.mpp, tile_px, halo_px, offset_px)
        maps = MapLayout.of(layout, grid)
        return cls(
            slide=str(reader.path.resolve()),
            slide_bytes=bytes_of(reader.path),
            content=fingerprint(reader.path),
            size_xy=reader.size_xy,
            mpp=reader.mpp,
            origin=reader.origin,
            origin_xy=reader.origin_xy,
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
            untrained=predictor.untrained,
            regions=None if regions is None else tuple(_as_record(region) for region in regions),
        )

    @cached_property
    def regions_of_interest(self) -> tuple[RegionOfInterest, ...] | None:
        """What the run is limited to; None where it is not."""
        import shapely

        if self.regions is None:
            return None
        return tuple(RegionOfInterest(r["name"], r["class"], shapely.from_wkt(r["polygon"])) for r in self.regions)

    @property
    def precision(self) -> str:
        """What the network computes in, by its name."""
        return str(self.inference["precision"]["name"])

    @property
    def result_classes(self) -> tuple[ClassMap, ClassMap]:
        """Names of tissue and nuclei classes for results: the network's own, where it was taught them."""
        return result_classes(self.tissue_classes, self.nuclei_classes, self.untrained)

    @property
    def place(self) -> dict[str, Any]:
        """Where pixel (0, 0) of all results lies, for `summary.json` and the metadata of every table."""
        return {"origin": self.origin, "origin_x_px": self.origin_xy[0], "origin_y_px": self.origin_xy[1]}

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON gives it back."""
        return dict(json.loads(json.dumps(asdict(self))))

    def record(self) -> dict[str, Any]:
        """What `summary.json` says of what the results are made from."""
        return {"kind": "slide", "file": self.slide, **self.to_json()}


def _as_record(region: RegionOfInterest) -> dict[str, str]:
    import shapely

    polygon = shapely.to_wkt(region.polygon, rounding_precision=-1)  # every digit: a rounded outline may cross itself
    return {"name": region.name, "class": region.class_name, "polygon": polygon}
