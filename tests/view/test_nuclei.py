from __future__ import annotations

import csv

import numpy as np
import pytest
from view_results import TISSUES, TYPES, places, ring

from coseg_bundle.view.nuclei import UNKNOWN, joined, no_nuclei, read_csv, read_measures, read_parquet, taken


@pytest.fixture
def nuclei(folder):
    return read_parquet(folder / "nuclei.parquet", TYPES, TISSUES, 200)


def test_rows_are_those_of_the_file(nuclei):
    assert len(nuclei) == 24
    assert nuclei.points_xy.tolist() == places().tolist()
    assert nuclei.ids.tolist() == list(range(1, 25))
    assert nuclei.columns["type"].values[:7].tolist() == [1, 2, 1, 2, 1, 2, 2]
    assert nuclei.columns["tissue"].values[:6].tolist() == [1, 1, 1, 0, 0, 0]
    assert np.isnan(nuclei.columns["disagreement"].values[3])
    assert nuclei.columns["area_um2"].label == "Area, µm²"


def test_outlines_of_a_cell_by_hand(nuclei):
    raw = nuclei.packed_outlines(1, 0)  # x 200 to 400, y 0 to 200: the third and fourth of the first two rows
    count, points = np.frombuffer(raw, "<u4", 2)
    assert (count, points) == (4, 16)
    assert np.frombuffer(raw, "<u4", 4, 8).tolist() == [2, 3, 8, 9]
    assert np.frombuffer(raw, "<u4", 5, 24).tolist() == [0, 4, 8, 12, 16]
    outline = np.frombuffer(raw, "<f4", 8, 44).reshape(4, 2)
    assert {tuple(point) for point in outline.tolist()} == {tuple(point) for point in ring(250, 50).tolist()}


def test_every_nucleus_is_in_one_cell(nuclei):
    rows = np.concatenate([nuclei.rows_of(*cell) for cell in nuclei.cells()])
    assert sorted(rows.tolist()) == list(range(24))


@pytest.mark.parametrize("cell", [(9, 0), (0, 9), (-1, 0), (0, -1)])
def test_a_cell_outside_is_empty(nuclei, cell):
    assert nuclei.packed_outlines(*cell) == np.array([0, 0, 0], "<u4").tobytes()


def test_some_of_several_outlines():
    rings = joined([np.array([[0, 0], [1, 0], [1, 1]]), np.array([[5, 5], [6, 5]]), np.array([[9, 9]])])
    offsets, points = taken(rings, np.array([2, 0]))
    assert offsets.tolist() == [0, 1, 4]
    assert points.tolist() == [[9, 9], [0, 0], [1, 0], [1, 1]]


@pytest.fixture
def image_files(tmp_path):
    names = "instance_id centroid_x centroid_y area_px area_um2 type type_prob tissue".split()
    rows = [[7, 10.5, 20, 30, "", "tumour", 0.9, "gland"], [9, 40, 50, 31, "", "other", "", ""]]
    with (tmp_path / "nuclei.csv").open("w", newline="") as file:
        csv.writer(file).writerows([names, *rows])
    features = [
        f'{{"type":"Feature","geometry":{{"type":"Polygon","coordinates":[[[{x},0],[1,1],[2,2],[{x},0]]]}}}}'
        for x in (3, 4)
    ]
    (tmp_path / "nuclei.geojson").write_text(f'{{"type":"FeatureCollection","features":[{",".join(features)}]}}')
    return tmp_path / "nuclei.csv", tmp_path / "nuclei.geojson"


def test_an_images_table_by_hand(image_files):
    nuclei = read_csv(*image_files, TYPES, TISSUES, 100)
    assert nuclei.points_xy.tolist() == [[10.5, 20], [40, 50]]
    assert nuclei.ids.tolist() == [7, 9]
    assert nuclei.columns["type"].values.tolist() == [1, 2]
    assert nuclei.columns["tissue"].values.tolist() == [1, UNKNOWN]
    assert np.isnan(nuclei.columns["type_prob"].values[1])
    assert nuclei.outlines(np.array([1]))[1].tolist() == [[4, 0], [1, 1], [2, 2]]


def test_a_table_without_rows(image_files):
    image_files[0].write_text(image_files[0].read_text().splitlines()[0] + "\n")
    image_files[1].write_text('{"type":"FeatureCollection","features":[]}')
    nuclei = read_csv(*image_files, TYPES, TISSUES, 100)
    assert len(nuclei) == 0
    assert nuclei.cells() == []


@pytest.mark.parametrize("text", ["", "hello, world\n", "instance_id,centroid_x,centroid_y\n1,2\n"])
def test_a_damaged_table_is_one_sentence(image_files, text):
    image_files[0].write_text(text)
    with pytest.raises(ValueError, match=r"is damaged: its columns are not those of nuclei; make the results anew"):
        read_csv(*image_files, TYPES, TISSUES, 100)


def test_outlines_of_another_table_are_refused(image_files):
    image_files[1].write_text('{"type":"FeatureCollection","features":[]}')
    nuclei = read_csv(*image_files, TYPES, TISSUES, 100)
    with pytest.raises(ValueError, match="has 0 nuclei, and the table beside it 2"):
        nuclei.outlines(np.array([0]))


@pytest.fixture
def measures(nuclei, tmp_path):
    """A table about three of the nuclei, in another order."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def write(ids, shift=0.0, **columns):
        rows = np.array(ids) - 1
        x, y = (nuclei.points_xy[rows] + shift).T
        pq.write_table(pa.table({"id": ids, "x": x, "y": y, **columns}), tmp_path / "measures.parquet")
        return tmp_path / "measures.parquet"

    return write


def test_measures_join_by_id(nuclei, measures):
    path = measures([5, 2, 9], density_um2=[0.5, 0.2, 0.9], area_um2=[1.0, 1.0, 1.0], region=["a", "b", "c"])
    joined_table = read_measures(path, nuclei)
    values = joined_table.columns["density_um2"].values
    assert values[[4, 1, 8]].tolist() == pytest.approx([0.5, 0.2, 0.9])
    assert np.isnan(values).sum() == 21
    assert joined_table.columns["area_um2"] is nuclei.columns["area_um2"]
    assert "region" not in joined_table.columns


def test_measures_of_other_nuclei_are_refused(nuclei, measures):
    with pytest.raises(ValueError, match="it is about other nuclei"):
        read_measures(measures([1, 2], shift=3.0), nuclei)
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = measures([1])
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(ValueError, match="it has no id, x and y"):
        read_measures(path, nuclei)


def test_a_network_without_nuclei():
    nuclei = no_nuclei(TYPES, TISSUES, 100)
    assert len(nuclei) == 0
    assert nuclei.packed_outlines(0, 0) == np.array([0, 0, 0], "<u4").tobytes()
