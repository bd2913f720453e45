"""The blocks of docs/how-to/readers.md, run as they stand there; each where its reader is installed.

Run by hand with the versions that the page names; of these readers the pinned environment has highdicom alone.
"""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import standin
import tifffile
from maps import discs

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "readers.md"
BLOCKS = [
    (section.splitlines()[0], block)
    for section in re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.M)[1:]
    for block in re.findall(r"^```python\n(.*?)^```", section, flags=re.M | re.S)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """`slide.svs` and `results/slide.svs`, as the page calls them."""
    made = tmp_path_factory.mktemp("readers")
    standin.two_classes(made, discs(700, 700, seed=5)[:650]).rename(made / "slide.svs")
    (made / "results").mkdir()
    (made / "slide.svs").rename(made / "results" / "slide.svs")
    (made / "slide.tif").rename(made / "slide.svs")
    return made


def test_every_reader_has_a_block():
    assert [name for name, _ in BLOCKS] == [
        "geopandas",
        "DuckDB",
        "Polars",
        "GDAL",
        "SpatialData and sopa",
        "LazySlide",
        "napari",
        "DICOM",
        "histolytics",
    ]


@pytest.mark.parametrize(("name", "block"), BLOCKS, ids=[name for name, _ in BLOCKS])
def test_a_block_runs(folder, monkeypatch, name, block):
    needed = re.findall(r"^import (\w+)", block, flags=re.M)
    if absent := [module for module in needed if importlib.util.find_spec(module) is None]:
        pytest.skip(f"needs {', '.join(absent)}")
    monkeypatch.chdir(folder)
    if kind := {"SpatialData and sopa": "spatialdata", "DICOM": "dicom"}.get(name):
        from coseg_bundle.cli import main

        assert main(["convert", "results/slide.svs", "--to", kind]) == 0
    values: dict[str, object] = {}
    exec(block, values)  # the page's own text
    rows = pq.read_metadata("results/slide.svs/nuclei.parquet").num_rows
    if name in ("SpatialData and sopa", "histolytics"):
        assert len(values["nuclei"]) == rows
    elif name == "napari":
        assert list(values["layer"][1]["scale"]) == [1.0, 1.0]
    elif name == "DICOM":
        assert sum(group.number_of_annotations for group in values["nuclei"]) == rows
        whole = tifffile.imread("results/slide.svs/tissue.ome.tif")
        assert np.array_equal(values["tissue"], whole)
    elif name == "LazySlide":
        assert len(values["wsi"].shapes["nuclei"]) == rows
    else:
        assert len(next(values[key] for key in ("nuclei", "counts", "areas", "tissue") if key in values)) > 0
