import ctypes
import os
from types import SimpleNamespace

import pytest

from coseg_bundle.engine.cores import available_cores, keep_memory, wait_passively


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


WAITS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


@pytest.mark.parametrize("chosen", [None, *WAITS])
def test_idle_threads_sleep_unless_the_user_chose(monkeypatch, chosen):
    monkeypatch.setattr(os, "environ", {chosen: "active"} if chosen else {})
    wait_passively()
    assert os.environ == ({chosen: "active"} if chosen else {"OMP_WAIT_POLICY": "passive"})


@pytest.mark.parametrize("chosen", [None, "MALLOC_ARENA_MAX", "GLIBC_TUNABLES"])
def test_freed_memory_is_kept_unless_the_user_chose(monkeypatch, chosen):
    told = []
    monkeypatch.setattr(os, "environ", {chosen: "1"} if chosen else {})
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=lambda *option: told.append(option)))
    keep_memory()
    assert told == ([] if chosen else [(-1, 2**31 - 1), (-4, 0), (-8, 1)])


@pytest.mark.parametrize("error", [OSError, TypeError, None])
def test_other_c_libraries_are_left_alone(monkeypatch, error):
    def library(_):
        if error is None:
            return object()  # one without mallopt
        raise error("none")

    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setattr(ctypes, "CDLL", library)
    keep_memory()
