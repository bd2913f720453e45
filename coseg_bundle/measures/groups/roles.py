"""Which classes are tumour, stroma and inflammatory nuclei: by the words in their names, or as it is given."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

ROLES = "tumor", "stroma", "inflammatory"
"""What classes can be: tissue the first two, nuclei the last."""

_STROMA = re.compile(r"(?!non).*stroma|connective|(myo)?fibro(?!adeno|gland|adip|fat|musc)")
_TUMOR = re.compile(r"tumou?r|neoplas|cancer|malignan|(?!non).*carcinoma")
_INFLAMMATORY = re.compile(
    r"inflam|lympho(cyt|plasma|histio)|plasma|neutrophil|eosinophil|granulocyt|leukocyt|monocyt|macrophage|histiocyt|immune"
)
"""How a word begins that names the role: `peritumoral` and `cytoplasm` are others."""

_NO_TUMOR = re.compile(r"normal|benign|healthy|adjacent|free$|necro|lymphocyt")
"""How a word begins beside which no name is that of a tumour."""

_WORD = re.compile(r"[^\W\d_A-Z]+|[A-Z](?:[A-Z]*(?![^\W\d_A-Z])|[^\W\d_A-Z]+)")
"""Letters in a row, and what a capital begins: `NonTumor` are two."""

_DENIALS = ("no", "non", "not", "without")


@dataclass(frozen=True)
class Roles:
    """Class ids by what they are.

    Attributes:
        tumor: Tissue classes that are tumour.
        stroma: Tissue classes that are stroma, of a tumour too.
        inflammatory: Nuclei classes of inflammatory cells.
    """

    tumor: tuple[int, ...] = ()
    stroma: tuple[int, ...] = ()
    inflammatory: tuple[int, ...] = ()

    @classmethod
    def of(cls, tissue_classes: Sequence[str], nuclei_classes: Sequence[str]) -> Roles:
        """The roles of classes by name.

        Example:
            >>> Roles.of(("background", "tumor", "tumor_stroma", "non-tumor"), ("background", "lymphocyte"))
            Roles(tumor=(1,), stroma=(2,), inflammatory=(1,))
        """
        stroma = _named(tissue_classes, _STROMA)
        others = {*stroma, *_named(tissue_classes, _NO_TUMOR)}
        tumor = tuple(i for i in _named(tissue_classes, _TUMOR) if i not in others)
        return cls(tumor, stroma, _named(nuclei_classes, _INFLAMMATORY))

    @classmethod
    def given(
        cls, names: Mapping[str, Sequence[str]], tissue_classes: Sequence[str], nuclei_classes: Sequence[str]
    ) -> Roles:
        """The roles of classes as they are given, and by name where nothing is.

        Args:
            names: Classes by role; what is given one role has no other.
            tissue_classes: Names of all.
            nuclei_classes: Names of all, background first.

        Raises:
            ValueError: There is no such class, or one is given two roles.

        Example:
            >>> Roles.given({"tumor": ["Nest"], "stroma": []}, ("other", "Nest", "stroma"), ("background",))
            Roles(tumor=(1,), stroma=(), inflammatory=())
        """
        by_name = cls.of(tissue_classes, nuclei_classes)
        of_role = {"tumor": tissue_classes, "stroma": tissue_classes, "inflammatory": nuclei_classes}
        found = {role: _ids(role, classes, of_role[role]) for role, classes in names.items()}
        tumor, stroma = set(found.get("tumor", ())), set(found.get("stroma", ()))
        if both := tumor & stroma:
            raise ValueError(f"Expected for {tissue_classes[min(both)]!r} one role, got tumor and stroma.")
        return cls(
            found.get("tumor", tuple(i for i in by_name.tumor if i not in stroma)),
            found.get("stroma", tuple(i for i in by_name.stroma if i not in tumor)),
            found.get("inflammatory", by_name.inflammatory),
        )


def said_of_roles(record: Mapping[str, Any]) -> str:
    """A sentence on which classes were taken for what, where measures depend on it; else empty.

    Args:
        record: What `measures.json` says: names of classes by role, and the settings.

    Example:
        >>> said_of_roles({"taken_for": {"tumor": ["cancer", "nest"], "stroma": ["connective"], "inflammatory": []}})
        'taken by name: tumor is cancer and nest, stroma is connective; ratios and infiltration are of these'
    """
    taken_for = record.get("taken_for", {})  # former versions did not say it
    if not (taken_for.get("stroma") and (taken_for["tumor"] or taken_for["inflammatory"])):
        return ""
    roles = ", ".join(f"{role} is {' and '.join(names)}" for role, names in taken_for.items() if names)
    how = "as given, the rest by name" if record.get("settings", {}).get("roles") else "by name"
    return f"taken {how}: {roles}; ratios and infiltration are of these"


def _ids(role: str, names: Sequence[str], classes: Sequence[str]) -> tuple[int, ...]:
    if unknown := [name for name in names if name not in classes]:
        kind = "nuclei" if role == "inflammatory" else "tissue"
        raise ValueError(
            f"Expected for the role {role} some of the {kind} classes {', '.join(classes)}; got {unknown[0]!r}."
        )
    return tuple(sorted({classes.index(name) for name in names}))


def _named(classes: Sequence[str], role: re.Pattern[str]) -> tuple[int, ...]:
    """The classes with a word of a role in their name, but for those that deny it: `no tumor`, `non-neoplastic`."""
    found = []
    for i, name in enumerate(classes):
        words = ["", *_words(name)]
        if any(role.match(word) and before not in _DENIALS for before, word in pairwise(words)):
            found.append(i)
    return tuple(found)


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]
