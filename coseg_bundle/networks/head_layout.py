"""The channels of `pred`: the one place that knows what the network's output tensor holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

ArrayT = TypeVar("ArrayT")


@dataclass(frozen=True)
class HeadLayout:
    """Names, slices and counts the channels of the network's output `pred` `(B, C, H, W)`.

    The order is: tissue logits, nuclei logit, hv map (x, then y), type logits (background first), disagreement
    (tissue, then nuclei). The last two groups are optional.

    Args:
        tissue_classes: Number of tissue classes C_t, the background class included; at least 2.
        nuclei_types: Number of nuclei classes C_n without the background; 0 for a network without types.
        disagreement: Whether `pred` ends with the two maps of how far the second decoding moved from the first.

    Raises:
        ValueError: A count is out of range.

    Example:
        >>> layout = HeadLayout(tissue_classes=2)
        >>> layout.channels, layout.slices["hv_map"]
        (7, slice(3, 5, None))
    """

    tissue_classes: int
    nuclei_types: int = 0
    disagreement: bool = True

    def __post_init__(self) -> None:
        if self.tissue_classes < 2:
            raise ValueError(f"Expected at least 2 tissue classes (background first), got {self.tissue_classes}.")
        if self.nuclei_types < 0 or self.nuclei_types == 1:
            raise ValueError(f"Expected 0 (no types) or at least 2 nuclei types, got {self.nuclei_types}.")

    @property
    def groups(self) -> dict[str, int]:
        """Channel count of each group, in order; groups that are absent are left out."""
        groups = {"tissue_logits": self.tissue_classes, "nuclei_logits": 1, "hv_map": 2}
        if self.nuclei_types:
            groups["type_logits"] = self.nuclei_types + 1
        if self.disagreement:
            groups["disagreement"] = 2
        return groups

    @property
    def channels(self) -> int:
        """Number of channels of `pred`."""
        return sum(self.groups.values())

    @property
    def nuclei_channels(self) -> int:
        """Number of channels that the nuclei head decodes: nuclei logit, hv map and type logits."""
        return 3 + (self.nuclei_types + 1 if self.nuclei_types else 0)

    @property
    def slices(self) -> dict[str, slice]:
        """Channel range of each group."""
        slices, start = {}, 0
        for name, count in self.groups.items():
            slices[name] = slice(start, start + count)
            start += count
        return slices

    def split(self, pred: ArrayT, channel_dim: int = 1) -> dict[str, ArrayT]:
        """Cuts `pred` into its named groups (views).

        Args:
            pred: Tensor or array with `channels` channels.
            channel_dim: Axis of the channels: 1 for a batch, 0 for one image.

        Raises:
            ValueError: The number of channels differs from the layout's.
        """
        shape: Sequence[int] = pred.shape  # type: ignore[attr-defined]
        if shape[channel_dim] != self.channels:
            raise ValueError(
                f"Expected {self.channels} channels ({self.groups}), got shape {tuple(shape)}; "
                "the class counts of the configuration and of the network differ."
            )
        before = (slice(None),) * channel_dim
        where = {name: (*before, part) for name, part in self.slices.items()}
        return {name: pred[place] for name, place in where.items()}  # type: ignore[index]

    def channel_def(self, tissue_names: Sequence[str], nuclei_names: Sequence[str]) -> dict[str, str]:
        """Channel descriptions as in the `channel_def` of `configs/metadata.json`.

        Args:
            tissue_names: C_t tissue class names.
            nuclei_names: Nuclei class names, background first; only read when there are types.

        Raises:
            ValueError: The number of names differs from the layout's.
        """
        if len(tissue_names) != self.tissue_classes:
            raise ValueError(f"Expected {self.tissue_classes} tissue class names, got {list(tissue_names)}.")
        if self.nuclei_types and len(nuclei_names) != self.nuclei_types + 1:
            raise ValueError(f"Expected {self.nuclei_types + 1} nuclei class names, got {list(nuclei_names)}.")
        names = [f"tissue logit: {name}" for name in tissue_names]
        names += ["nuclei logit", "hv map x (horizontal)", "hv map y (vertical)"]
        if self.nuclei_types:
            names += [f"type logit: {name}" for name in nuclei_names]
        if self.disagreement:
            names += ["tissue disagreement", "nuclei disagreement"]
        return {str(channel): name for channel, name in enumerate(names)}
