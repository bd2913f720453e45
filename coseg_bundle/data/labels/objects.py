"""GeoJSON as QuPath writes and reads it: objects with a type, a class, perhaps a nucleus and children.

The rules are those of QuPath's `GsonTools` and `QuPathTypeAdapters` (github.com/qupath/qupath, v0.6 and before): which
spellings a type and a class may have, what a geometry without a feature is, where children lie. A class that is derived
from another ("Tumor: Positive") has `names` from v0.4 on. TIAToolbox's annotation stores write the class as `type`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["annotation", "detection", "cell", "tile", "core", "root"]
_KINDS: dict[str, Kind] = {
    "annotation": "annotation",
    "detection": "detection",
    "cell": "cell",
    "tile": "tile",
    "tmacore": "core",
    "root": "root",
}
_GEOMETRIES = {"Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon", "GeometryCollection"}


@dataclass(frozen=True)
class Drawn:
    """An object of a file.

    Attributes:
        kind: What QuPath takes it for; an annotation where the file does not say.
        name: Its class, derived ones as QuPath shows them: `Tumor: Positive`. Empty without one.
        geometry: Its GeoJSON geometry as it stands in the file; of a cell that has one, the nucleus's.
        is_nucleus: Whether that is a cell's nucleus.
        has_children: Whether objects lie below it.
        identity: Its id, where it has one.
        title: What a person called it; empty where it has no name of its own.
        missing: Whether it is a core of a tissue microarray that is marked as not there.
    """

    kind: Kind
    name: str
    geometry: Any
    is_nucleus: bool = False
    has_children: bool = False
    identity: str = ""
    title: str = ""
    missing: bool = False


def objects_of(content: Any) -> Iterator[Any]:
    """The objects of a GeoJSON, children after their parents, in file order; each once.

    Yields:
        `Drawn`, or whatever else stands in a list of features.

    Raises:
        TypeError: It is no GeoJSON.
        RecursionError: It is nested too deeply.
    """
    seen: set[tuple[str, str]] = set()
    for drawn in _found(content, top=True):
        if isinstance(drawn, Drawn) and drawn.identity:  # an export may hold children twice: below and beside
            key = (drawn.identity, repr(drawn.geometry))
            if key in seen:
                continue
            seen.add(key)
        yield drawn


def _found(content: Any, top: bool = False) -> Iterator[Any]:
    if isinstance(content, list):
        for part in content:
            yield from _found(part)
    elif isinstance(content, dict) and isinstance(content.get("features"), list):
        yield from _found(content["features"])
    elif isinstance(content, dict) and "geometry" in content:
        if isinstance(content.get("properties"), dict | None):
            yield from _with_children(content)
        else:
            yield content
    elif isinstance(content, dict) and str(content.get("type")) in _GEOMETRIES:
        yield Drawn("annotation", "", content)
    elif top:
        features = content.get("features") if isinstance(content, dict) else content
        raise TypeError(f"features are a {type(features).__name__}")
    else:
        yield content


def _with_children(feature: dict[str, Any]) -> Iterator[Any]:
    properties: dict[str, Any] = feature.get("properties") or {}
    children = next((properties[key] for key in ("childObjects", "children") if key in properties), None)
    children = children if isinstance(children, list) else []
    kind = _kind(feature, properties)
    nucleus = feature.get("nucleusGeometry") or properties.get("nucleusGeometry")
    is_nucleus = kind == "cell" and bool(nucleus)
    if kind != "root":
        identity = feature.get("id")
        yield Drawn(
            kind,
            _class(properties),
            nucleus if is_nucleus else feature.get("geometry"),
            is_nucleus,
            bool(children),
            identity if isinstance(identity, str) and not identity.startswith("Path") else "",
            str(properties.get("name") or "").strip(),
            properties.get("isMissing") is True,
        )
    yield from _found(children)


def _kind(feature: dict[str, Any], properties: dict[str, Any]) -> Kind:
    """Spelled as in v0.4 and later, as before, or (v0.2) as a class of Java in the feature's id."""
    legacy = feature.get("id")
    spelled = [properties.get(key) for key in ("objectType", "object_type", "type")]
    text = next((value for value in spelled if isinstance(value, str)), legacy if isinstance(legacy, str) else "")
    return _known_kind(text) or "annotation"


def _known_kind(text: str) -> Kind | None:
    text = text.lower().replace("_", "")
    if text.startswith("path") or text.endswith("object"):
        text = text.removeprefix("path").removesuffix("object")
    return _KINDS.get(text)


def _class(properties: dict[str, Any]) -> str:
    """The class in QuPath's property, or else what others of them say, names or ids, that is no kind of object."""
    if (classification := properties.get("classification")) is not None:
        return class_name(classification)
    said = [properties.get(key) for key in ("type", "class", "class_name")]
    known = (str(value) for value in said if isinstance(value, str | int) and not isinstance(value, bool))
    return next((class_name(text) for text in known if _known_kind(text) is None), "")


def class_name(classification: Any) -> str:
    """The name of a class in any of QuPath's spellings: text, `name`, `names`, or (before v0.4) `parentClass`.

    Example:
        >>> class_name({"names": ["Tumor", "Positive"]}), class_name("Tumor:Positive")
        ('Tumor: Positive', 'Tumor: Positive')
    """
    names: list[Any] = []
    while isinstance(classification, dict):
        own = classification.get("name")
        several = classification.get("names")
        names = [own, *names] if own else (several if isinstance(several, list) else []) + names
        classification = classification.get("parentClass")
    if classification is not None:
        names = [classification, *names]
    parts = [part.strip() for name in names if name is not None for part in str(name).split(":")]
    name = ": ".join(part for part in parts if part)
    return "" if name == "Unclassified" else name


def known_class(name: str, names: Any) -> str | None:
    """The class of a list that an object has: its own, or the one that it is derived from; None where there is none.

    Example:
        >>> known_class("Tumor: Positive", ["Stroma", "Tumor"])
        'Tumor'
    """
    if name in names:
        return name
    parts = name.split(": ")
    bases = (": ".join(parts[:length]) for length in range(len(parts) - 1, 0, -1))
    return next((base for base in bases if base in names), None)
