"""The core needs no PyTorch, and the light installation less still: `helpers/hidden.py` makes imports fail."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from coseg_bundle.cli import main
from coseg_bundle.data.images import read_image
from coseg_bundle.data.synthetic import synthetic_tissue
from coseg_bundle.writers.folders import ResultsFolderError
from coseg_bundle.wsi.results.reading import FinishedSlide

HERE = Path(__file__).parent
LIGHT = (
    "data.images data.listing data.annotations postprocessing.prediction writers.results writers.geojson "
    "wsi.pipeline wsi.run.workers wsi.results.writing inferers.predictor inferers.predict_files networks.about "
    "networks.head_layout networks.weights_file networks.export.onnx_network demo doctor"
).split()
CORE = (
    "data.labels.foreign writers.puma_challenge wsi.results.reading evaluation.report metrics.panoptic "
    "measures.measuring measures.cohort"
).split()


def without_torch(*arguments: str, code: str | None = None, folder: Path | None = None) -> subprocess.CompletedProcess:
    """`coseg` with these arguments, or some code, in a process as on a machine of the light installation."""
    if code is None:
        command = [sys.executable, str(HERE / "helpers" / "hidden.py"), *arguments]
    else:
        command = [sys.executable, "-c", f"import hidden; {code}"]
    paths = [str(HERE / "helpers"), str(HERE.parent), os.environ["PYTHONPATH"]]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder or HERE.parent, env=environment)


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Path:
    """A generated image of 160 x 192 px."""
    sample = synthetic_tissue(192, seed=5)
    path = tmp_path_factory.mktemp("light") / "image.png"
    Image.fromarray(sample.rgb[:160]).save(path)
    return path


@pytest.mark.parametrize(
    "hidden", ["torch", "monai.bundle", "sam2", "peft", "scipy", "skimage.measure", "pyarrow", "zarr"]
)
def test_what_is_hidden_is_not_there(hidden):
    done = without_torch(code=f"hidden.hide(); import {hidden}")
    assert "hidden by a test" in done.stderr


@pytest.mark.parametrize(("hidden", "modules"), [("HIDDEN", LIGHT), ("OF_TORCH", LIGHT + CORE)])
def test_the_core_imports(hidden, modules):
    imports = "; ".join(f"import coseg_bundle.{name}" for name in modules)
    done = without_torch(code=f"hidden.hide(hidden.{hidden}); {imports}")
    assert done.returncode == 0, done.stderr


def test_predict_without_torch_is_predict(image, tmp_path):
    """The released weights, in the released graph; PyTorch in this process."""
    from coseg_bundle.inferers import Predictor
    from coseg_bundle.metrics.panoptic import panoptic_quality

    done = without_torch("predict", str(image), "--output", str(tmp_path), "--mpp", "0.25")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "image.png"
    record = json.loads((folder / "summary.json").read_text())
    assert record["made_from"]["inference"]["engine"] == "onnx"
    prediction = Predictor.from_bundle(HERE.parent, device="cpu", engine="torch", precision="fp32").predict(
        np.asarray(Image.open(image)), 0.25
    )
    found = tifffile.imread(folder / "instances.tif").astype(np.int32)
    assert prediction.instance_map.max() > 3
    assert panoptic_quality(prediction.instance_map, found).pq > 0.99
    assert (tifffile.imread(folder / "tissue.tif") == prediction.tissue_map).mean() > 0.999


@pytest.fixture(scope="module")
def slide(image, tmp_path_factory) -> Path:
    """Four times the image, as OpenSlide's Aperio format, results beside it."""
    folder = tmp_path_factory.mktemp("slide")
    rgb = np.tile(np.asarray(Image.open(image)), (2, 2, 1))
    words = "Aperio Image Library v1.0\r\n384x320 |AppMag = 40|MPP = 0.25"
    tifffile.imwrite(folder / "slide.svs", rgb, tile=(64, 64), photometric="rgb", description=words, metadata=None)
    options = ["--tile-size", "256", "--halo", "32", "--workers", "1"]
    done = without_torch("slide", str(folder / "slide.svs"), "--output", str(folder / "results"), *options)
    assert done.returncode == 0, done.stderr
    assert "Nuclei as nuclei.csv: nuclei.parquet needs pyarrow; pip install 'coseg-bundle[full]'." in done.stderr
    return folder / "results" / "slide.svs"


def test_a_slide_in_the_light_installation(slide):
    """CSV in place of Parquet, and the same nuclei as in `nuclei.geojson`."""
    record = json.loads((slide / "summary.json").read_text())
    assert record["nuclei"] > 10
    assert record["precision"]["name"] == "fp32"
    rows = list(csv.DictReader((slide / "nuclei.csv").open()))
    features = json.loads((slide / "nuclei.geojson").read_text())["features"]
    assert len(rows) == len(features) == record["nuclei"]
    for row, feature in zip(rows, features, strict=True):
        (x, y), corners = (float(row["x"]), float(row["y"])), np.array(feature["geometry"]["coordinates"][0])
        assert (corners.min(0) < (x, y)).all()
        assert (corners.max(0) > (x, y)).all()
        assert float(row["area_um2"]) == feature["properties"]["measurements"]["Area um2"]
    assert not (slide / "nuclei.parquet").exists()


def test_a_slide_with_pyarrow_is_the_same(slide, tmp_path):
    """The outlines that scikit-image's watershed draws, and the same rows as Parquet."""
    import pyarrow.parquet as pq

    options = ["--tile-size", "256", "--halo", "32", "--workers", "1", "--engine", "onnx", "--output", str(tmp_path)]
    source = slide.parent.parent / "slide.svs"
    assert main(["slide", str(source), *options]) == 0
    other = tmp_path / "slide.svs"
    assert (other / "nuclei.geojson").read_bytes() == (slide / "nuclei.geojson").read_bytes()
    assert (other / "tissue.geojson").read_bytes() == (slide / "tissue.geojson").read_bytes()
    table = pq.read_table(other / "nuclei.parquet").to_pylist()
    rows = list(csv.DictReader((slide / "nuclei.csv").open()))
    assert [(row["id"], row["type"], row["tissue"]) for row in table] == [
        (int(row["id"]), row["type"], row["tissue"]) for row in rows
    ]
    np.testing.assert_allclose([row["x"] for row in table], [float(row["x"]) for row in rows], atol=0.005)


def test_what_was_written_without_pyarrow_says_so(slide):
    with pytest.raises(ResultsFolderError, match=r"its nuclei are in nuclei\.csv, since pyarrow was not installed"):
        FinishedSlide.open(slide)


@pytest.mark.parametrize(
    ("name", "options", "package"),
    [
        ("packed.tif", {"compression": "zstd"}, "imagecodecs"),
        ("rgba.tif", {"compression": "lzw", "extrasamples": ["unassalpha"]}, "imagecodecs"),
        ("image.nii.gz", {}, "nibabel"),
    ],
)
def test_images_that_need_more(name, options, package, tmp_path):
    import nibabel

    rgb = synthetic_tissue(64, seed=1).rgb
    if name.endswith("tif"):
        pixels = np.dstack([rgb, rgb[..., :1]]) if "extrasamples" in options else rgb
        tifffile.imwrite(tmp_path / name, pixels, photometric="rgb", **options)
    else:
        nibabel.save(nibabel.Nifti1Image(rgb[:, :, None], np.eye(4)), tmp_path / name)
    done = without_torch("predict", str(tmp_path / name), "--output", str(tmp_path / "results"))
    assert done.returncode == 1
    assert f"{name}: {package} is needed to read it; pip install 'coseg-bundle[full]'." in done.stderr + done.stdout


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "lzw"},
        {"compression": "lzw", "predictor": True, "bigtiff": True},
        {"compression": "lzw", "photometric": "minisblack"},
        {"compression": "lzw", "planarconfig": "separate"},
        {"compression": "jpeg", "tile": (64, 64)},
        {"compression": "jpeg", "subsampling": (2, 2), "tile": (64, 64)},
        {"compression": "jpeg", "compressionargs": {"outcolorspace": "rgb"}, "tile": (64, 64)},
        {"compression": "lzw", "smaller_first": True},
    ],
    ids=str,
)
def test_packed_tiff_by_pillow_is_the_same(options, tmp_path):
    """Where imagecodecs is missing, the same bytes; of several images the largest too."""
    options = {"photometric": "rgb", **options}
    rgb = synthetic_tissue(160, seed=5).rgb[:150]
    pixels = rgb[..., 1] if options["photometric"] == "minisblack" else rgb
    pixels = np.moveaxis(rgb, 2, 0).copy() if "planarconfig" in options else pixels
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path, bigtiff=options.pop("bigtiff", False)) as writer:
        if options.pop("smaller_first", False):
            writer.write(pixels[::4, ::4], **options)
        writer.write(pixels, **options)
    code = f"""hidden.hide(hidden.OF_FULL)
from pathlib import Path
import numpy as np
from coseg_bundle.data.images import read_image
np.save("without.npy", read_image({str(path)!r}).rgb)"""
    done = without_torch(code=code, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "without.npy"), read_image(path).rgb)


def test_a_tiff_slide_needs_more(image, tmp_path):
    tifffile.imwrite(tmp_path / "slide.tif", np.asarray(Image.open(image)), tile=(64, 64), photometric="rgb")
    done = without_torch("slide", str(tmp_path / "slide.tif"), "--mpp", "0.25", "--output", str(tmp_path / "results"))
    assert done.returncode == 1
    assert "slide.tif: zarr is needed to read it; pip install 'coseg-bundle[full]'." in done.stderr + done.stdout


@pytest.mark.parametrize("command", ["measure", "evaluate"])
def test_commands_of_the_full_installation(command, slide, tmp_path):
    arguments = {"measure": [str(slide)], "evaluate": ["--predictions", str(slide), "--truth", "x", "--output", "y"]}
    done = without_torch(command, *arguments[command], folder=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "pip install 'coseg-bundle[full]'" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--engine", "torch"], "The engine torch needs torch, which is not installed; pip install"),
        (["--precision", "bf16"], "the engine onnx computes in full precision; got bf16"),
        (["--device", "cuda"], "Device 'cuda' cannot be used: this onnxruntime knows the CPU"),
    ],
)
def test_what_only_torch_can_do(image, tmp_path, arguments, words):
    done = without_torch("predict", str(image), "--output", str(tmp_path), *arguments)
    assert done.returncode == 1
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_command_that_needs_torch(tmp_path):
    done = without_torch("export", "--output", "model.onnx", folder=tmp_path)
    assert (done.returncode, done.stderr) == (
        1,
        "coseg: this needs torch, which is not installed; pip install 'coseg-bundle[torch]'.\n",
    )


def test_doctor_without_torch(tmp_path):
    done = without_torch("doctor", folder=tmp_path)
    assert "Traceback" not in done.stderr
    assert "cores; onnxruntime computes in full precision" in done.stdout
    assert "SHA-256" in done.stdout
