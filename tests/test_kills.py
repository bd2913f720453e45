"""Twenty kills at random writes of a slide's run, a conversion, PUMA's preparation, a training: the same in the end."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import standin
import torch
from killed import KILLED, MOMENTS, count_writes, files_of, killed_at, survives
from maps import discs
from PIL import Image

from coseg_bundle.atomic import whole_file
from coseg_bundle.wsi.pipeline import RUN, run_slides
from coseg_bundle.wsi.run.workers import InlineWorkers

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a copy of the process")


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_kill_by_hand(tmp_path, moment):
    """The second of three files: only `after` leaves it, and no moment leaves half of one under its name."""

    def work():
        for name in "abc":
            with whole_file(tmp_path / name) as partial:
                partial.write_text(name * 10)

    assert killed_at(2, moment, work)
    whole = {path.name: path.read_text() for path in tmp_path.iterdir() if not path.name.startswith(".")}
    assert whole == {"a": "a" * 10} | ({"b": "b" * 10} if moment == "after" else {})
    assert not killed_at(9, moment, work)
    assert {(tmp_path / name).read_text() for name in "abc"} == {"a" * 10, "b" * 10, "c" * 10}
    assert KILLED not in (0, 1)


def test_another_end_is_no_kill(tmp_path, capfd):
    def fails():
        raise KeyError("x")

    with pytest.raises(AssertionError, match="the run ended with 1"):
        killed_at(1, "before", fails)
    assert "KeyError" in capfd.readouterr().err


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    """Nine tiles."""
    torch.set_num_threads(1)
    instances = discs(400, 150, seed=3)
    return standin.write_slide(tmp_path_factory.mktemp("slide") / "slide.tif", standin.paint(instances))


def segment(slide: Path, folder: Path) -> None:
    workers = InlineWorkers(standin.predictor)
    sizes = {"tile_px": 192, "halo_px": 32, "batch_size": 2}
    [result] = run_slides([slide], [folder / "slide"], workers, standin.predictor(), resume=True, **sizes)
    assert result.error is None, result.error


def test_slide(slide, tmp_path):
    writes = count_writes(tmp_path / "whole", lambda folder: segment(slide, folder))
    assert writes > 12
    expected = files_of(tmp_path / "whole", (RUN,))
    for folder in survives(tmp_path, lambda folder: segment(slide, folder), writes):
        assert files_of(folder, (RUN,)) == expected


def test_convert(slide, tmp_path):
    pytest.importorskip("highdicom")
    from coseg_bundle.cli import main

    segment(slide, tmp_path)

    def convert(folder):
        if not (folder / "slide" / "summary.json").exists():
            (folder / "slide").mkdir(exist_ok=True)
            for name, content in results.items():
                (folder / name).write_bytes(content)
        assert main(["convert", str(folder / "slide"), "--to", "dicom"]) == 0

    results = {name: content for name, content in files_of(tmp_path).items() if "/.work/" not in name}
    (tmp_path / "whole").mkdir()
    writes = count_writes(tmp_path / "whole", convert)
    assert writes == 2
    expected = _said(tmp_path / "whole" / "slide")
    for folder in survives(tmp_path, convert, writes):
        assert _said(folder / "slide") == expected


def _said(folder):
    """Names of the files, and what those of DICOM hold; each conversion has a time and identities of its own."""
    import pydicom

    nuclei, tissue = (pydicom.dcmread(folder / name) for name in ("nuclei.dcm", "tissue.dcm"))
    outlines = [
        group.DoublePointCoordinatesData
        for group in nuclei.AnnotationGroupSequence
        if "DoublePointCoordinatesData" in group
    ]
    outlines += [
        group.PointCoordinatesData for group in nuclei.AnnotationGroupSequence if "PointCoordinatesData" in group
    ]
    assert outlines
    return sorted(path.name for path in folder.iterdir()), outlines, tissue.PixelData


def test_puma_prepare(tmp_path):
    from coseg_bundle.cli import main

    for number in range(4):
        x = 3 + 4 * number
        ring = [[x, 5], [x + 9, 5], [x + 9, 20], [x, 20], [x, 5]]
        for kind, name in (("nuclei", "nuclei_tumor"), ("tissue", "tissue_stroma")):
            feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}}
            feature["properties"] = {"classification": {"name": name}}
            path = tmp_path / "source" / f"roi_{number}_{kind}.geojson"
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
        Image.fromarray(np.full((32, 40, 3), 200, np.uint8)).save(tmp_path / "source" / f"roi_{number}.png")

    def prepare(folder):
        assert main(["puma", "prepare", str(tmp_path / "source"), str(folder), "--workers", "1"]) == 0

    writes = count_writes(tmp_path / "whole", prepare)
    assert writes == 4 * 4 + 2  # three maps and a report of each region, the datalist, the report
    expected = files_of(tmp_path / "whole")
    for folder in survives(tmp_path, prepare, writes):
        assert files_of(folder) == expected


def test_training(tmp_path):
    """A checkpoint after every step; what the last one holds, and the losses, are those of the undisturbed training."""
    from tiny_training import Training, write_after_every_step

    def train(folder):
        training = write_after_every_step(Training(folder / "last.pt"))
        training.run()
        (folder / "result.json").write_text(json.dumps(training.result()))

    (tmp_path / "whole").mkdir()
    writes = count_writes(tmp_path / "whole", train)
    assert writes > 20
    expected = (tmp_path / "whole" / "result.json").read_bytes()
    for folder in survives(tmp_path, train, writes):
        assert (folder / "result.json").read_bytes() == expected
        assert {path.name for path in folder.iterdir()} == {"last.pt", "result.json"}
