import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from coseg_bundle.commands.segmenting.predict import describe
from coseg_bundle.data.images import ImageFileError
from coseg_bundle.inferers.predict_files import collect_images, failures, predict_files
from coseg_bundle.writers import results as results_module

from .conftest import folder_of, picture

ROOT = Path(__file__).parents[2]
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
    assert folder_of(tmp_path / "out") == {"good.png", "grey16.tif"}
    assert folder_of(tmp_path / "out" / "good.png") == RESULTS
    summary = json.loads((tmp_path / "out" / "good.png" / "summary.json").read_text())
    assert (summary["nuclei"], summary["mpp"], summary["mpp_source"]) == (2, 0.25, "given")
    instances = tifffile.imread(tmp_path / "out" / "good.png" / "instances.tif")
    assert instances.dtype == np.uint32
    assert np.bincount(instances.ravel()).tolist() == [60 * 80 - 288, 144, 144]


def predict(predictor, path, **options):
    [result] = predict_files(predictor, [path], path.parent / "out", **options)
    return result


def test_complete_results_are_skipped(predictor, tmp_path):
    Image.fromarray(picture(40, 40, [(10, 10)])).save(tmp_path / "a.png")
    assert not predict(predictor, tmp_path / "a.png", skip_existing=True).skipped
    os.utime(tmp_path / "a.png", (1, 1))
    again = predict(predictor, tmp_path / "a.png", skip_existing=True)
    assert again.skipped
    assert again.summary["nuclei"] == 1
    (tmp_path / "out" / "a.png" / "summary.json").unlink()  # as after a kill
    assert not predict(predictor, tmp_path / "a.png", skip_existing=True).skipped


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mpp": 0.5}, r"mpp \(None, now 0.5\)"),
        ({"nifti": True}, r"nifti \(False, now True\)"),
        ({"flips": True}, r"inference.flips \(False, now True\)"),
        ({"precision": "fp16"}, r"inference.precision \(bf16, now fp16\)"),
        ({"min_tissue_area_px": 7}, r"postprocessing.min_tissue_area_px \(16, now 7\)"),
        ({"weights_sha256": "b"}, "weights"),
        ({"image": 2}, "the content of the file"),
    ],
)
def test_results_made_from_something_else_are_refused(predictor, tmp_path, change, words):
    path = tmp_path / "a.png"
    Image.fromarray(picture(40, 40, [(10, 10)])).save(path)
    predictor.settings, predictor.weights_sha256 = {"flips": False, "precision": "bf16"}, "a"
    assert predict(predictor, path).error is None
    options = {name: value for name, value in change.items() if name in ("mpp", "nifti")}
    predictor.settings |= {name: value for name, value in change.items() if name in predictor.settings}
    predictor.weights_sha256 = change.get("weights_sha256", "a")
    if "min_tissue_area_px" in change:
        predictor.postprocessing = replace(predictor.postprocessing, **change)
    if "image" in change:
        Image.fromarray(picture(40, 40, [(10, 10), (24, 24)])).save(path)
    before = (tmp_path / "out" / "a.png" / "summary.json").read_bytes()
    refused = predict(predictor, path, skip_existing=True, **options)
    assert re.search(f"which differ in {words}; make them anew with --overwrite", refused.error)
    assert (tmp_path / "out" / "a.png" / "summary.json").read_bytes() == before
    anew = predict(predictor, path, skip_existing=True, overwrite=True, **options)
    assert (anew.error, anew.skipped) == (None, False)
    assert predict(predictor, path, skip_existing=True, **options).skipped


def test_a_stopped_run_goes_on(predictor, tmp_path, monkeypatch):
    """Stopped in the second of three files, between its first result and its last."""
    files = [tmp_path / name for name in ("a.png", "b.png", "c.png")]
    for count, path in enumerate(files):
        Image.fromarray(picture(40, 40, [(2, 2), (24, 24)][:count])).save(path)
    results = predict_files(predictor, files, tmp_path / "out", skip_existing=True)
    next(results)

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("coseg_bundle.writers.results.draw_overlay", stop)
        with pytest.raises(KeyboardInterrupt):
            next(results)
    assert folder_of(tmp_path / "out") == {"a.png", "b.png"}
    assert not (tmp_path / "out" / "b.png" / "summary.json").exists()
    on = list(predict_files(predictor, files, tmp_path / "out", skip_existing=True))
    assert [(result.skipped, result.summary["nuclei"]) for result in on] == [(True, 0), (False, 1), (False, 2)]
    assert all(folder_of(result.folder) == RESULTS for result in on)


def test_killed_and_run_again(tmp_path):
    """The process is killed while it holds the second folder: the lock goes with it."""
    for number, name in enumerate(("a.png", "b.png", "c.png")):
        Image.fromarray(picture(40, 40, [(2, 2), (24, 24)][:number])).save(tmp_path / name)
    script = f"""
import os, signal, sys
sys.path[:0] = [{str(ROOT / "tests")!r}]
from pathlib import Path
import coseg_bundle.writers.results as results
from coseg_bundle.inferers.predict_files import predict_files
from inferers.conftest import dark_nuclei
files = [Path({str(tmp_path)!r}, name) for name in ("a.png", "b.png", "c.png")]
run = predict_files(dark_nuclei(), files, Path({str(tmp_path / "out")!r}), skip_existing=True)
if "kill" in sys.argv:
    next(run)
    results.draw_overlay = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
print([(r.skipped, r.summary["nuclei"], r.error) for r in run])
"""
    command = [sys.executable, "-c", script]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]])}
    killed = subprocess.run([*command, "kill"], env=environment, capture_output=True, timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "out" / "b.png" / ".lock").exists()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == str([(True, 0, None), (False, 1, None), (False, 2, None)])
    assert folder_of(tmp_path / "out" / "b.png") == RESULTS


def test_names_that_no_file_system_takes(predictor, tmp_path):
    Image.fromarray(picture(40, 40, [])).save(tmp_path / "a.png")
    files = collect_images([tmp_path / ("x" * 300 + ".png"), tmp_path / "a.png"])
    long, good = predict_files(predictor, files, tmp_path / "out")
    assert "File name too long" in long.error
    assert good.error is None


def test_nifti_volumes(predictor, tmp_path):
    Image.fromarray(picture(40, 30, [])).save(tmp_path / "a.png")
    (result,) = predict_files(predictor, [tmp_path / "a.png"], tmp_path / "out", nifti=True)
    assert folder_of(result.folder) == RESULTS | {"image.nii.gz", "instances.nii.gz", "tissue.nii.gz"}
    assert result.summary["mpp_source"] == "unknown"
    again = predict(predictor, tmp_path / "a.png")
    assert folder_of(again.folder) == RESULTS  # the volumes were of another run


def test_what_nifti_has_no_room_for_is_refused_before_predicting(predictor, tmp_path, monkeypatch):
    """NIfTI counts a side in 15 bits; the error used to come after the prediction, and end the whole batch."""
    monkeypatch.setattr(results_module, "NIFTI_SIDE", 39)
    for name, width in (("a", 40), ("b", 39)):
        Image.fromarray(picture(30, width, [])).save(tmp_path / f"{name}.png")
    asked, infer = [], predictor.infer
    monkeypatch.setattr(predictor, "infer", lambda *args, **options: asked.append(1) or infer(*args, **options))
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    wide, good = predict_files(predictor, files, tmp_path / "out", nifti=True)
    assert wide.error.startswith(f"{files[0]}: expected at most 39 px a side for --nifti, got 40 x 30; leave --nifti")
    assert good.error is None
    assert len(asked) == 1
    assert not (tmp_path / "out" / "a.png").exists()


@pytest.mark.parametrize("name", ["a.svs", "A.NDPI", "a.dcm"])
def test_a_whole_slide_is_sent_elsewhere(predictor, tmp_path, name):
    (tmp_path / name).write_text("any")
    (result,) = predict_files(predictor, collect_images([tmp_path / name]), tmp_path / "out")
    assert result.error == f"{tmp_path / name}: a whole slide; segment it with `coseg slide {name} --output DIR`."


def test_a_folder_of_slides_says_what_reads_them(tmp_path):
    (tmp_path / "1.dcm").write_text("any")
    with pytest.raises(ImageFileError, match=r"no image in this folder; .*; its whole slides are for `coseg slide`\.$"):
        collect_images([tmp_path])


def test_a_folder_that_is_a_slide_too(predictor, tmp_path):
    (tmp_path / "a.ome.zarr" / "0").mkdir(parents=True)
    (result,) = predict_files(predictor, collect_images([tmp_path / "a.ome.zarr"]), tmp_path / "out")
    assert "`coseg slide a.ome.zarr --output DIR`" in result.error


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


def test_nuclei_that_are_too_small_speak_against_the_resolution(predictor, tmp_path):
    """Squares of 12 px: circles of 13.5 px, 3.4 um at 0.25 um/px and 6.8 at 0.5."""
    places = [(row, column) for row in range(10, 90, 20) for column in range(10, 150, 20)]
    Image.fromarray(picture(100, 160, places)).save(tmp_path / "a.png")
    for mpp, source in ((None, "unknown"), (0.25, "given")):
        (result,) = predict_files(predictor, [tmp_path / "a.png"], tmp_path / "out", mpp=mpp)
        assert (result.summary["nuclei"], result.summary["mpp_source"]) == (28, source)
        assert [doubt.partition(",")[0] for doubt in result.summary["doubts"]] == ["the nuclei are 3.4 um wide"]
        assert "the nuclei are 3.4 um wide" in describe(result)
    (result,) = predict_files(predictor, [tmp_path / "a.png"], tmp_path / "out", mpp=0.5)
    assert result.summary["doubts"] == []
    assert "wide" not in describe(result)


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


def test_what_lies_beside_the_images_is_left_out_and_said(tmp_path, caplog):
    for name in ("a.png", "._a.png", "a_mask.png", "b.png"):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / name)
    with caplog.at_level("WARNING"):
        assert collect_images([tmp_path]) == [tmp_path / "a.png", tmp_path / "b.png"]
    assert "left out: 1 hidden, 1 named after another image (mask, label, overlay)" in caplog.text
    assert collect_images([tmp_path / "a_mask.png"]) == [tmp_path / "a_mask.png"]  # who names a file means it
    for name in ("a.png", "a_mask.png", "b.png"):
        (tmp_path / name).unlink()
    with pytest.raises(ImageFileError, match=r"no image in this folder.*\(left out: 1 hidden\)"):
        collect_images([tmp_path])
