import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
import standin
import tifffile
from maps import discs

from coseg_bundle.cli import main

spatialdata = pytest.importorskip("spatialdata", reason="needs the extra spatialdata")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = standin.two_classes(tmp_path_factory.mktemp("spatialdata"), discs(700, 700, seed=5)[:650])
    for _ in range(2):  # the second one replaces the first
        assert main(["convert", str(folder), "--to", "spatialdata"]) == 0
    return folder


@pytest.fixture(scope="module")
def data(results):
    return spatialdata.read_zarr(results / "spatialdata.zarr")


def test_nuclei_are_those_of_the_table(results, data):
    rows = pq.read_table(results / "nuclei.parquet")
    shapes, table = data.shapes["nuclei"], data.tables["nuclei_table"]
    assert len(shapes) == table.n_obs == rows.num_rows > 100
    assert shapely.equals_exact(shapes.geometry.to_numpy(), shapely.from_wkb(rows["geometry"].to_numpy())).all()
    assert shapes.index.tolist() == table.obs["id"].tolist() == rows["id"].to_pylist()
    assert table.obs["class"].tolist() == rows["type"].to_pylist()
    assert table.obs["tissue"].tolist() == rows["tissue"].to_pylist()
    assert set(table.obs["class"]) == {"type 0", "type 1"}
    np.testing.assert_array_equal(table[:, "area_um2"].X[:, 0], rows["area_um2"].to_numpy())
    np.testing.assert_allclose(table.obsm["spatial"][:, 0], rows["x"].to_numpy())


def test_a_nucleus_and_its_row_belong_together(data):
    nuclei, table = spatialdata.join_spatialelement_table(
        sdata=data, spatial_element_names="nuclei", table_name="nuclei_table", how="inner"
    )
    areas = nuclei["nuclei"].geometry.area.to_numpy() * standin.MPP**2
    np.testing.assert_allclose(areas, table[:, "area_um2"].X[:, 0], rtol=0.05)


def test_sopa_finds_the_nuclei(data):
    """By the attribute that sopa 2.2.11 looks for; with sopa itself where it is installed."""
    assert data.attrs["boundaries_shapes"] == "nuclei"
    sopa = pytest.importorskip("sopa", reason="needs sopa")
    key, boundaries = sopa.utils.get_boundaries(data, return_key=True)
    assert key == "nuclei"
    assert len(boundaries) == len(data.shapes["nuclei"])


def test_tissue_is_the_map_in_pixels_of_level_0(results, data):
    tissue = tifffile.imread(results / "tissue.ome.tif")
    np.testing.assert_array_equal(np.asarray(data.labels["tissue_labels"]), tissue)
    assert data.attrs["coseg"]["tissue_classes"] == ["background", "gland"]
    extent = spatialdata.get_extent(data.labels["tissue_labels"], coordinate_system="global")
    assert extent["x"] == pytest.approx((0, 4 * tissue.shape[1]))
    regions = data.shapes["tissue"]
    features = json.loads((results / "tissue.geojson").read_text())["features"]
    assert len(regions) == len(features) > 0
    assert set(regions["class"]) == {"gland"}
    assert regions.geometry.area.sum() == pytest.approx(16 * (tissue == 1).sum(), rel=0.02)


def test_slide_without_nuclei(tmp_path):
    folder = standin.two_classes(tmp_path, np.zeros((300, 300), np.int32))
    assert main(["convert", str(folder), "--to", "spatialdata"]) == 0
    data = spatialdata.read_zarr(folder / "spatialdata.zarr")
    assert "nuclei" not in data.shapes
    assert "boundaries_shapes" not in data.attrs
    assert list(data.labels) == ["tissue_labels"]


def test_tissue_that_was_left_out(tmp_path):
    folder = standin.two_classes(tmp_path, discs(300, 300, seed=5)[:300], ("tissue",))
    assert main(["convert", str(folder), "--to", "spatialdata"]) == 0
    data = spatialdata.read_zarr(folder / "spatialdata.zarr")
    assert (list(data.labels), list(data.shapes)) == ([], ["nuclei"])
    assert set(data.tables["nuclei_table"].obs["tissue"]) == {"untrained"}


def test_what_a_person_added_is_not_replaced(results, tmp_path, capsys):
    """Their shapes were deleted by the next conversion; those of former versions, without `content`, are replaced."""
    folder = tmp_path / "results"
    shutil.copytree(results, folder)
    path = folder / "spatialdata.zarr"
    data = spatialdata.read_zarr(path)
    del data.attrs["coseg"]["content"]
    data.write_attrs()
    assert main(["convert", str(folder), "--to", "spatialdata"]) == 0
    data = spatialdata.read_zarr(path)
    assert set(data.attrs["coseg"]["content"]) == {"labels", "shapes", "tables"}
    data["my_annotations"] = data["tissue"]
    data.write_element("my_annotations")
    capsys.readouterr()
    assert main(["convert", str(folder), "--to", "spatialdata"]) == 1
    assert "spatialdata.zarr is not as coseg convert wrote it" in capsys.readouterr().err
    assert "my_annotations" in spatialdata.read_zarr(path).shapes
