import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import standin
from maps import discs
from PIL import Image

from coseg_bundle.commands.segmenting.slide import describe
from coseg_bundle.writers.summary import doubts
from coseg_bundle.wsi.pipeline import SlideResult
from coseg_bundle.wsi.results.nuclei_files import NucleiStatistics
from coseg_bundle.wsi.results.reading import FinishedSlide

FILES = {"nuclei.parquet", "nuclei.geojson", "tissue.ome.tif", "tissue.geojson"}


@pytest.mark.parametrize(
    ("untrained", "absent", "panels"),
    [
        ((), set(), 3),
        (("tissue",), {"tissue.ome.tif", "tissue.geojson"}, 2),
        (("types",), set(), 3),
        (("nuclei", "types"), {"nuclei.parquet", "nuclei.geojson"}, 2),
    ],
)
def test_no_file_says_what_nobody_taught(tmp_path, untrained, absent, panels):
    instances = discs(300, 300, seed=5)[:300]
    if untrained:  # files of an earlier run with other weights are in the way
        standin.two_classes(tmp_path, instances)
    folder = standin.two_classes(tmp_path, instances, untrained, overwrite=True)
    assert {path.name for path in folder.iterdir()} & FILES == FILES - absent
    finished = FinishedSlide.open(folder)
    summary = finished.summary
    assert finished.untrained == tuple(summary["untrained"]) == untrained
    width = (Image.open(folder / "overview.png").width - 10 * panels) / panels
    assert width == int(width)
    assert Image.open(folder / "overview.png").width // panels > 290
    lines = describe(SlideResult(folder, folder, summary | {"doubts": ["too small"]}, {"total": 1.0}))
    assert "  too small (--mpp)" in lines
    assert any("trained without labels" in line for line in lines) == bool(untrained)
    tissue = "untrained" if "tissue" in untrained else "gland"
    assert tissue in summary["nuclei_by_tissue"]
    if "nuclei" in untrained:
        assert (summary["nuclei"], summary["nuclei_by_class"]) == (0, {"untrained": 0})
        assert list(finished.nuclei()) == []
        return
    table = pq.read_table(folder / "nuclei.parquet")
    [doubt] = doubts(table.num_rows, float(np.median(table["area_um2"])))
    assert summary["doubts"] == [doubt]
    assert table.num_rows == summary["nuclei"] > 20
    assert set(table["type"].to_pylist()) == ({"nucleus"} if "types" in untrained else {"type 0", "type 1"})
    assert ("untrained" in table["tissue"].to_pylist()) == ("tissue" in untrained)
    assert (table["tissue_border_um"].null_count == table.num_rows) == ("tissue" in untrained)
    assert (table["type_prob"].null_count == table.num_rows) == ("types" in untrained)
    feature = json.loads((folder / "nuclei.geojson").read_text())["features"][0]["properties"]
    assert ("Tissue border um" in feature["measurements"]) == ("tissue" not in untrained)


def test_what_is_left_out_is_not_missing_without_a_reason(tmp_path):
    folder = standin.two_classes(tmp_path, np.zeros((300, 300), np.int32), ("tissue",))
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps({**summary, "untrained": []}))
    with pytest.raises(ValueError, match="no finished slide .tissue.ome.tif is missing."):
        FinishedSlide.open(folder)


def test_the_middle_area_of_many_nuclei_by_hand():
    """Of 3, 5 and 9 um wide ones the middle one is 5 um wide, in steps of 0.1 um."""
    statistics = NucleiStatistics(np.array([0, 3]), *[np.zeros(0, np.int64)] * 2, 1.0, np.zeros(0, np.int64), [])
    statistics.count_widths(np.pi * np.array([3.04, 9.0, 5.04]) ** 2 / 4)
    assert statistics.middle_area_um2 == pytest.approx(np.pi * 5.05**2 / 4)
    statistics.count_widths(np.array([1e6] * 4))  # wider than the last step
    statistics.by_class[1] += 4
    assert statistics.middle_area_um2 == pytest.approx(np.pi * 29.95**2 / 4)
