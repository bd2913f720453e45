import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from full_disk import file_size_limit
from PIL import Image
from scn import CORNER, write_scn

from coseg_bundle.atomic import NoRoomError
from coseg_bundle.classes import ClassMap
from coseg_bundle.data.datalist import load_datalist
from coseg_bundle.data.images import read_image, read_label
from coseg_bundle.data.synthetic import synthetic_tissue
from coseg_bundle.service.training_data import RIM_PX, Labelled, prepare

TISSUE, NUCLEI = ClassMap(("background", "gland")), ClassMap(("background", "nucleus"))


def square(name: str, x: float, y: float, side: float) -> dict:
    ring = [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    return {"type": "Feature", "geometry": geometry, "properties": {"classification": {"name": name}}}


@pytest.fixture
def make(tmp_path):
    """Makes a labelled image of 128 px."""

    def labelled(number: int, features: list[dict], **info) -> Labelled:
        image, label = tmp_path / f"{number}.png", tmp_path / f"{number}.geojson"
        Image.fromarray(synthetic_tissue(128, number).rgb).save(image)
        label.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
        return Labelled(str(number), image, label, info)

    return labelled


def items(data) -> list[dict]:
    return load_datalist(data.datalist, "training")


def test_touching_nuclei_stay_apart_and_the_region_is_background(make, tmp_path):
    drawn = [square("nucleus", 20, 20, 10), square("nucleus", 30, 20, 10), square("Region*", 10, 10, 60)]
    data = prepare([make(0, drawn)], tmp_path / "data", TISSUE, NUCLEI, 0.25)
    [item] = items(data)
    assert set(item) == {"image", "instances", "types", "dataset"}  # nobody drew tissue
    instances = read_label(item["instances"])
    assert instances.shape == (60, 60)
    assert (instances[10:20, 10:20] == 1).all()
    assert (instances[10:20, 20:30] == 2).all()
    assert (instances == 0).sum() == 60 * 60 - 200
    image = read_image(item["image"]).rgb
    assert (image == synthetic_tissue(128, 0).rgb[10:70, 10:70]).all()


def test_labels_of_a_run_over_the_whole_glass_lie_where_they_were(tmp_path):
    """Our own GeoJSON says where it counts from; the labels lay beside their nuclei, by the corner of the scan."""
    rgb = np.kron(np.random.default_rng(0).integers(0, 200, (8, 16, 3), np.uint8), np.ones((32, 32, 1), np.uint8))
    slide, label = write_scn(tmp_path / "a.scn", rgb), tmp_path / "a.geojson"
    drawn = [
        square("nucleus", CORNER[0] + 40, CORNER[1] + 50, 10),
        square("Region*", CORNER[0] + 32, CORNER[1] + 32, 64),
    ]
    label.write_text(json.dumps({"type": "FeatureCollection", "coseg": {"origin": "canvas"}, "features": drawn}))
    [item] = items(prepare([Labelled("a", slide, label)], tmp_path / "data", TISSUE, NUCLEI, 0.25))
    assert np.array_equal(read_image(item["image"]).rgb, rgb[32:96, 32:96])
    assert (read_label(item["instances"])[18:28, 8:18] == 1).all()


def test_what_nobody_looked_at_is_unlabelled(make, tmp_path):
    drawn = [square("nucleus", 40, 40, 10), square("gland", 30, 30, 40)]
    [item] = items(prepare([make(0, drawn)], tmp_path / "data", TISSUE, NUCLEI, 0.25))
    instances, tissue = read_label(item["instances"]), read_label(item["tissue"])
    assert np.unique(instances).tolist() == [-1, 0, 1]
    assert np.unique(tissue).tolist() == [1, 255]
    assert (tissue == 1).sum() == 40 * 40
    rows, columns = np.nonzero(instances == 0)
    nucleus_rows, nucleus_columns = np.nonzero(instances == 1)
    assert rows.min() == nucleus_rows.min() - RIM_PX
    assert columns.max() == nucleus_columns.max() + RIM_PX


def test_ignored_parts_are_unlabelled(make, tmp_path):
    drawn = [square("gland", 10, 10, 20), square("nucleus", 12, 12, 9), square("Ignore*", 60, 60, 20)]
    entry = make(0, drawn, region=[0, 0, 128, 128])
    [item] = items(prepare([entry], tmp_path / "data", TISSUE, NUCLEI, 0.25))
    assert (read_label(item["instances"])[60:80, 60:80] == -1).all()
    assert (read_label(item["tissue"]) == 255).sum() == 400
    assert (read_label(item["tissue"]) == 0).sum() == 128 * 128 - 400 - 400


def test_a_region_that_is_ignored_as_a_whole_is_no_item(make, tmp_path):
    """Its maps said nothing, and counted as labels of both tasks."""
    drawn = [square("gland", 5, 5, 20), square("nucleus", 12, 12, 9), square("nucleus", 80, 80, 9)]
    frames = [square("Region*", 0, 0, 40), square("Region*", 60, 60, 40)]
    [item] = items(
        prepare([make(0, [*drawn, *frames, square("Ignore*", 0, 0, 40)])], tmp_path / "data", TISSUE, NUCLEI, 0.25)
    )
    assert Path(item["image"]).name.startswith("60_60_")


def test_each_region_is_an_item_and_one_is_kept_for_validation(make, tmp_path):
    drawn = [square("nucleus", 20, 20, 10), square("Region*", 10, 10, 40), square("Region*", 60, 60, 40)]
    data = prepare([make(0, drawn)], tmp_path / "data", TISSUE, NUCLEI, 0.25)
    assert (data.training, data.validation) == (1, 1)
    assert load_datalist(data.datalist, "training") != load_datalist(data.datalist, "validation")


def test_a_frame_whose_nuclei_were_all_erased_holds_none(make, tmp_path):
    """Corrections are of both tasks in every frame, other than regions that people draw on slides."""
    frames = [square("Region*", 0, 0, 40), square("Region*", 60, 60, 40)]
    drawn = [square("nucleus", 20, 20, 10), square("gland", 2, 2, 30), square("gland", 62, 62, 30)]
    data = prepare([make(0, [*frames, *drawn])], tmp_path / "data", TISSUE, NUCLEI, 0.25)
    both = [item for section in ("training", "validation") for item in load_datalist(data.datalist, section)]
    assert sorted(int(read_label(item["instances"]).max()) for item in both) == [0, 1]
    assert all((read_label(item["tissue"]) == 0).sum() == 40 * 40 - 900 for item in both)


def test_a_label_in_which_nothing_was_drawn_says_of_no_task_that_it_was_annotated(make, tmp_path):
    """It became an item without labels: of two labels it was all that was trained on."""
    empty, other = make(0, [], region=[0, 0, 64, 64]), make(1, [square("nucleus", 20, 20, 10)])
    data = prepare([empty, other], tmp_path / "data", TISSUE, NUCLEI, 0.25)
    assert (data.training, data.validation) == (1, 1)
    assert ["instances" in item for item in items(data)] == [True]
    assert data.skipped == ("0: 0.geojson: nothing was drawn in what was annotated; draw tissue or nuclei there.",)
    with pytest.raises(ValueError, match=r"There is nothing to train on; 0: .*nothing was drawn"):
        prepare([empty], tmp_path / "none", TISSUE, NUCLEI, 0.25)


@pytest.mark.parametrize("task", ["nuclei", "tissue"])
def test_a_label_says_of_which_task_it_holds_nothing(make, tmp_path, task):
    """What was erased in the only frame was unlabelled."""
    by_client = make(0, [], region=[0, 0, 64, 64], task=task)
    by_caller = replace(make(0, [], region=[0, 0, 64, 64]), tasks=frozenset([task]))
    for number, entry in enumerate((by_client, by_caller)):
        [item] = items(prepare([entry], tmp_path / str(number), TISSUE, NUCLEI, 0.25))
        assert not read_label(item["instances" if task == "nuclei" else "tissue"]).any()
        assert ("tissue" if task == "nuclei" else "instances") not in item


def test_a_label_may_say_that_it_holds_nothing_of_both_tasks(make, tmp_path):
    """A list ended every training of the server."""
    entry = make(0, [], region=[0, 0, 64, 64], task=["nuclei", "tissue"])
    [item] = items(prepare([entry], tmp_path / "data", TISSUE, NUCLEI, 0.25))
    assert not read_label(item["instances"]).any()
    assert not read_label(item["tissue"]).any()


def test_items_that_overlap_stay_together(make, tmp_path):
    """A third of what validation scored had been trained on."""
    frames = [square("Region*", x, y, 40) for x, y in ((0, 0), (30, 30), (60, 60), (80, 0), (40, 0))]
    drawn = [*frames, square("gland", 2, 2, 120)]
    for seed in range(6):
        data = prepare([make(0, drawn)], tmp_path / str(seed), TISSUE, NUCLEI, 0.25, seed=seed)
        assert sorted((data.training, data.validation)) in ([1, 4], [2, 3])  # the first three are a chain
    data = prepare([make(0, [*drawn[:3], drawn[-1]])], tmp_path / "one", TISSUE, NUCLEI, 0.25)
    assert (data.training, data.validation) == (3, 3)


def test_a_region_outside_the_image_does_not_stop_the_others(make, tmp_path):
    drawn = [square("gland", 9, 9, 30), square("Region*", 0, 0, 40), square("Region*", 300, 20, 40)]
    data = prepare([make(0, drawn)], tmp_path / "data", TISSUE, NUCLEI, 0.25)
    assert data.training == 1
    assert data.skipped == ("0: the region at [300, 20] is left out: what was drawn lies outside the image",)


def test_items_say_the_resolution_of_their_pixels(make, tmp_path):
    """One at 0.23 was listed at 0.25, and so was one that says nothing."""
    from colour_network import write_slide

    entry = make(0, [square("gland", 9, 9, 30)])
    assert "mpp" not in items(prepare([entry], tmp_path / "unknown", TISSUE, NUCLEI, 0.25))[0]
    [given] = items(prepare([replace(entry, mpp=0.5)], tmp_path / "given", TISSUE, NUCLEI, 0.25))
    assert given["mpp"] == 0.25
    assert (read_label(given["tissue"]) == 1).sum() == 60 * 60
    for mpp, listed in ((0.23, 0.23), (0.5, 0.25)):
        path = tmp_path / f"{mpp}.tif"
        write_slide(path, synthetic_tissue(512, 1).rgb, mpp=mpp)
        [item] = items(prepare([replace(entry, image=path)], tmp_path / str(mpp), TISSUE, NUCLEI, 0.25))
        assert item["mpp"] == pytest.approx(listed, rel=1e-4)


def test_the_resolution_that_was_saved_with_a_label_counts(make, tmp_path):
    """What the page tells people to give never reached the training."""
    entry = make(0, [square("gland", 9, 9, 30)], mpp=0.5)
    other = make(1, [square("gland", 9, 9, 30)], mpp="coarse")
    data = prepare([entry, other], tmp_path / "data", TISSUE, NUCLEI, 0.25)
    [item] = items(data)
    assert item["mpp"] == 0.25
    assert (read_label(item["tissue"]) == 1).sum() == 60 * 60
    assert data.skipped == ("1: Expected mpp in microns per pixel, above 0, got 'coarse'.",)


def test_a_single_item_is_both(make, tmp_path):
    data = prepare([make(0, [square("gland", 9, 9, 30)])], tmp_path / "data", TISSUE, NUCLEI, 0.25)
    assert (data.training, data.validation) == (1, 1)
    assert data.doubts == (
        "what was annotated is one region, which was trained on and scored: scores on it say little",
    )
    two = prepare([make(i, [square("gland", 9, 9, 30)]) for i in (0, 1)], tmp_path / "two", TISSUE, NUCLEI, 0.25)
    assert two.doubts == ()


def test_a_bad_label_does_not_stop_the_others(make, tmp_path):
    entries = [make(0, [square("gland", 9, 9, 30)]), make(1, [square("cat", 9, 9, 30)]), make(2, [])]
    data = prepare(entries, tmp_path / "data", TISSUE, NUCLEI, 0.25)
    assert data.training == 1
    assert len(data.skipped) == 2
    assert "unknown classes ['cat']" in data.skipped[0]
    assert "no polygons" in data.skipped[1]


def test_nothing_to_train_on_is_said(make, tmp_path):
    with pytest.raises(ValueError, match="save a label with the tag final"):
        prepare([], tmp_path / "data", TISSUE, NUCLEI, 0.25)
    with pytest.raises(ValueError, match="lies outside the image"):
        prepare([make(0, [square("gland", 900, 0, 9)])], tmp_path / "data", TISSUE, NUCLEI, 0.25)


def test_polygons_land_at_the_resolution_of_the_network(tmp_path):
    from colour_network import write_slide

    write_slide(tmp_path / "slide.tif", synthetic_tissue(512, 1).rgb, mpp=0.5)
    drawn = [square("nucleus", 100, 100, 10), square("Region*", 90, 90, 50)]
    (tmp_path / "slide.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": drawn}))
    entry = Labelled("slide", tmp_path / "slide.tif", tmp_path / "slide.geojson")
    [item] = items(prepare([entry], tmp_path / "data", TISSUE, NUCLEI, 0.25))
    instances = read_label(item["instances"])
    assert instances.shape == (100, 100)
    assert (instances[20:40, 20:40] == 1).all()
    assert (instances == 1).sum() == 400


def test_label_maps_say_which_task_they_are_for(make, tmp_path):
    entry = make(0, [])
    nuclei = synthetic_tissue(128, 0).instance_map
    Image.fromarray(nuclei.astype(np.uint16)).save(tmp_path / "map.png")
    labelled = Labelled("0", entry.image, tmp_path / "map.png", {"task": "nuclei"})
    [item] = items(prepare([labelled], tmp_path / "data", TISSUE, NUCLEI, 0.25))
    assert (read_label(item["instances"]) == nuclei).all()
    for info, words in (({"task": "cat"}, "task tissue or nuclei"),):
        with pytest.raises(ValueError, match=words):
            prepare([Labelled("0", entry.image, tmp_path / "map.png", info)], tmp_path / "x", TISSUE, NUCLEI, 0.25)


def test_a_label_map_of_another_size_is_named(make, tmp_path):
    entry = make(0, [])
    Image.fromarray(np.zeros((9, 7), np.uint8)).save(tmp_path / "map.png")
    with pytest.raises(ValueError, match=r"map\.png has 7 x 9 px and its image 128 x 128"):
        prepare([Labelled("0", entry.image, Path(tmp_path / "map.png"))], tmp_path / "x", TISSUE, NUCLEI, 0.25)


def test_objects_count_as_qupath_means_them(make, tmp_path):
    """A cell's nucleus, a derived class, children of a parent without a class, a class as one object of many parts."""
    cell = square("nucleus: Positive", 20, 20, 16) | {"nucleusGeometry": square("", 24, 24, 6)["geometry"]}
    cell["properties"]["objectType"] = "cell"
    parent = square("", 0, 0, 120)
    parent["properties"] = {"objectType": "annotation", "childObjects": [cell, square("nucleus", 50, 50, 6)]}
    parts = [square("", x, 80, 6)["geometry"]["coordinates"] for x in (20, 60, 100)]
    many = {
        "geometry": {"type": "MultiPolygon", "coordinates": parts},
        "properties": square("nucleus", 0, 0, 1)["properties"],
    }
    [item] = items(prepare([make(0, [parent, many])], tmp_path / "data", TISSUE, NUCLEI, 0.25))
    instances = read_label(item["instances"])
    assert np.bincount(instances[instances > 0])[1:].tolist() == [36] * 5


def test_an_object_without_a_class_is_named(make, tmp_path):
    label = make(1, [square("nucleus", 20, 20, 6), square("", 60, 60, 6)])
    data = prepare([make(0, [square("nucleus", 20, 20, 6)]), label], tmp_path / "data", TISSUE, NUCLEI, 0.25)
    assert "unknown classes ['no class']" in data.skipped[0]
    assert "name these classes too, or change them in the file." in data.skipped[0]


def test_a_mask_of_nuclei_becomes_its_pieces(make, tmp_path):
    entry = make(0, [])
    mask = np.zeros((128, 128), np.uint8)
    mask[10:20, 10:20] = mask[40:50, 40:50] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    labelled = Labelled("0", entry.image, tmp_path / "mask.png", {"task": "nuclei"})
    [item] = items(prepare([labelled], tmp_path / "data", TISSUE, NUCLEI, 0.25))
    assert np.bincount(read_label(item["instances"]).ravel())[1:].tolist() == [100, 100]


@pytest.mark.parametrize(("task", "key", "nothing"), [("tissue", "tissue", 255), ("nuclei", "instances", -1)])
def test_outside_the_region_of_a_label_map_nothing_is_learnt(make, tmp_path, task, key, nothing):
    """All the rest of the image was taught as background."""
    label = np.zeros((128, 128), np.uint16)
    label[14:20, 12:18] = 1
    Image.fromarray(label).save(tmp_path / "map.png")
    entry = Labelled("0", make(0, []).image, tmp_path / "map.png", {"task": task, "region": [10, 12, 30, 20]})
    [item] = items(prepare([entry], tmp_path / "data", TISSUE, NUCLEI, 0.25))
    learnt = read_label(item[key])
    assert (learnt[12:32, 10:40] == label[12:32, 10:40]).all()
    assert (learnt != nothing).sum() == 30 * 20
    with pytest.raises(ValueError, match="lies outside the image"):
        prepare([replace(entry, info={"task": task, "region": [500, 0, 9, 9]})], tmp_path / "x", TISSUE, NUCLEI, 0.25)


def test_a_region_that_is_none_does_not_stop_the_others(make, tmp_path):
    """Five is no rectangle, and NaN became one of any size."""
    good = make(0, [square("gland", 9, 9, 30)])
    for number, region in enumerate((5, [0, 0, 9], [0, 0, float("nan"), 9], [0, 0, -9, 9], "abcd"), start=1):
        bad = make(number, [square("gland", 9, 9, 30)], region=region)
        data = prepare([good, bad], tmp_path / f"data{number}", TISSUE, NUCLEI, 0.25)
        assert "expected the label's region as [x, y, width, height]" in data.skipped[0]


def test_a_tissue_map_of_other_ids_does_not_stop_the_others(make, tmp_path):
    """One stopped the whole training, with a traceback."""
    label = np.full((128, 128), 255, np.uint8)
    label[:9], label[9:20] = 3, 1
    Image.fromarray(label).save(tmp_path / "map.png")
    good = make(0, [square("gland", 9, 9, 30)])
    data = prepare([good, Labelled("1", good.image, tmp_path / "map.png")], tmp_path / "x", TISSUE, NUCLEI, 0.25)
    assert data.training == 1
    assert "map.png has the ids [3]; expected 0 to 1 (background, gland)" in data.skipped[0]


def test_a_full_disk_is_no_fault_of_the_label(make, tmp_path):
    labelled = [make(0, [square("nucleus", 20, 20, 10), square("Region*", 10, 10, 60)])]
    with file_size_limit(100), pytest.raises(NoRoomError, match=r"^\S+: the results cannot be written there"):
        prepare(labelled, tmp_path / "data", TISSUE, NUCLEI, 0.25)
