"""How many cores this process may use."""

from __future__ import annotations

import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup/cpu.max")


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
