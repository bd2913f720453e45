"""How many cores this process may use, how many threads it is told to keep to, and how idle ones wait."""

from __future__ import annotations

import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup/cpu.max")

_told: list[int] = []


def available_cores(cgroup: Path = _CGROUP) -> int:
    """Cores of this job: the least of its affinity, its container's share (cgroup v2) and its SLURM allocation.

    Args:
        cgroup: The file that holds the container's quota and period, in microseconds.
    """
    has_affinity = hasattr(os, "sched_getaffinity")  # Linux
    limits = [len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1]
    try:
        quota, period = cgroup.read_text().split()
        if quota != "max":
            limits.append(max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):
        pass  # no cgroup v2
    slurm = os.environ.get("SLURM_CPUS_PER_TASK", "")
    if slurm.isdigit():
        limits.append(max(1, int(slurm)))
    return min(limits)


def wait_passively() -> None:
    """Lets idle threads of OpenMP sleep instead of spin, unless the user chose; before PyTorch is imported.

    On a machine with other work spinning threads hold the cores that the last one of them needs.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & set(os.environ):
        os.environ["OMP_WAIT_POLICY"] = "passive"


def keep_to(threads: int) -> None:
    """Tells this process how many threads a network that it loads from now on gets on a CPU."""
    _told[:] = [threads]


def kept_to() -> int | None:
    """What `keep_to` was told; None where nobody said anything."""
    return _told[0] if _told else None
