"""Dark disks of known place on a light ground, at any resolution, and networks that find them by their grey alone."""

from __future__ import annotations

import numpy as np
import torch

GROUND, DISK = 235.0, 60.0
SIDE_UM, RADIUS_UM = 192.0, 4.0


def disks(mpp: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """An image `(H, W, 3)` uint8 and the disks' centres `(N, 2)`, x and y in microns from its corner.

    A pixel is as dark as its share of the disk, which is how a scanner sees it.
    """
    rng = np.random.default_rng(seed)
    places = np.arange(14.0, SIDE_UM - 10, 20.0)
    centres = np.stack(np.meshgrid(places, places), -1).reshape(-1, 2) + rng.uniform(-3, 3, (places.size**2, 2))
    pixels = round(SIDE_UM / mpp)
    fine = max(4, round(8 * mpp / 0.25))  # samples across a pixel
    share = np.zeros((pixels, pixels))
    for x, y in centres:
        first = np.floor((np.array([x, y]) - RADIUS_UM) / mpp).astype(int) - 1
        count = int(np.ceil(2 * RADIUS_UM / mpp)) + 3
        offsets = (np.arange(count * fine) + 0.5) / fine
        dx, dy = ((first[axis] + offsets) * mpp - centre for axis, centre in enumerate((x, y)))
        covered = (dx[None] ** 2 + dy[:, None] ** 2 < RADIUS_UM**2).reshape(count, fine, count, fine).mean((1, 3))
        share[first[1] : first[1] + count, first[0] : first[0] + count] += covered
    grey = np.round(GROUND + (DISK - GROUND) * share).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2), centres


class GreyNetwork(torch.nn.Module):
    """Nuclei are where it is dark: `sharp` says only that, `soft` how sure it is. Tissue is the same."""

    def __init__(self, sharp: bool) -> None:
        super().__init__()
        self.sharp, self.unused = sharp, torch.nn.Parameter(torch.zeros(1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """`pred` `(B, 7, H, W)`."""
        dark = (GROUND + DISK) / 510 - image.mean(1)
        logit = torch.where(dark > 0, 8.0, -8.0) if self.sharp else 20 * dark
        rest = torch.zeros_like(logit)
        return torch.stack([-logit, logit, logit, rest, rest, rest, rest], 1)


def offset_um(found_xy: np.ndarray, mpp: float, centres_um: np.ndarray) -> np.ndarray:
    """Mean of x and y by which what was found lies beside the disks; each must be found once."""
    found = np.asarray(found_xy) * mpp
    nearest = np.hypot(*(found[:, None] - centres_um[None]).transpose(2, 0, 1)).argmin(1)
    assert sorted(nearest) == list(range(len(centres_um)))
    return (found - centres_um[nearest]).mean(0)
