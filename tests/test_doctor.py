import sys
from types import ModuleType

import pytest

from coseg_bundle import doctor


@pytest.fixture
def torchvision(monkeypatch):
    monkeypatch.setattr(doctor, "version", lambda name: "0.1.0")


def test_a_torchvision_that_does_not_fit(torchvision, tmp_path, monkeypatch):
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    [finding] = doctor._torchvision("2.9.0")
    assert finding.mark == "BROKEN"
    assert "torchvision 0.1.0 does not fit torch 2.9.0" in finding.what
    assert "operator torchvision::nms does not exist" in finding.what
    assert finding.remedy == "pip uninstall torchvision (nothing here needs it)"


def test_one_that_fits(torchvision, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    [finding] = doctor._torchvision("2.9.0")
    assert (finding.mark, finding.what) == ("OK", "torchvision 0.1.0 fits torch 2.9.0")


def test_none_is_needed(monkeypatch):
    def absent(name):
        raise doctor.PackageNotFoundError(name)

    monkeypatch.setattr(doctor, "version", absent)
    assert list(doctor._torchvision("2.9.0")) == []
    assert {finding.mark for finding in doctor._packages()} == {"MISSING", "OPTIONAL"}


def test_versions_are_compared_by_number():
    assert [doctor._fits(found, ">=1.11") for found in ("1.9.3", "0.1", "1.11", "1.11.0", "2.0rc1", "1.12+cpu")] == [
        False, False, True, True, True, True,
    ]  # fmt: skip
    assert [doctor._fits(found, "<5") for found in ("4.13.0.92", "5.0", "5.1")] == [True, False, False]


def finding(name):
    [found] = [finding for finding in doctor._packages() if finding.what.startswith(f"{name} ")]
    return found


def test_a_package_that_is_too_old(tmp_path, monkeypatch):
    (tmp_path / "tifffile-0.1.dist-info").mkdir()
    (tmp_path / "tifffile-0.1.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: tifffile\nVersion: 0.1\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(doctor, "requires", lambda name: ["tifffile<3000,>=2024.1", 'scipy>=1.11; extra == "full"'])
    monkeypatch.setattr(doctor, "_imports", dict)
    found = finding("tifffile")
    assert (found.mark, found.what) == ("BROKEN", "tifffile 0.1, and >=2024.1 is needed")
    assert found.remedy == "pip install 'tifffile<3000,>=2024.1'"


def test_packages_that_do_not_import_or_lie_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "shapely.py").write_text("raise RuntimeError('no GEOS\\nat all')\n")
    (tmp_path / "tifffile.py").write_text("print('hello')\n")
    (tmp_path / "openslide.py").write_text("import os; os._exit(7)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    broken, foreign, ended = (finding(name) for name in ("shapely", "tifffile", "openslide-python"))
    assert broken.mark == "BROKEN"
    assert broken.what.endswith(" does not import (no GEOS)")
    assert "--force-reinstall shapely" in broken.remedy
    assert (foreign.mark, foreign.what.partition("; ")[2]) == ("OK", f"it is imported from {tmp_path / 'tifffile.py'}")
    assert ended.mark == "BROKEN"
    assert "the process ended with 7" in ended.what
