"""How this process uses the machine: cores, memory, threads, how idle ones wait, and what becomes of freed memory."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup/cpu.max")
_CGROUP_MEMORY = Path("/sys/fs/cgroup/memory.max")

_told: list[int] = []

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -3, -4, -8
"""Numbers of glibc's `mallopt`: free memory above which some is given back; size from which blocks are mapped one by
one, and how many may be; heaps that threads have of their own."""

_LARGE = 32 * 2**20
"""Bytes: the most that glibc takes as `_MMAP_THRESHOLD`."""

_LAYERS_REMEMBERED = 16


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
    if cores := _slurm_cores("SLURM_CPUS_PER_TASK"):
        limits.append(cores)
    return min(limits)


def _slurm_cores(*names: str) -> int:
    """Cores of the SLURM allocation by the first of these variables that says so; 0 where none does."""
    said = (os.environ.get(name, "") for name in names)
    return next((max(1, int(number)) for number in said if number.isdigit()), 0)


def available_memory(cgroup: Path = _CGROUP_MEMORY) -> int | None:
    """Bytes of this job: the least of the machine's memory, its container's share (cgroup v2) and its SLURM allocation;
    None where the system does not say.

    Args:
        cgroup: The file that holds the container's limit, in bytes.
    """
    limits = []
    try:
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        pass  # Windows
    try:
        limits.append(int(cgroup.read_text()))
    except (OSError, ValueError):
        pass  # no cgroup v2, or "max"
    cores = _slurm_cores("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE") or 1
    for name, share in (("SLURM_MEM_PER_NODE", 1), ("SLURM_MEM_PER_CPU", cores)):
        megabytes = os.environ.get(name, "")
        if megabytes.isdigit() and int(megabytes):  # 0 is all that the machine has
            limits.append(int(megabytes) * 2**20 * share)
    return min(limits, default=None)


def wait_passively() -> None:
    """Lets idle threads of OpenMP sleep instead of spin, unless the user chose; before PyTorch is imported.

    On a machine with other work spinning threads hold the cores that the last one of them needs.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & set(os.environ):
        os.environ["OMP_WAIT_POLICY"] = "passive"


def keep_memory(large: bool = True) -> None:
    """Lets the C library keep memory that is freed for what is asked for next, unless the user chose.

    Glibc gives large blocks back to the system at once, and gets them again, page by page, for the next layer, which
    took 2 to 12 % of the time of a network. Other C libraries are left as they are.

    Args:
        large: Whether blocks of 32 MB and more are kept too. Where images have many sizes, those of one seldom fit into
            the place of another's, and what is kept grows.
    """
    if any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # no glibc: musl, macOS, Windows
        return
    mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(_MMAP_THRESHOLD, _LARGE)
    mallopt(_MMAP_MAX, 0 if large else 65536)
    mallopt(_ARENA_MAX, 1)  # or each thread that once led the network would keep as much


def forget_layers() -> None:
    """Lets oneDNN and PyTorch remember few of the layers that they prepared, unless the user chose; before the first.

    Each is prepared for one size of image, and up to 1,024 are remembered: in a worker whose tiles have many sizes 0.3
    to 0.5 GB, for nothing. To prepare them again costs 4 to 11 % of the time where all have one size.
    """
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(name, str(_LAYERS_REMEMBERED))


def keep_to(threads: int) -> None:
    """Tells this process how many threads a network that it loads from now on gets on a CPU."""
    _told[:] = [threads]


def kept_to() -> int | None:
    """What `keep_to` was told; None where nobody said anything."""
    return _told[0] if _told else None
