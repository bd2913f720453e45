import ctypes
import os
import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest

from coseg_bundle.engine.cores import available_cores, available_memory, forget_layers, keep_memory, wait_passively


def test_the_least_share_counts(tmp_path, monkeypatch):
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    file = tmp_path / "cpu.max"
    assert available_cores(file) == 8  # no cgroup
    file.write_text("max 100000\n")
    assert available_cores(file) == 8
    file.write_text("350000 100000\n")
    assert available_cores(file) == 4
    file.write_text("1000 100000\n")
    assert available_cores(file) == 1
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "3")
    assert available_cores(tmp_path / "none") == 3


def test_the_least_memory_counts(tmp_path, monkeypatch):
    for name in ("SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU", "SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 2**21, "SC_PAGE_SIZE": 4096}.__getitem__, raising=False)
    file = tmp_path / "memory.max"
    assert available_memory(file) == 2**33  # no cgroup
    file.write_text("max\n")
    assert available_memory(file) == 2**33
    file.write_text(f"{2**32}\n")
    assert available_memory(file) == 2**32
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "0")  # all that there is
    assert available_memory(file) == 2**32
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "1024")
    assert available_memory(file) == 2**30
    monkeypatch.delenv("SLURM_MEM_PER_NODE")
    monkeypatch.setenv("SLURM_MEM_PER_CPU", "512")
    assert available_memory(file) == 2**29
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "8")
    assert available_memory(file) == 2**32
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "3")
    assert available_memory(file) == 3 * 2**29
    monkeypatch.delenv("SLURM_MEM_PER_CPU")
    monkeypatch.delattr(os, "sysconf")  # Windows
    assert available_memory(tmp_path / "none") is None


WAITS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


@pytest.mark.parametrize("chosen", [None, *WAITS])
def test_idle_threads_sleep_unless_the_user_chose(monkeypatch, chosen):
    monkeypatch.setattr(os, "environ", {chosen: "active"} if chosen else {})
    wait_passively()
    assert os.environ == ({chosen: "active"} if chosen else {"OMP_WAIT_POLICY": "passive"})


@pytest.mark.parametrize("large", [True, False])
@pytest.mark.parametrize("chosen", [None, "MALLOC_ARENA_MAX", "GLIBC_TUNABLES"])
def test_freed_memory_is_kept_unless_the_user_chose(monkeypatch, chosen, large):
    told = []
    monkeypatch.setattr(os, "environ", {chosen: "1"} if chosen else {})
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=lambda *option: told.append(option)))
    keep_memory(large)
    assert told == ([] if chosen else [(-1, 2**31 - 1), (-3, 2**25), (-4, 0 if large else 65536), (-8, 1)])


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_large_blocks_go_back_where_sizes_vary():
    """In a process of its own, which hands back a block of 64 MB and then one of 8."""
    program = (
        "import ctypes, resource, sys\n"
        "from coseg_bundle.engine.cores import keep_memory; keep_memory(sys.argv[1] == 'True')\n"
        "libc = ctypes.CDLL(None); libc.malloc.restype = ctypes.c_void_p; libc.free.argtypes = [ctypes.c_void_p]\n"
        "held = lambda: int(open('/proc/self/statm').read().split()[1]) * resource.getpagesize() >> 20\n"
        "for size in (64, 8):\n"
        "    before, block = held(), libc.malloc(size << 20); ctypes.memset(block, 1, size << 20); libc.free(block)\n"
        "    print(held() - before)\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    held = {}
    for large in (True, False):
        command = [sys.executable, "-c", program, str(large)]
        said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
        held[large] = [int(line) for line in said.stdout.split()]
    assert held[True][0] > 55
    assert held[False][0] < 8 < held[False][1] + 2


@pytest.mark.parametrize("chosen", [None, "LRU_CACHE_CAPACITY"])
def test_few_layers_are_remembered_unless_the_user_chose(monkeypatch, chosen):
    monkeypatch.setattr(os, "environ", {chosen: "7"} if chosen else {})
    forget_layers()
    assert os.environ == {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "16", "LRU_CACHE_CAPACITY": "7" if chosen else "16"}


@pytest.mark.parametrize("error", [OSError, TypeError, None])
def test_other_c_libraries_are_left_alone(monkeypatch, error):
    def library(_):
        if error is None:
            return object()  # one without mallopt
        raise error("none")

    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setattr(ctypes, "CDLL", library)
    keep_memory()
