import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import tifffile
from PIL import Image
from scn import CANVAS, CORNER, write_scn
from standin import write_slide

from coseg_bundle.cli import main
from coseg_bundle.data.images import ImageFileError
from coseg_bundle.measures.cohort import SLIDES
from coseg_bundle.measures.files import NUCLEI, read_rows
from coseg_bundle.measures.foreign.label_map import label_map_nuclei
from coseg_bundle.measures.measuring import Wanted, measure
from coseg_bundle.measures.opening import image_in, open_source

STAINED, NUCLEUS = (225, 150, 190), (90, 50, 140)


@pytest.fixture
def masks(tmp_path):
    """Three nuclei of 8 x 6, 4 x 4 and 10 x 10 px on a slide of 0.5 um, the last one of two parts and with a hole."""
    label = np.zeros((200, 300), np.uint16)
    label[20:26, 30:38], label[100:104, 200:204], label[150:160, 50:60], label[150:152, 70:72] = 1, 7, 9, 9
    label[154, 54] = 0
    rgb = np.full((200, 300, 3), STAINED, np.uint8)
    rgb[label > 0] = NUCLEUS
    slide = write_slide(tmp_path / "a.tif", rgb, 0.5)
    tifffile.imwrite(tmp_path / "a_cp_masks.tif", label)
    return tmp_path / "a_cp_masks.tif", slide


def test_nuclei_of_a_label_map_by_hand(masks, tmp_path):
    with label_map_nuclei(*masks) as source:
        found = measure(source, tmp_path, Wanted())
    rows = pq.read_table(tmp_path / NUCLEI)
    assert rows["id"].to_pylist() == [1, 7, 9]
    assert rows["area_um2"].to_pylist() == [48 / 4, 16 / 4, (100 - 1 + 4) / 4]
    assert (rows["x"].to_pylist()[:2], rows["y"].to_pylist()[:2]) == ([34, 202], [23, 102])
    assert rows["perimeter_um"].to_pylist()[1] == pytest.approx(7.3, abs=0.8)  # a square of 2 um, its corners cut
    assert min(rows["haematoxylin_od"].to_pylist()) > 0.4
    assert found.tables["slide"]["nuclei"][0] == 3
    assert found.record["left_out"] == [
        "holes and loose parts of 1 nuclei, in their outlines and shapes; areas are of their pixels"
    ]


def test_a_label_map_without_its_slide(masks, tmp_path):
    with pytest.raises(ImageFileError, match=r"a_cp_masks\.tif does not say microns per pixel; give them with --mpp"):
        with label_map_nuclei(masks[0]):
            pass
    with open_source(masks[0], mpp=0.5) as source:
        found = measure(source, tmp_path, Wanted())
    assert (source.count, found.tables["slide"]["nuclei"][0]) == (3, 3)
    assert np.isnan(found.tables["slide"]["area_mm2"][0])


def test_a_map_of_another_size_is_refused(masks, tmp_path):
    tifffile.imwrite(tmp_path / "half.tif", np.eye(100, 150, dtype=np.uint16))
    with pytest.raises(ImageFileError, match="300 x 200 pixels, got 150 x 100; save the map at the full resolution"):
        with label_map_nuclei(tmp_path / "half.tif", masks[1]):
            pass


def test_a_map_of_the_whole_glass(tmp_path):
    slide = write_scn(tmp_path / "a.scn", np.full((256, 512, 3), STAINED, np.uint8))
    label = np.zeros(CANVAS[::-1], np.uint16)
    label[CORNER[1] + 20 : CORNER[1] + 30, CORNER[0] + 40 : CORNER[0] + 50] = 1
    tifffile.imwrite(tmp_path / "a.tif", label)
    with pytest.raises(ImageFileError, match=r"got 2048 x 1536; give --origin canvas\."):
        with label_map_nuclei(tmp_path / "a.tif", slide, 0.25):
            pass
    with label_map_nuclei(tmp_path / "a.tif", slide, 0.25, "canvas") as source:
        found = measure(source, tmp_path, Wanted())
    assert found.tables["slide"]["nuclei_per_mm2"][0] == pytest.approx(1 / (256 * 512 * 0.25**2 / 1e6), rel=0.1)


def test_another_image_under_the_name_of_the_one_that_was_measured(masks, tmp_path, capsys):
    """Its areas and colours stayed, and nothing said so."""
    label, slide = masks
    cohort = tmp_path / "out"
    assert main(["measure", str(label), "--slide", str(slide), "--output", str(cohort)]) == 0
    before = read_rows(cohort / SLIDES)[0]["area_mm2"]
    rgb = np.full((200, 300, 3), 240, np.uint8)
    rgb[:120] = STAINED
    write_slide(slide, rgb, 0.5)
    assert main(["report", str(cohort)]) == 0
    assert float(read_rows(cohort / SLIDES)[0]["area_mm2"]) < 0.8 * float(before)


def test_what_is_unlabelled_is_no_tissue(masks, tmp_path):
    """As outside of a GeoJSON's `Region*`: half of the density came out."""
    label, slide = masks
    half = tifffile.imread(label).astype(np.int32)
    half[:, 100:] = -1
    half[30:40, 20:30] = -1
    tifffile.imwrite(tmp_path / "half.tif", half)
    with label_map_nuclei(tmp_path / "half.tif", slide) as source:
        found = measure(source, tmp_path, Wanted(stains=False))
    assert found.tables["slide"]["nuclei"][0] == 2
    assert found.tables["slide"]["area_mm2"][0] == pytest.approx((100 * 200 - 100) * 0.25 / 1e6, rel=0.02)
    assert "67 % of the map, which is unlabelled (-1)" in found.record["left_out"]


def test_links_to_one_object_are_files_of_their_own(masks, tmp_path):
    """DVC and git-annex keep equal files once: one of two was dropped, and the row had the object's name."""
    (tmp_path / "masks").mkdir()
    for name in ("c.tif", "d.tif"):
        (tmp_path / "masks" / name).symlink_to(masks[0])
    command = ["measure", *(str(tmp_path / "masks" / name) for name in ("c.tif", "d.tif")), "--mpp", "0.5"]
    assert main([*command, "--output", str(tmp_path / "out")]) == 0
    assert main([*command, "--output", str(tmp_path / "out")]) == 0  # their own folders again
    assert [row["name"] for row in read_rows(tmp_path / "out" / SLIDES)] == ["c.tif", "d.tif"]


def test_no_nucleus_is_a_result(masks, tmp_path):
    Image.fromarray(np.zeros((200, 300), np.uint8)).save(tmp_path / "none.png")
    with open_source(tmp_path / "none.png", masks[1]) as source:
        assert measure(source, tmp_path, Wanted()).tables["slide"]["nuclei"][0] == 0


def test_a_pickled_file_and_a_picture_are_sentences(tmp_path, capsys):
    np.save(tmp_path / "a_seg.npy", {"masks": 1}, allow_pickle=True)
    Image.fromarray(np.full((20, 30, 3), STAINED, np.uint8)).save(tmp_path / "a.png")
    command = ["measure", *(str(tmp_path / name) for name in ("a_seg.npy", "a.png")), "--mpp", "0.5"]
    assert main([*command, "--output", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert "cellpose's _seg.npy is a pickled Python object" in error
    assert "a.png: expected a label map with one value per pixel" in error


def test_a_map_is_a_slide_of_a_cohort(masks, tmp_path):
    label, slide = map(str, masks)
    assert main(["measure", label, "--slide", slide, "--output", str(tmp_path / "out")]) == 0
    assert main(["report", str(tmp_path / "out")]) == 0
    record = json.loads((tmp_path / "out" / "a_cp_masks.tif" / "measures.json").read_text())
    assert (record["kind"], record["nuclei"], record["nuclei_classes"]) == ("label map", 3, ["nucleus"])


def test_a_folder_of_slides_holds_those_of_several_files(masks, image, tmp_path, capsys):
    """Masks, GeoJSON and moved results of ours find their slides by name; one that has none is a row of its own."""
    label, slide = masks
    (tmp_path / "masks").mkdir()
    moved = [label.rename(tmp_path / "masks" / name) for name in ("a_cp_masks.tif",)]
    (tmp_path / "masks" / "b.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    (tmp_path / "masks" / "a.tif.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    paths = [*moved, tmp_path / "masks" / "b.geojson", tmp_path / "masks" / "a.tif.geojson", image]
    shutil.copy(image.parent / "image.png", tmp_path / "image.png")
    command = ["measure", *map(str, paths), "--mpp", "0.5", "--output", str(tmp_path / "out")]
    assert main([*command, "--slide", str(tmp_path)]) == 1
    rows = {row["name"]: row for row in read_rows(tmp_path / "out" / SLIDES)}
    assert [name for name, row in rows.items() if row["error"]] == ["b.geojson"]
    assert f"b.geojson: expected one slide called b in {tmp_path}, got none" in capsys.readouterr().err
    record = json.loads((tmp_path / "out" / "a_cp_masks.tif" / "measures.json").read_text())
    assert record["image"] == str(slide.resolve())
    record = json.loads((tmp_path / "out" / image.name / "measures.json").read_text())
    assert record["image"] == str((tmp_path / "image.png").resolve())
    shutil.copy(slide, tmp_path / "a.png")
    assert main([*command, "--slide", str(tmp_path)]) == 1
    assert f"expected one slide called a in {tmp_path}, got a.png, a.tif" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("names", "nuclei", "slide"),
    [
        (["case1.png", "case1_nuclei.png"], "case1_nuclei.geojson", "case1_nuclei.png"),  # exactly its stem
        (["case1.png", "case12.png"], "case1_nuclei.geojson", "case1.png"),
        (["b.ome.tif"], "b.ome_cp_masks.png", "b.ome.tif"),
        (["b.ome.tif"], "b_cp_masks.png", "b.ome.tif"),
        (["s.mrxs", "s/Slidedat.ini"], "s.geojson", "s.mrxs"),
        (["x.ndpi", "x.ndpi.ndpa", "x.qpdata", "x.h5", "x.log", "x.yaml"], "x.ndpi.geojson", "x.ndpi"),
        (["a.svs", "a.tif"], "a.geojson", None),
        (["a.svs"], "b.geojson", None),
    ],
)
def test_the_slide_of_a_file_in_a_folder(tmp_path, names, nuclei, slide):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    if slide is None:
        with pytest.raises(ImageFileError, match="expected one slide called"):
            image_in(tmp_path, tmp_path / "masks" / nuclei)
    else:
        assert image_in(tmp_path, tmp_path / "masks" / nuclei).name == slide


def test_one_slide_that_is_a_folder_is_that_of_one_file(masks, tmp_path, capsys):
    """The nuclei of all files were measured on an OME-Zarr that was given."""
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=3)
    pixels = np.broadcast_to(np.array(STAINED, np.uint8)[:, None, None], (3, 200, 300))
    group.create_array("0", shape=pixels.shape, chunks=(3, 100, 100), dtype="uint8")[:] = pixels
    axes = [{"name": name, "type": "channel" if name == "c" else "space"} for name in "cyx"]
    level = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 0.5, 0.5]}]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [level]}]}
    options = ["--slide", str(tmp_path / "a.zarr"), "--mpp", "0.5", "--output", str(tmp_path / "out")]
    assert main(["measure", str(masks[0]), *options]) == 0
    assert main(["measure", *map(str, masks), *options]) == 1
    assert "--slide is for one RESULTS" in capsys.readouterr().err
