"""The front door, on a network that looks at colours; PyTorch's part and onnxruntime's are tested where they are."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image
from standin import SIZES, paint, write_slide
from standin import predictor as slide_predictor
from view_results import write_slide_results

import coseg_bundle as coseg
from coseg_bundle.classes import ClassMap
from coseg_bundle.data.images import ImageFileError
from coseg_bundle.inferers import Predictor, TiledInferer
from coseg_bundle.networks.weights_file import CheckpointError
from coseg_bundle.writers.corrections import CORRECTIONS, UNCORRECTED
from coseg_bundle.writers.folders import ResultsFolderError
from coseg_bundle.wsi.pipeline import SlideRunError

INSTANCES = np.zeros((96, 128), np.int32)
INSTANCES[20:34, 30:44] = 1
INSTANCES[60:70, 80:96] = 2


def made(root=None, weights=None, device=None, engine="auto", precision=None, **settings):
    """What `Predictor.from_bundle` gives here."""
    standin = slide_predictor()
    names = ClassMap(("background", "gland")), ClassMap(("background", "nucleus"))
    settings = {"precision": {"name": "fp32", "reason": "the stand-in's"}}
    return Predictor(standin.network, TiledInferer(64), standin.postprocessing, *names, mpp=0.25, settings=settings)


@pytest.fixture
def model(monkeypatch):
    calls = []

    def from_bundle(*_, **options):
        calls.append(options)
        return made()

    monkeypatch.setattr(Predictor, "from_bundle", from_bundle)
    model = coseg.load(flips=True)
    assert calls == []  # not before it is used
    return model


def test_an_image_by_hand(model, tmp_path):
    result = model.image(paint(INSTANCES), mpp=0.25)
    assert len(result.nuclei) == 2
    np.testing.assert_allclose(result.nuclei.centroid_xy, [[37, 27], [88, 65]], atol=0.6)
    assert result.instance_map.shape == result.tissue.shape == INSTANCES.shape
    assert result.tissue_classes.names == ("background", "gland")
    assert result.nuclei_classes.names == ("background", "nucleus")
    assert result.plot().size == (128, 96)

    folder = result.save(tmp_path / "out")
    assert np.array_equal(tifffile.imread(folder / "instances.tif"), result.instance_map)
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["nuclei"], summary["mpp_source"], summary["engine"]) == (2, "given", "torch")


def test_a_file_says_its_resolution(model, tmp_path):
    path = tmp_path / "region.tif"
    options = {"resolution": (2e4, 2e4), "resolutionunit": "CENTIMETER", "photometric": "rgb"}
    tifffile.imwrite(path, paint(INSTANCES), **options)
    result = model.image(path)
    assert result.prediction.mpp == pytest.approx(0.5)
    assert json.loads((result.save(tmp_path / "out") / "summary.json").read_text())["mpp_source"] == "file"


def test_nothing_is_known_of_the_resolution(model, tmp_path):
    Image.fromarray(paint(INSTANCES)).save(tmp_path / "region.png")
    result = model.image(tmp_path / "region.png")
    assert len(result.nuclei) == 2
    summary = json.loads((result.save(tmp_path / "out", nifti=True) / "summary.json").read_text())
    assert (summary["mpp_source"], summary["mpp"]) == ("unknown", None)
    assert (tmp_path / "out" / "instances.nii.gz").is_file()


def test_what_is_no_image(model, tmp_path):
    with pytest.raises(ValueError, match=r"Expected an RGB image \(H, W, 3\) uint8"):
        model.image(np.zeros((5, 5), np.uint8))
    with pytest.raises(ImageFileError, match="gone"):
        model.image(tmp_path / "gone.png")


def test_a_slide(model, tmp_path):
    slide = write_slide(tmp_path / "slide.tif", paint(np.tile(INSTANCES, (4, 3))))
    result = model.slide(slide, tmp_path / "out", **SIZES)
    assert result.folder == tmp_path / "out" / "slide.tif"
    assert result.nuclei.num_rows == result.summary["nuclei"] == 24
    assert result.tissue.shape == (96, 96)
    assert result.tissue_mpp == 1.0
    assert result.plot().size[0] > 10
    measured = result.measure(grid_um=100)
    assert measured.record["nuclei"] == 24
    assert {"slide", "grid"} <= measured.tables.keys()
    assert (result.folder / "measures").is_dir()
    with pytest.raises(ValueError, match=r"gone\.geojson"):
        result.measure(regions=tmp_path / "gone.geojson")
    again = model.slide(slide, tmp_path / "out", **SIZES)
    assert again.summary == result.summary
    assert coseg.SlideResult.open(result.folder).nuclei.equals(result.nuclei)


def test_saved_corrections_of_a_slide_are_said_to_be_left_out(tmp_path, caplog):
    folder = write_slide_results(tmp_path)
    result = coseg.SlideResult.open(folder)
    (folder / CORRECTIONS).parent.mkdir()
    (folder / CORRECTIONS).write_text("[]")
    assert caplog.messages == []
    assert coseg.SlideResult.open(folder).nuclei.equals(result.nuclei)
    assert caplog.messages == [f"{folder}: {UNCORRECTED}"]


def test_tiles_are_not_framed(model):
    """As those of `coseg slide` are not: they bring what surrounds them along."""
    assert model._for_tiles({}).keywords["border_px"] == 0
    assert model._for_tiles({"tile_px": 256, "batch_size": 2}).keywords["tile_size"] == 256


def test_a_slide_that_is_none(model, tmp_path):
    with pytest.raises(SlideRunError, match=r"gone\.svs"):
        model.slide(tmp_path / "gone.svs", tmp_path / "out")


def test_arguments_that_are_none(model, tmp_path):
    with pytest.raises(ValueError, match=r"Expected the file of a slide, got ndarray; image\(\) takes an array"):
        model.slide(paint(INSTANCES), tmp_path / "out")
    for unknown in ("foo", "resume"):
        with pytest.raises(ValueError, match=f"Expected options of tile_px, .*, progress, got {unknown}"):
            model.slide("slide.tif", tmp_path / "out", tile_px=512, **{unknown: 1})
    slide = write_slide(tmp_path / "slide.tif", paint(INSTANCES))
    with pytest.raises(SlideRunError, match=r"gone\.geojson: file not found"):
        model.slide(slide, tmp_path / "out", regions=str(tmp_path / "gone.geojson"), **SIZES)


def test_few_names_are_found():
    assert dir(coseg) == sorted(coseg.__all__) == ["Model", "Result", "SlideResult", "load"]
    with pytest.raises(AttributeError, match="module 'coseg_bundle' has no attribute 'gone'"):
        coseg.gone  # noqa: B018


def test_nothing_heavy_is_imported():
    code = (
        "import sys, coseg_bundle; print(sorted({'numpy', 'torch', 'monai', 'onnxruntime', 'cv2'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize("mpp", [0, -1, float("nan"), True, "0.5"])
def test_a_resolution_that_is_none(model, tmp_path, mpp):
    with pytest.raises(ValueError, match=r"Expected microns per pixel above 0, such as 0\.25, got"):
        model.image(paint(INSTANCES), mpp=mpp)
    with pytest.raises(ValueError, match="Expected microns per pixel above 0"):
        model.slide(tmp_path / "slide.tif", tmp_path, mpp=mpp)


def test_what_is_no_image_and_no_workers(model, tmp_path):
    with pytest.raises(ValueError, match=r"Expected a file or an array .* got Image; np\.asarray makes an array"):
        model.image(Image.fromarray(paint(INSTANCES)))
    for path in (tmp_path, tmp_path / "a.svs"):
        with pytest.raises(ValueError, match=r"Expected one image, got .*: whole slides are for slide\(\)"):
            model.image(path)
    for workers in (0, 2.5, "2"):
        with pytest.raises(ValueError, match=rf"Expected 1 worker or more, .* got {workers!r}"):
            model.slide(tmp_path / "slide.tif", tmp_path, workers=workers)
    with pytest.raises(ValueError, match="Unknown origin 'Bounds': expected bounds or canvas"):
        model.slide(tmp_path / "slide.tif", tmp_path, origin="Bounds")


def test_results_of_others_are_not_replaced(model, tmp_path):
    """Neither those of a slide nor those of another image; its own are."""
    Image.fromarray(paint(INSTANCES)).save(tmp_path / "a.png")
    ours = model.image(tmp_path / "a.png").save(tmp_path / "ours")
    model.image(tmp_path / ".." / tmp_path.name / "a.png").save(ours)
    before = (ours / "summary.json").read_bytes()
    with pytest.raises(ResultsFolderError, match=r"ours holds results of .*a\.png; give another folder"):
        model.image(paint(INSTANCES)).save(ours)
    assert (ours / "summary.json").read_bytes() == before
    (tmp_path / "slide").mkdir()
    (tmp_path / "slide" / "summary.json").write_text('{"slide": "a.svs"}')
    with pytest.raises(ResultsFolderError, match="holds files that are no results of coseg; give another folder"):
        model.image(tmp_path / "a.png").save(tmp_path)  # where the image lies
    with pytest.raises(ResultsFolderError, match="holds results of coseg slide"):
        model.image(tmp_path / "a.png").save(tmp_path / "slide")


def test_another_image_of_the_same_name_is_another(model, tmp_path, monkeypatch):
    """Wherever the script has gone since: results say where their image lies."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        Image.fromarray(paint(INSTANCES)).save(tmp_path / name / "x.png")
    monkeypatch.chdir(tmp_path / "one")
    first = model.image("x.png")
    monkeypatch.chdir(tmp_path / "two")
    saved = first.save(tmp_path / "out")
    assert json.loads((saved / "summary.json").read_text())["image"] == str(tmp_path / "one" / "x.png")
    with pytest.raises(ResultsFolderError, match=r"holds results of .*one.x\.png; give another folder"):
        model.image("x.png").save(saved)
    first.save(saved)


def test_an_array_may_be_used_again(model, tmp_path):
    """What was found in it is drawn on what was looked at."""
    buffer = paint(INSTANCES)
    result = model.image(buffer)
    before = np.asarray(result.plot())
    buffer[:] = 255
    assert np.array_equal(np.asarray(result.plot()), before)
    result.save(tmp_path / "out")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "overlay.png")), before)


def test_results_made_anew_are_not_mixed_with_those_opened(model, tmp_path):
    """What was read before stays; what was not is no longer there."""
    slide = write_slide(tmp_path / "slide.tif", paint(np.tile(INSTANCES, (4, 3))))
    former = model.slide(slide, tmp_path / "out", **SIZES)
    assert former.nuclei.num_rows == 24
    again = model.slide(slide, tmp_path / "out", mpp=0.5, overwrite=True, **SIZES)
    assert (former.nuclei.num_rows, again.nuclei.num_rows) == (24, again.summary["nuclei"])
    unread = lambda: former.tissue, lambda: former.tissue_mpp, former.plot, former.measure
    for read in unread:
        with pytest.raises(ResultsFolderError, match=r"slide\.tif were removed or made anew .*SlideResult\.open"):
            read()
    again.measure()
    assert again.tissue_mpp == coseg.SlideResult.open(again.folder).tissue_mpp


@pytest.mark.parametrize("side", [-1, 0, float("nan"), "100", True])
def test_a_grid_that_is_none(model, tmp_path, side):
    result = model.slide(write_slide(tmp_path / "slide.tif", paint(INSTANCES)), tmp_path / "out", **SIZES)
    with pytest.raises(ValueError, match=r"grid's cells in microns, a number from 1 on, got"):
        result.measure(grid_um=side)


def test_weights_that_are_no_file():
    with pytest.raises(ValueError, match="Expected the file of the weights, got int: a path, or nothing"):
        coseg.load(123)
    with pytest.raises(CheckpointError, match="Weights not found"):
        _ = coseg.load("").predictor


def test_a_setting_that_is_an_argument():
    with pytest.raises(ValueError, match="Expected the bundle's folder as bundle, got it as bundle_root"):
        coseg.load(bundle_root="bundle")
