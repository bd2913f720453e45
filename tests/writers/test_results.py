import csv
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image

from coseg_bundle.classes import ClassMap
from coseg_bundle.data.images import HistologyImage, read_label
from coseg_bundle.networks import HeadLayout
from coseg_bundle.postprocessing.prediction import PostProcessing, Prediction
from coseg_bundle.writers import draw_overlay, write_results

TISSUE, NUCLEI = ClassMap(("background", "gland")), ClassMap(("background", "nucleus"))


def found(mpp: float | None) -> Prediction:
    """One nucleus of 10 x 20 pixels in gland, left half of a 40 x 60 image."""
    pred = np.zeros((7, 40, 60), np.float32)
    pred[1] = np.where(np.arange(60) < 30, 4, -4)
    pred[2] = -9
    pred[2, 5:15, 4:24] = 9
    return PostProcessing(HeadLayout(2), min_tissue_area_px=4)(pred, mpp=mpp, size=(40, 60))


def image(mpp: float | None, affine=None) -> HistologyImage:
    return HistologyImage(np.full((40, 60, 3), 200, np.uint8), mpp, Path("a.png"), affine)


def test_by_hand(tmp_path):
    summary = write_results(tmp_path / "a", image(0.5), found(0.5), TISSUE, NUCLEI, extra={"weights": "w"})
    assert json.loads((tmp_path / "a" / "summary.json").read_text()) == summary
    assert summary["nuclei_by_class"] == {"nucleus": 1}
    assert summary["tissue_area_px"] == {"background": 1200, "gland": 1200}
    assert summary["tissue_area_um2"] == {"background": 300.0, "gland": 300.0}
    assert summary["weights"] == "w"
    (row,) = csv.DictReader((tmp_path / "a" / "nuclei.csv").open())
    assert (row["centroid_x"], row["centroid_y"], row["area_px"], row["area_um2"]) == (
        "14.00",
        "10.00",
        "200",
        "50.000",
    )
    assert [row[k] for k in ("x_min", "y_min", "x_max", "y_max")] == ["4", "5", "24", "15"]
    assert (row["type"], row["type_prob"], row["tissue"]) == ("nucleus", "", "gland")
    with tifffile.TiffFile(tmp_path / "a" / "instances.tif") as file:
        assert file.pages[0].dtype == np.uint32
        assert file.pages[0].tags["XResolution"].value == (20000, 1)  # per cm
    assert (read_label(tmp_path / "a" / "tissue.tif") == found(0.5).tissue_map).all()
    for name in ("nuclei.geojson", "tissue.geojson"):  # whose nuclei are detections
        assert json.loads((tmp_path / "a" / name).read_text())["coseg"] == {"kind": "image"}


def test_unknown_resolution_has_no_microns(tmp_path):
    summary = write_results(tmp_path, image(None), found(None), TISSUE, NUCLEI)
    assert summary["tissue_area_um2"] is None
    (row,) = csv.DictReader((tmp_path / "nuclei.csv").open())
    assert row["area_um2"] == ""


def test_nifti_lies_on_its_image(tmp_path):
    affine = np.diag([-0.0005, -0.0005, 1, 1])
    write_results(tmp_path, image(0.5, affine), found(0.5), TISSUE, NUCLEI, nifti=True)
    for name in ("image", "instances", "tissue"):
        volume = nibabel.load(tmp_path / f"{name}.nii.gz")
        assert volume.shape == (60, 40, 1)
        assert np.allclose(volume.affine, affine)
    assert np.asarray(nibabel.load(tmp_path / "instances.nii.gz").dataobj)[4:24, 5:15].all()
    write_results(tmp_path, image(0.5), found(0.5), TISSUE, NUCLEI, nifti=True)
    assert np.allclose(nibabel.load(tmp_path / "tissue.nii.gz").header.get_zooms()[:2], 0.0005)


def test_overlay_marks_what_was_found():
    before = image(None).rgb
    overlay = draw_overlay(before, found(None), TISSUE, NUCLEI)
    assert overlay.shape == before.shape
    changed = (overlay != before).any(-1)
    assert changed[5, 10]
    assert changed[30, 5]  # gland is tinted
    assert not changed[:, 35:].any()


def test_summary_is_written_last(tmp_path, monkeypatch):
    write_results(tmp_path, image(None), found(None), TISSUE, NUCLEI)
    monkeypatch.setattr(Image.Image, "save", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_results(tmp_path, image(None), found(None), TISSUE, NUCLEI)
    assert not (tmp_path / "summary.json").exists()  # what lies there is no complete result any more
