import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from scipy.io import savemat

from coseg_bundle.data.images import ImageFileError
from coseg_bundle.data.labels.foreign import misnamed, read_nuclei, stem_of_nuclei
from coseg_bundle.data.labels.json_files import kind_of
from coseg_bundle.evaluation.prediction_files import read_prediction

SHAPE = (24, 30)
TWO = np.zeros(SHAPE, np.int32)
TWO[2:7, 2:8], TWO[10:20, 12:22] = 1, 2
BOXES = {"tumour": (2, 2, 8, 7), "stroma": (12, 10, 22, 20)}


def corners(x, y, right, bottom):
    return [[x, y], [right, y], [right, bottom], [x, bottom]]


def hovernet():
    nuclei = {}
    for number in (1, 2):
        (contour,), _ = cv2.findContours((number == TWO).astype(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
        nuclei[str(number)] = {"contour": contour[:, 0].tolist(), "type": number + 2, "type_prob": 0.9}
    return {"mag": 40, "nuc": nuclei}


def coco(images=("a.png",)):
    annotations = [
        {"image_id": 7, "category_id": number, "segmentation": [np.ravel(corners(*box)).tolist()]}
        for number, box in enumerate(BOXES.values())
    ]
    entries = [{"id": 7 + number, "file_name": name} for number, name in enumerate(images)]
    categories = [{"id": number, "name": name} for number, name in enumerate(BOXES)]
    return {"images": entries, "annotations": annotations, "categories": categories}


def labelme():
    (x, y, right, bottom) = BOXES["stroma"]
    shapes = [
        {"label": "tumour", "points": corners(*BOXES["tumour"]), "shape_type": "polygon"},
        {"label": "stroma", "points": [[x, y], [right, bottom]], "shape_type": "rectangle"},
        {"label": "here", "points": [[1, 1]], "shape_type": "point"},
    ]
    return {"shapes": shapes, "imagePath": "a.png", "imageHeight": SHAPE[0], "imageWidth": SHAPE[1]}


def geojson():
    features = [
        {
            "geometry": {"type": "Polygon", "coordinates": [[*corners(*box), corners(*box)[0]]]},
            "properties": {"objectType": "detection", "classification": {"name": name}},
        }
        for name, box in BOXES.items()
    ]
    return {"type": "FeatureCollection", "features": features}


_HALF = r"its outlines are on an image of 15 x 12 pixels, and its image has 30 x 24; export them at the size"


def written(path, content):
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("make", [hovernet, coco, labelme, geojson])
def test_every_json_gives_the_same_map(make, tmp_path):
    """HoVer-Net's contours run through the middles of pixels; the others' polygons along their edges."""
    found = read_nuclei(written(tmp_path / "a.json", make()), SHAPE, "a")
    assert np.array_equal(found.instances, TWO)
    if make is hovernet:
        assert found.types is not None
        assert (found.types[TWO == 1] == 3).all()
        assert (found.types[TWO == 2] == 4).all()
    else:
        assert found.names == {1: "tumour", 2: "stroma"}
    assert bool(found.notes) == (make is labelme)


def test_maps_and_mat(tmp_path):
    tifffile.imwrite(tmp_path / "a_masks.tif", TWO.astype(np.uint16))
    tifffile.imwrite(tmp_path / "b.tif", np.stack([TWO, TWO]).astype(np.float32))
    savemat(tmp_path / "a.mat", {"inst_map": TWO, "inst_type": [[5], [6]]})
    for name in ("a_masks.tif", "b.tif", "a.mat"):
        assert np.array_equal(read_nuclei(tmp_path / name, SHAPE).instances, TWO)
    assert np.unique(read_nuclei(tmp_path / "a.mat", SHAPE).types).tolist() == [0, 5, 6]
    savemat(tmp_path / "c.mat", {"inst_map": TWO, "inst_type": [[5]]})
    odd = read_nuclei(tmp_path / "c.mat", SHAPE)
    assert odd.types is None
    assert "1 classes in inst_type and 2 nuclei" in odd.notes[0]
    with pytest.raises(ImageFileError, match=r"has shape \(24, 30\) and its image \(9, 9\)"):
        read_nuclei(tmp_path / "a_masks.tif", (9, 9))


def test_a_pickle_is_named_and_not_opened(tmp_path):
    np.save(tmp_path / "a_seg.npy", {"masks": TWO}, allow_pickle=True)
    with pytest.raises(ImageFileError, match=r"a_seg.npy: cellpose's _seg.npy is a pickled .* NAME_cp_masks.tif"):
        read_nuclei(tmp_path / "a_seg.npy", SHAPE)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (coco(("a.png", "b.png")) | {"images": []}, "COCO with 0 images, 0 of them called a"),
        (coco() | {"annotations": [{"image_id": 7, "segmentation": {"counts": "x", "size": [1, 1]}}]}, "run-length"),
        (coco() | {"annotations": [{"image_id": 7, "bbox": [0, 0, 1, 1]}]}, "box without an outline"),
        (coco() | {"images": [{"id": 7, "file_name": "a.png", "height": 12, "width": 15}]}, _HALF),
        (labelme() | {"imageHeight": 12, "imageWidth": 15}, _HALF),
        (coco() | {"annotations": [3]}, "COCO that is not as it should be"),
        ({"nuc": {"1": {}}}, "HoVer-Net's JSON that is not as it should be"),
        ({"nuc": {"1": {"contour": [[1e300, 0]]}}}, "no place in an image"),
        ({"nuc": {"1": {"contour": []}}}, "nucleus 1 has a contour without points"),
        (labelme() | {"shapes": [{"points": [[1, 1]], "shape_type": "point"}]}, "labelme with 1 point; draw polygons"),
        ({"hello": 1, "b": 2}, "got an object of hello, b"),
        ([{"a": 1}], "got a list of a"),
        (3, "got a int"),
        ({"type": "Multiple polygons", "polygons": []}, "coseg puma score"),
        ({"cells": [], "wsi_metadata": {}}, "CellViT's cells.json"),
        ({"annotation": {"elements": []}}, "Digital Slide Archive"),
        ({"features": [{"geometry": None}]}, "no geometry"),
    ],
)
def test_everything_else_is_named(content, words, tmp_path):
    with pytest.raises(ImageFileError, match=f"a.json: .*{words}"):
        read_nuclei(written(tmp_path / "a.json", content), SHAPE, "a")


@pytest.mark.parametrize("size", [{"height": SHAPE[0], "width": SHAPE[1]}, {"height": 0, "width": None}])
def test_coco_may_say_the_size_of_its_image(size, tmp_path):
    content = coco() | {"images": [{"id": 7, "file_name": "a.png", **size}]}
    assert np.array_equal(read_nuclei(written(tmp_path / "a.json", content), SHAPE, "a").instances, TWO)


def test_a_crowd_is_unlabelled_and_hides_no_nucleus(tmp_path):
    """As pycocotools ignores it: it is no nucleus, and what is drawn in it is one."""
    content = coco()
    crowd = {"image_id": 7, "category_id": 0, "iscrowd": 1, "segmentation": [np.ravel(corners(0, 0, 10, 10)).tolist()]}
    content["annotations"].append(crowd)
    found = read_nuclei(written(tmp_path / "a.json", content), SHAPE, "a")
    expected = TWO.copy()
    expected[:10, :10][TWO[:10, :10] == 0] = -1
    assert np.array_equal(found.instances, expected)
    assert found.names == {1: "tumour", 2: "stroma"}
    assert found.notes == (f"{tmp_path / 'a.json'}: 1 crowds (iscrowd) are unlabelled, but for the nuclei in them",)
    content["annotations"] = [crowd | {"segmentation": [[0, 0, 1, 1]]}]
    with pytest.raises(ImageFileError, match="got 1 features that are none"):
        read_nuclei(written(tmp_path / "a.json", content), SHAPE, "a")


def test_a_crowd_in_run_lengths(tmp_path):
    """As COCO's own sets have them: outside and inside by turns, down one column after the other."""
    content, height, width = coco(), *SHAPE
    counts = [height + 2, 3, height - 3, 2, height * width - 2 * height - 4]  # rows 2 to 4 of column 1, 2 to 3 of 2
    segmentation = {"counts": counts, "size": [height, width]}
    crowd = {"image_id": 7, "category_id": 0, "iscrowd": 1, "segmentation": segmentation}
    content["annotations"] = [crowd]
    found = read_nuclei(written(tmp_path / "a.json", content), SHAPE, "a")
    expected = np.zeros(SHAPE, int)
    expected[2:5, 1] = expected[2:4, 2] = -1
    assert np.array_equal(found.instances, expected)
    assert found.notes == (f"{tmp_path / 'a.json'}: 1 crowds (iscrowd) are unlabelled, but for the nuclei in them",)
    for changed, words in (
        ({"counts": counts[:-1]}, rf"not as it should be \(counts of {2 * height + 4} pixels on {width} x {height}\)"),
        ({"counts": [-1, *counts, 1]}, "not as it should be"),
        ({"counts": [0.5, height * width - 0.5]}, "not as it should be"),
        ({"size": [width, height]}, "export them at the size of the image"),
        ({"counts": "PPYo0"}, "1 run-length mask that are not read"),
    ):
        content["annotations"] = [crowd | {"segmentation": segmentation | changed}]
        with pytest.raises(ImageFileError, match=words):
            read_nuclei(written(tmp_path / "a.json", content), SHAPE, "a")
    content["annotations"] = [{**crowd, "iscrowd": 0}]
    with pytest.raises(ImageFileError, match="1 run-length mask that are not read; export the nuclei as polygons"):
        read_nuclei(written(tmp_path / "a.json", content), SHAPE, "a")


def test_a_set_in_one_file(tmp_path):
    path = written(tmp_path / "all.json", coco(("a.png", "b.png")))
    assert np.array_equal(read_nuclei(path, SHAPE, "a").instances, TWO)
    assert not read_nuclei(path, SHAPE, "b").instances.any()
    assert kind_of([]) == kind_of([{"type": "Feature"}]) == "GeoJSON"


def test_a_set_whose_images_a_mac_named(tmp_path):
    path = written(tmp_path / "all.json", coco(("a\u0308.png", "b.png")))
    assert np.array_equal(read_nuclei(path, SHAPE, "\u00e4").instances, TWO)
    assert stem_of_nuclei(tmp_path / "a\u0308_cp_masks.png") == "\u00e4"


def test_a_json_that_no_image_is_called_as(tmp_path):
    path = written(tmp_path / "instances_default.json", coco())
    assert misnamed(path) == (
        "instances_default.json is called as no image is; it holds COCO; save a file for each image, called as the "
        "image is"
    )
    assert (
        misnamed(written(path, {"x": 1})) == "instances_default.json is called as no image is; it holds an object of x"
    )


@pytest.mark.parametrize(
    "name",
    [
        "a.tif",
        "a_instanseg_prediction.tiff",
        "a_inst.tif",
        "a_cp_masks.png",
        "a_masks.tif",
        "a_seg.npy",
        "a.geojson.gz",
        "a_nuclei.json.gz",
    ],
)
def test_stems(name):
    assert stem_of_nuclei(Path(name)) == "a"


def test_a_nucleus_without_a_class_is_unlabelled(tmp_path):
    """As in GeoJSON: HoVer-Net's `"type": null` is no background."""
    content = hovernet()
    content["nuc"]["2"]["type"] = None
    found = read_nuclei(written(tmp_path / "a.json", content), SHAPE)
    assert found.types is not None
    assert (found.types[3, 3], found.types[15, 15], found.types[0, 0]) == (3, 255, 0)
    content["nuc"]["1"]["type"] = None
    assert read_nuclei(written(tmp_path / "a.json", content), SHAPE).types is None
    content["nuc"]["1"]["type"] = 1
    written(tmp_path / "a.json", content)
    predicted = read_prediction(tmp_path, "a", SHAPE, ("background", "x"), ("instances",))
    assert predicted.type_map is not None
    assert predicted.type_map.max() == 1
    assert predicted.notes == (f"{tmp_path / 'a.json'}: 1 nuclei have no class",)


def test_two_files_about_one_image_are_said(tmp_path):
    for place in ("nuclei/a.tif", "a_cp_masks.tif", "a.png"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tifffile.imwrite if place.endswith("tif") else cv2.imwrite)(tmp_path / place, TWO.astype(np.uint8))
    found = read_prediction(tmp_path, "a", SHAPE, (), ("instances",))
    assert found.notes == (
        f"{tmp_path / 'a_cp_masks.tif'}: not read, {Path('nuclei', 'a.tif')} is about the same image",
    )


def test_hovernets_own_folders(tmp_path):
    """`mat/` and `json/` say the same."""
    for name in ("mat", "json"):
        (tmp_path / name).mkdir()
    savemat(tmp_path / "mat" / "a.mat", {"inst_map": TWO, "inst_type": np.array([[3], [4]])})
    written(tmp_path / "json" / "a.json", hovernet())
    for _ in range(2):
        found = read_prediction(tmp_path, "a", SHAPE, (), ("instances",))
        assert np.array_equal(found.instance_map, TWO)
        assert found.type_map[3, 3] == 3
        assert found.notes == ()
        (tmp_path / "mat" / "a.mat").unlink(missing_ok=True)
