import os

from coseg_bundle.engine.cores import available_cores


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
