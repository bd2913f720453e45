import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from coseg_bundle.data.images import ImageFileError
from coseg_bundle.inferers.predict_files import collect_images, failures, predict_files, result_folders

from .conftest import folder_of, picture

RESULTS = {
    "instances.tif",
    "tissue.tif",
    "nuclei.geojson",
    "tissue.geojson",
    "nuclei.csv",
    "overlay.png",
    "summary.json",
}


def test_files_and_folders(tmp_path):
    for name in ("b.png", "a.TIF", "notes.txt", "c.nii.gz"):
        (tmp_path / name).touch()
    assert [p.name for p in collect_images([tmp_path, tmp_path / "b.png"])] == ["a.TIF", "b.png", "c.nii.gz"]
    assert collect_images(["gone.png"]) == [Path("gone.png")]  # reported with the other results
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageFileError, match="empty: no image in this folder"):
        collect_images([tmp_path / "empty"])


def test_folders_never_collide():
    files = [Path(p) for p in ("x/a.png", "x/b.png", "x/b.tif", "x/c.png", "y/c.png")]
    assert [f.name for f in result_folders(files, Path("out"))] == ["a", "b.png", "b.tif", "c.png-1", "c.png-2"]


def test_one_bad_file_does_not_stop_the_others(predictor, tmp_path):
    rgb = picture(60, 80, [(10, 20), (30, 60)])
    Image.fromarray(rgb).save(tmp_path / "good.png")
    tifffile.imwrite(tmp_path / "grey16.tif", rgb[..., 1].astype(np.uint16) * 257)
    (tmp_path / "bad.png").write_text("no image")
    files = [tmp_path / name for name in ("bad.png", "good.png", "gone.png", "grey16.tif")]
    results = list(predict_files(predictor, files, tmp_path / "out", mpp=0.25))
    assert [result.path for result in results] == files
    assert [result.path.name for result in failures(results)] == ["bad.png", "gone.png"]
    assert results[0].error.startswith(str(tmp_path / "bad.png"))
    assert folder_of(tmp_path / "out") == {"good", "grey16"}
    assert folder_of(tmp_path / "out" / "good") == RESULTS
    summary = json.loads((tmp_path / "out" / "good" / "summary.json").read_text())
    assert (summary["nuclei"], summary["mpp"], summary["mpp_source"]) == (2, 0.25, "given")
    instances = tifffile.imread(tmp_path / "out" / "good" / "instances.tif")
    assert instances.dtype == np.uint32
    assert np.bincount(instances.ravel()).tolist() == [60 * 80 - 288, 144, 144]


def test_complete_results_are_skipped(predictor, tmp_path):
    Image.fromarray(picture(40, 40, [(10, 10)])).save(tmp_path / "a.png")

    def run():
        return next(predict_files(predictor, [tmp_path / "a.png"], tmp_path / "out", skip_existing=True))

    assert not run().skipped
    assert run().skipped
    (tmp_path / "out" / "a" / "summary.json").unlink()  # as after a kill
    assert not run().skipped


def test_nifti_volumes(predictor, tmp_path):
    Image.fromarray(picture(40, 30, [])).save(tmp_path / "a.png")
    (result,) = predict_files(predictor, [tmp_path / "a.png"], tmp_path / "out", nifti=True)
    assert folder_of(result.folder) == RESULTS | {"image.nii.gz", "instances.nii.gz", "tissue.nii.gz"}
    assert result.summary["mpp_source"] == "unknown"


def tile():
    return picture(64, 80, [(10, 10)])


def test_what_does_not_fit_in_memory_is_one_failed_file(predictor, tmp_path, monkeypatch):
    for name in "ab":
        Image.fromarray(tile()).save(tmp_path / f"{name}.png")
    infer, errors = predictor.infer, [RuntimeError("DefaultCPUAllocator: can't allocate memory")]

    def infer_or_fail(rgb):
        if errors:
            raise errors.pop()
        return infer(rgb)

    monkeypatch.setattr(predictor, "infer", infer_or_fail)
    bad, good = predict_files(predictor, [tmp_path / "a.png", tmp_path / "b.png"], tmp_path / "out")
    assert "a.png: does not fit in memory (DefaultCPUAllocator" in bad.error
    assert good.error is None


def test_other_errors_are_not_hidden(predictor, tmp_path, monkeypatch):
    Image.fromarray(tile()).save(tmp_path / "a.png")
    monkeypatch.setattr(predictor, "infer", lambda rgb: [][0])
    with pytest.raises(IndexError):
        list(predict_files(predictor, [tmp_path / "a.png"], tmp_path / "out"))


def test_how_a_file_was_read_is_said(predictor, tmp_path):
    deep = tile().astype(np.uint16) * 16
    tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb")
    (result,) = predict_files(predictor, [tmp_path / "a.tif"], tmp_path / "out", mpp=0.25)
    assert result.summary["read_as"] == ["12 significant bits, as its values up to 4080 show"]
    assert result.summary["unscanned_px"] == 0
    assert result.summary["nuclei"] == 1


def test_oblong_pixels_are_refused_unless_a_resolution_is_given(predictor, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", tile(), resolution=(40_000, 20_000), resolutionunit="CENTIMETER")
    (result,) = predict_files(predictor, [tmp_path / "a.tif"], tmp_path / "out")
    assert "its pixels are 0.25 x 0.5 um and not square" in result.error
    (result,) = predict_files(predictor, [tmp_path / "a.tif"], tmp_path / "out", mpp=0.25)
    assert result.error is None
