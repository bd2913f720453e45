import os
import subprocess
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


def test_one_that_imports_a_broken_one(tmp_path, monkeypatch):
    (tmp_path / "numpy.py").write_text("raise ImportError('no BLAS')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    numpy, tifffile = finding("numpy"), finding("tifffile")
    assert "--force-reinstall numpy" in numpy.remedy
    assert tifffile.what.endswith(" does not import (no BLAS)")
    assert tifffile.remedy == "mend numpy first"


def test_the_package_at_fault():
    def fault(line):
        with pytest.raises((ImportError, ZeroDivisionError)) as caught:
            exec(line, {"__name__": "coseg_bundle.x"})
        return doctor.package_at_fault(caught.value)

    assert fault("import nowhere_at_all.part") == "nowhere_at_all"
    assert fault("exec('1 / 0', {'__name__': 'cv2.part'})") == "cv2"
    assert fault("import coseg_bundle.nowhere_at_all") is None
    assert fault("1 / 0") is None


@pytest.mark.parametrize("fault", ["raise RuntimeError('no CUDA\\nat all')", "import os", "raise OSError('no CUDA')"])
def test_a_torch_that_does_not_import(tmp_path, monkeypatch, fault):
    (tmp_path / "torch.py").write_text(fault + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(doctor, "is_installed", lambda name: True)
    [found] = doctor._devices()
    assert found.mark == "BROKEN"
    reason = "module 'torch' has no attribute '__version__'" if fault == "import os" else "no CUDA"
    assert found.what == f"torch does not import ({reason})"
    assert "--force-reinstall torch" in found.remedy


def examined(folder, bundle_root):
    """What the command prints where a folder lies before all others, and its exit code."""
    path = os.pathsep.join([str(folder), *sys.path])
    command = [sys.executable, "-m", "coseg_bundle.cli", "doctor", "--bundle", str(bundle_root)]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False)
    return done.stdout, done.returncode


@pytest.mark.parametrize(
    ("module", "name", "fault"),
    [
        ("cv2", "opencv-python-headless", "ImportError('libcv2.so.1: cannot open')"),
        ("yaml", "pyyaml", "ValueError('binary incompatibility')"),
    ],
)
def test_a_broken_package_spares_what_else_is_said(tmp_path, bundle_root, module, name, fault):
    """The examination ended with "`coseg doctor` says how to mend it"."""
    (tmp_path / f"{module}.py").write_text(f"raise {fault}\n")
    output, code = examined(tmp_path, bundle_root)
    reason = fault.split("'")[1]
    assert code == 1
    assert f" does not import ({reason})\n         -> pip install --force-reinstall {name};" in output
    assert f"were not tried, since {module} does not import ({reason})\n         -> mend {module} first" in output
    assert "OK       cpu: " in output
    assert "OK       shapely " in output


def test_what_was_found_is_said_before_a_package_ends_all(tmp_path, bundle_root):
    (tmp_path / "torch.py").write_text("import os; os._exit(7)\n")
    output, code = examined(tmp_path, bundle_root)
    assert code == 7
    assert "OK       shapely " in output


def test_a_fault_of_our_own_is_none_of_a_package(bundle_root, monkeypatch):
    def fails(*_, **__):
        raise KeyError("ours")

    monkeypatch.setattr("coseg_bundle.inferers.predictor.Predictor.from_bundle", fails)
    with pytest.raises(KeyError, match="ours"):
        list(doctor._bundle(bundle_root))
