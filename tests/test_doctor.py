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
