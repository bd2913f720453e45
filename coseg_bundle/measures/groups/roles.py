"""Which classes are tumour, stroma and inflammatory nuclei: by the words in their names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

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


def said_of_roles(taken_for: Mapping[str, Sequence[str]]) -> str:
    """A sentence on which classes were taken for what, where measures depend on it; else empty.

    Args:
        taken_for: Names of classes by role, as `measures.json` has them.

    Example:
        >>> said_of_roles({"tumor": ["cancer", "tumor nest"], "stroma": ["connective"], "inflammatory": []})
        'taken by name: tumor is cancer and tumor nest, stroma is connective; ratios and infiltration are of these'
    """
    if not (taken_for["stroma"] and (taken_for["tumor"] or taken_for["inflammatory"])):
        return ""
    roles = ", ".join(f"{role} is {' and '.join(names)}" for role, names in taken_for.items() if names)
    return f"taken by name: {roles}; ratios and infiltration are of these"


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
