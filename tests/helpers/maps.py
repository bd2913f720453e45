"""Network outputs as a perfect network would give them, for given instances."""

from __future__ import annotations

import numpy as np

from coseg_bundle.transforms import hv_map


def discs(size: int, count: int, seed: int = 0, radius: tuple[int, int] = (5, 8)) -> np.ndarray:
    """An instance map of discs, some touching, none overlapping more than a little."""
    rng = np.random.default_rng(seed)
    instances = np.zeros((size, size), np.int32)
    yy, xx = np.mgrid[-12:13, -12:13]
    placed = 0
    for _ in range(count * 40):
        if placed == count:
            break
        y, x = rng.integers(12, size - 12, 2)
        r = rng.integers(*radius, endpoint=True)
        window = instances[y - 12 : y + 13, x - 12 : x + 13]
        disc = xx**2 + yy**2 <= r**2
        if (window[disc] > 0).sum() > 6:
            continue
        placed += 1
        window[disc & (window == 0)] = placed
    return instances


def perfect_maps(instances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nuclei probability and hv map of an instance map."""
    return (instances > 0).astype(np.float32), hv_map(instances)
