"""Which classes are tumour, stroma and inflammatory nuclei: by the words in their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_STROMA = ("stroma", "connective", "fibro")
_TUMOR = ("tumor", "tumour", "carcinoma", "neoplas", "cancer", "malignan")
_INFLAMMATORY = (
    "inflam", "lymphocyt", "plasma", "neutrophil", "eosinophil", "granulocyt", "leukocyt", "monocyt", "macrophage",
    "histiocyt", "immune",
)  # fmt: skip


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
            >>> Roles.of(("background", "tumor", "tumor_stroma"), ("background", "lymphocyte"))
            Roles(tumor=(1,), stroma=(2,), inflammatory=(1,))
        """
        stroma = _named(tissue_classes, _STROMA)
        tumor = tuple(i for i in _named(tissue_classes, _TUMOR) if i not in stroma)
        return cls(tumor, stroma, _named(nuclei_classes, _INFLAMMATORY))


def _named(classes: Sequence[str], words: Sequence[str]) -> tuple[int, ...]:
    return tuple(i for i, name in enumerate(classes) if any(word in name.lower() for word in words))
