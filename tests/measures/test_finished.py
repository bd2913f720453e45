import json
import shutil

import numpy as np
import pytest
import shapely
from maps import discs
from standin import two_classes

from coseg_bundle.classes import ClassMap
from coseg_bundle.measures.files import NUCLEI
from coseg_bundle.measures.finished import finished_image, finished_slide
from coseg_bundle.measures.groups.areas import TissuePlane
from coseg_bundle.measures.measuring import Wanted, measure
from coseg_bundle.measures.source import Source
from coseg_bundle.writers.folders import ResultsFolderError
from coseg_bundle.writers.nuclei_table import nuclei_columns
from coseg_bundle.writers.summary import circle_width


@pytest.mark.parametrize(
    ("untrained", "remedy"),
    [
        (["tissue"], r"measure its nuclei alone with `coseg measure .*nuclei\.geojson --slide SLIDE --output DIR`, or"),
        (["tissue", "types"], "segment it with weights that know both"),
        (["nuclei"], "segment it with weights that know both"),
    ],
)
def test_a_task_that_nobody_taught(tmp_path, untrained, remedy):
    (tmp_path / "summary.json").write_text(json.dumps({"untrained": untrained}))
    (tmp_path / "nuclei.geojson").write_text("{}")
    said = f"not trained for {' and '.join(untrained)}, and measures need nuclei and tissue; {remedy}"
    with pytest.raises(ResultsFolderError, match=said), finished_image(tmp_path):
        pass


@pytest.mark.parametrize(("mpp", "wide", "again"), [(0.25, True, False), (0.5, False, True), (1.0, True, True)])
def test_the_resolution_that_is_given_is_doubted_and_not_that_of_the_network(tmp_path, image, mpp, wide, again):
    """Nuclei of 13.8 px: too small at 0.25 um, which the network took for theirs, right at 0.5, and too large at 1."""
    folder = tmp_path / "image.png"
    shutil.copytree(image, folder)
    former = "the nuclei are 3.4 um wide, those of tissue 3.5 to 8.5: is the resolution right?"
    summary = json.loads((folder / "summary.json").read_text())
    said = {"mpp": None, "network_mpp": 0.25, "doubts": [former]}
    (folder / "summary.json").write_text(json.dumps(summary | said))
    with finished_image(folder, mpp=mpp) as source:
        found = source.about["doubts"]
        [rows] = source.nuclei(("area_um2",))
    width = round(float(circle_width(np.median(rows["area_um2"].to_numpy()))), 1)
    expected = [f"the nuclei are {width} um wide, those of tissue 3.5 to 8.5: is the resolution right?"] * wide
    expected += [
        f"the image was segmented as one of 0.25 um per pixel, and {mpp:g} was given: segment it again with coseg "
        f"predict --mpp {mpp:g}"
    ] * again
    assert found == expected
    (folder / "summary.json").write_text(json.dumps(summary | said | {"mpp": 0.25}))
    with finished_image(folder, mpp=mpp) as source:
        assert source.about["doubts"] == [former]  # of the image's own resolution


@pytest.mark.parametrize(("mpp", "pixel_px"), [(0.125, 2.0), (0.25, 1.0), (0.27, 1.0), (0.5, 0.5), (None, 1.0)])
def test_outlines_follow_the_pixels_of_the_network(tmp_path, image, mpp, pixel_px):
    """At 0.27 um an image is segmented as it is."""
    folder = tmp_path / "image.png"
    shutil.copytree(image, folder)
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps(summary | {"mpp": mpp, "network_mpp": 0.25}))
    with finished_image(folder, mpp=mpp or 0.25) as source:
        assert source.outline_px == pixel_px


def test_a_slide_that_ends_within_a_pixel_of_its_tissue_map(tmp_path):
    """What of the map's pixels lies behind the slide is nobody's: in the summary, and where regions part the slide."""
    folder = two_classes(tmp_path, discs(310, 40, seed=1)[:205, :302])  # pixels of 1 um are 4 wide
    areas = json.loads((folder / "summary.json").read_text())["tissue_area_um2"]
    drawn = json.loads((folder / "tissue.geojson").read_text())["features"]
    assert areas["gland"] > 1000
    assert areas["gland"] == pytest.approx(
        sum(shapely.geometry.shape(feature["geometry"]).area for feature in drawn) / 16, abs=0.06
    )
    halves = [shapely.geometry.mapping(shapely.box(*box)) for box in ((0, 0, 99, 205), (99, 0, 302, 205))]
    regions = tmp_path / "regions.geojson"
    features = [{"type": "Feature", "geometry": half, "properties": {}} for half in halves]
    regions.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    with finished_slide(folder) as source:
        tables = measure(source, tmp_path, Wanted(stains=False, regions=regions)).tables
    assert tables["regions"]["area_mm2"].sum() == pytest.approx(tables["slide"]["area_mm2"][0], rel=1e-12)


def _some(rows, columns):
    return rows if columns is None else rows.select(list(columns))


def test_tumour_behind_the_border_of_a_run(tmp_path):
    """Tumour left of x = 20 and, where nobody looked, from 150 on: 50 um from a nucleus that sees the former at 80."""
    import pyarrow.parquet as pq

    classes = np.ones((100, 300), np.uint8)
    classes[:, :20] = classes[:, 150:] = 0
    tissue, nuclei = ClassMap(("tumor", "stroma")), ClassMap(("background", "lymphocyte", "other"))
    x = np.array([40.0, 100.0])
    unknown = dict.fromkeys(("type_prob", "nuclei_prob", "disagreement", "tissue_border_um"), np.full(2, np.nan))
    rows = nuclei_columns(
        {"id": np.arange(2), "geometry": shapely.buffer(shapely.points(x, [50, 50]), 3), "x": x, "y": np.full(2, 50.0)}
        | {"area_um2": np.full(2, 28.0), **unknown},
        np.array([1, 1]),
        np.array([1, 1]),
        nuclei,
        tissue,
    )
    region = shapely.box(0, 0, 140, 100)
    plane = TissuePlane(lambda b: classes[b.y0 : b.y1, b.x0 : b.x1], (100, 300), 1.0, 1.0, within=(region,))
    path = tmp_path / "n.geojson"
    path.write_text("{}")
    source = Source(
        path, "geojson", None, 1.0, (300, 100), nuclei, tissue, lambda c: iter([_some(rows, c)]), 2, plane, 0.0
    )
    slide = measure(source, tmp_path, Wanted()).tables["slide"]
    assert pq.read_table(tmp_path / NUCLEI)["tumor_um"].to_pylist() == [20.5, None]  # its pixel has its centre at 40.5
    assert slide["infiltration_50um_per_mm2"][0] == pytest.approx(1 / (50 * 100e-6))
    assert slide["infiltration_100um_per_mm2"][0] == pytest.approx(2 / (100 * 100e-6))  # both are within 100 um of some
