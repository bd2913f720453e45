"""The file of drawn regions. QuPath writes it too: what somebody gave a region there stays when the page saves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from coseg_bundle.atomic import whole_file

_NAMESPACE = UUID("4b1f7c5e-6f0c-5f57-9a38-0d5a6cf0b2e1")
NAMELESS = "region"
"""What the page calls a region that has no name."""

Feature = dict[str, Any]


@dataclass(frozen=True)
class RegionFile:
    """A FeatureCollection that may hold more than regions.

    Attributes:
        regions: Its polygons.
        others: Its points, lines and whatever else.
        members: What it says beside its features.
    """

    regions: list[Feature] = field(default_factory=list)
    others: list[Feature] = field(default_factory=list)
    members: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> RegionFile:
        """The file; empty where there is none.

        Raises:
            ValueError: It is broken.
        """
        if not path.is_file():
            return cls()
        try:
            content = json.loads(path.read_text(encoding="utf-8-sig"))
            if isinstance(content, dict) and "features" not in content:  # QuPath's export of one object
                content = [content if content["type"] == "Feature" else {"type": "Feature", "geometry": content}]
            members = content if isinstance(content, dict) else {"features": content}
            parts: tuple[list[Feature], list[Feature]] = [], []
            for feature in members["features"]:
                parts[(feature["geometry"] or {}).get("type") not in ("Polygon", "MultiPolygon")].append(feature)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise ValueError(f"{path.name} is no GeoJSON of polygons ({error!r}); it is left alone.") from error
        return cls(*parts, {name: value for name, value in members.items() if name not in ("type", "features")})

    def with_regions(self, drawn: Sequence[Feature]) -> RegionFile:
        """The same file with other regions; one of the same outline keeps what it had beside name and numbers."""
        before, regions = list(self.regions), []
        for region in drawn:
            same = next((one for one in before if one["geometry"] == region["geometry"]), None)
            if same is not None:
                before.remove(same)
            regions.append(region if same is None else _renewed(same, region["properties"]))
        return RegionFile(regions, self.others, self.members)

    def write(self, path: Path) -> None:
        """Writes it, a feature in a line.

        Raises:
            OSError: It cannot be written.
        """
        lines = ",\n".join(json.dumps(feature, allow_nan=False) for feature in (*self.regions, *self.others))
        about = "".join(f"{json.dumps(name)}:{json.dumps(value)}," for name, value in self.members.items())
        with whole_file(path) as partial:
            partial.write_text(f'{{"type":"FeatureCollection",{about}"features":[\n{lines}\n]}}\n', encoding="utf-8")


def drawn_region(geometry: Mapping[str, Any], name: str, measurements: Mapping[str, float], place: str) -> Feature:
    """A region as an annotation for QuPath; `place` tells it from one of the same name and outline elsewhere."""
    properties = {"objectType": "annotation", "name": name, "color": [255, 200, 0], "measurements": measurements}
    identity = str(uuid5(_NAMESPACE, f"{place} {name} {geometry}"))
    return {"type": "Feature", "id": identity, "geometry": geometry, "properties": properties}


def _renewed(region: Feature, properties: Mapping[str, Any]) -> Feature:
    """A region with another name and other numbers; numbers of other programs stay."""
    before = region.get("properties") or {}
    name = {} if properties["name"] == before.get("name", NAMELESS) else {"name": properties["name"]}
    numbers, own = before.get("measurements") or {}, properties["measurements"]
    if isinstance(numbers, list):  # as QuPath wrote them before version 0.4
        kept = [one for one in numbers if not (isinstance(one, dict) and one.get("name") in own)]
        numbers = [*kept, *({"name": name, "value": value} for name, value in own.items())]
    else:
        numbers = {**numbers, **own}
    return {**region, "properties": {"objectType": "annotation", **before, **name, "measurements": numbers}}
