import json
import os
import re

import numpy as np
import pytest
import tifffile
from full_disk import file_size_limit
from PIL import Image

from coseg_bundle.cli import main
from coseg_bundle.data.datalist import DatalistError, load_datalist, read_class_tables
from coseg_bundle.data.images import ImageFileError, write_tiff
from coseg_bundle.data.puma import apply_split, check_oversample, class_ids, class_tables, find_rois, split_names
from coseg_bundle.transforms import LoadHistologyd


def cut_at(patch, folder):
    """Ends a run where it writes the first label map of a folder."""

    def cut(path, array, **options):
        if path.parent.name == folder:
            raise KeyboardInterrupt
        return write_tiff(path, array, **options)

    patch.setattr("coseg_bundle.data.puma.write_tiff", cut)


def square(x, y, side, name):
    ring = [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"classification": {"name": name}},
    }


def collection(path, *features):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)}))


@pytest.fixture
def source(tmp_path):
    """One region with an image, one without; a context image that is none of them."""
    folder = tmp_path / "published"
    nuclei = (
        square(10, 10, 4, "nuclei_tumor"),
        square(8, 8, 10, "nuclei_plasma_cell"),  # larger: lies below, although it comes later
        square(2, 2, 3, "nuclei_unheard_of"),
        {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 1]}, "properties": {}},
    )
    collection(folder / "01_nuclei" / "training_set_primary_roi_001_nuclei.geojson", *nuclei)
    tissue = (square(8, 8, 8, "tissue_tumor"), square(0, 0, 24, "tissue_stroma"))
    collection(folder / "01_tissue" / "training_set_primary_roi_001_tissue.geojson", *tissue)
    collection(folder / "01_nuclei" / "training_set_metastatic_roi_002_nuclei.geojson")
    (folder / "rois").mkdir()
    (folder / "context").mkdir()
    image = Image.fromarray(np.full((32, 40, 4), 200, np.uint8))
    image.save(folder / "rois" / "training_set_primary_roi_001.tif")
    image.save(folder / "context" / "training_set_primary_roi_001.tif")
    return folder


def test_prepare_by_hand(source, tmp_path, capsys):
    dest = tmp_path / "prepared"
    arguments = ["puma", "prepare", str(source), str(dest), "--track", "1", "--workers", "1"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "unknown class 'nuclei_unheard_of'" in out
    assert "left out: 1 Point" in out
    assert "1 regions have no image" in out
    name = "training_set_primary_roi_001.tif"
    instances, types, tissue = (tifffile.imread(dest / kind / name) for kind in ("nuclei", "types", "tissue"))
    assert instances.shape == (32, 40)
    assert np.bincount(instances.ravel())[1:].tolist() == [16, 84]
    assert np.unique(types[instances == 2]).tolist() == [2]  # plasma cells are lymphocytes on track 1
    assert [int((tissue == i).sum()) for i in (1, 3, 255)] == [24 * 24 - 64, 64, 32 * 40 - 24 * 24]
    report = json.loads((dest / "report.json").read_text())
    assert report["nuclei"] == {"nuclei_tumor": 1, "nuclei_lymphocyte": 1}
    assert report["overlap_px"] == {"nuclei": 16, "tissue": 64}
    (item,) = load_datalist(dest / "datalist.json", "training")
    assert {"image", "instances", "types", "tissue"} <= set(item)
    assert read_class_tables(dest / "datalist.json") == class_tables(1)  # training takes the names from there
    stamps = {path: path.stat().st_mtime_ns for path in dest.rglob("*.tif")}
    assert main(arguments) == 0
    assert stamps == {path: path.stat().st_mtime_ns for path in dest.rglob("*.tif")}  # nothing is done again


def test_what_a_person_put_there_is_kept(source, tmp_path, capsys):
    """A corrected label map and a datalist that says more were replaced without a word."""
    dest = tmp_path / "prepared"
    arguments = ["puma", "prepare", str(source), str(dest), "--workers", "1", "--track"]
    assert main([*arguments, "1"]) == 0
    label = dest / "nuclei" / "training_set_primary_roi_001.tif"
    tifffile.imwrite(label, np.zeros((32, 40), np.uint16))
    theirs = (dest / "datalist.json").read_text().replace("nuclei_other", "mine")
    (dest / "datalist.json").write_text(theirs)
    capsys.readouterr()
    assert main([*arguments, "2"]) == 1
    out = capsys.readouterr().out
    assert f"{label}: expected no file, or one that coseg puma wrote, got another, which is not replaced" in out
    assert not tifffile.imread(label).any()
    assert "it is datalist.former.json now" in out
    assert (dest / "datalist.former.json").read_text() == theirs


@pytest.mark.parametrize("mark", [None, "coseg puma"], ids=["unmarked", "mark kept"])  # Pillow keeps it
@pytest.mark.parametrize("kind", ["nuclei", "types", "tissue"])
def test_a_corrected_label_map_is_kept_whatever_its_time(source, tmp_path, capsys, kind, mark):
    """One put back, or copied with its folder, is no younger than its report: it was replaced without a word."""
    dest, name = tmp_path / "prepared", "training_set_primary_roi_001"
    arguments = ["puma", "prepare", str(source), str(dest), "--workers", "1", "--track"]
    assert main([*arguments, "1"]) == 0
    label, record = dest / kind / f"{name}.tif", dest / "reports" / f"{name}.json"
    tifffile.imwrite(label, np.zeros((32, 40), np.uint8), software=mark)
    os.utime(label, ns=(0, record.stat().st_mtime_ns - 1))
    before = {path: path.read_bytes() for path in (record, *dest.rglob(f"{name}.tif"))}
    capsys.readouterr()
    assert main([*arguments, "2"]) == 1
    assert f"{label}: expected no file, or one that coseg puma wrote, got another" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in before} == before


def test_label_maps_of_a_former_version_are_done_again(source, tmp_path, monkeypatch, capsys):
    """They have no mark, and the report, which was written last, speaks for them: also when the next run was cut. One
    that was corrected since is somebody's: neither its report nor another map of the region goes."""
    dest, name = tmp_path / "out", "training_set_primary_roi_001"
    arguments = ["puma", "prepare", str(source), str(dest), "--workers", "1", "--track"]
    with monkeypatch.context() as former:
        former.setattr("coseg_bundle.data.puma.write_tiff", lambda path, array, **_: write_tiff(path, array))
        assert main([*arguments, "1"]) == 0
    for path in (dest / "reports").iterdir():  # nor do former reports have digests
        report = json.loads(path.read_text())
        del report["maps"]
        path.write_text(json.dumps(report))

    with monkeypatch.context() as patch:
        cut_at(patch, "types")
        assert main([*arguments, "2"]) != 0
    assert main([*arguments, "2"]) == 0
    assert np.unique(tifffile.imread(dest / "types" / f"{name}.tif"))[2] == class_ids(2)["nuclei_plasma_cell"]
    corrected, record = dest / "tissue" / f"{name}.tif", dest / "reports" / f"{name}.json"
    tifffile.imwrite(corrected, np.zeros((32, 40), np.uint8))
    before = {path: path.read_bytes() for path in (record, *dest.rglob(f"{name}.tif"))}
    capsys.readouterr()
    assert main([*arguments, "1"]) == 1
    assert "have the new ones written to another folder (--output, of coseg puma DEST)" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in before} == before


def test_finer_labels_by_hand(source, tmp_path, capsys):
    """Squares on whole pixels: labels three times as fine have nine for each; areas count those of the image."""
    dest, name = tmp_path / "prepared", "training_set_primary_roi_001.tif"
    arguments = ["puma", "prepare", str(source), str(dest), "--track", "1", "--workers", "1", "--oversample", "3"]
    assert main(arguments) == 0
    instances, types, tissue = (tifffile.imread(dest / kind / name) for kind in ("nuclei", "types", "tissue"))
    assert instances.shape == types.shape == tissue.shape == (96, 120)
    assert np.bincount(instances.ravel())[1:].tolist() == [9 * 16, 9 * 84]
    report = json.loads((dest / "report.json").read_text())
    assert report["overlap_px"] == {"nuclei": 16, "tissue": 64}
    assert report["nuclei_area_px"] == {"nuclei_tumor": 16, "nuclei_lymphocyte": 84}
    assert report["tissue_area_px"]["unlabelled"] == 32 * 40 - 24 * 24
    (item,) = load_datalist(dest / "datalist.json", "training")
    loaded = LoadHistologyd(tissue_classes=6, nuclei_types=3)(item)
    assert main([*arguments[:-1], "1"]) == 0
    for key, kind in (("instances", "nuclei"), ("types", "types"), ("tissue", "tissue")):
        assert np.array_equal(loaded[key][0], tifffile.imread(dest / kind / name))  # now of the image's size


@pytest.mark.parametrize("times", ["0", "-1", "2", "4"])
def test_times_that_are_not_odd(source, tmp_path, times, capsys):
    assert main(["puma", "prepare", str(source), str(tmp_path / "out"), "--workers", "1", "--oversample", times]) == 1
    assert f"Expected an odd number of label pixels per pixel of the image (1, 3, 5, ...), got {times}" in (
        capsys.readouterr().err
    )
    assert not list((tmp_path / "out").rglob("*.tif"))


def test_two_files_for_one_place(source):
    collection(source / "again" / "training_set_primary_roi_001_nuclei.geojson")
    with pytest.raises(DatalistError, match="are both the nuclei"):
        find_rois(source)
    with pytest.raises(DatalistError, match="not a folder"):
        find_rois(source / "none")
    (source / "empty").mkdir()
    with pytest.raises(DatalistError, match=r"No NAME_nuclei\.geojson"):
        find_rois(source / "empty")


def test_one_bad_file_does_not_stop_the_others(source, tmp_path, capsys):
    (source / "01_nuclei" / "training_set_metastatic_roi_002_nuclei.geojson").write_text("{")
    assert main(["puma", "prepare", str(source), str(tmp_path / "out"), "--workers", "1"]) == 1
    assert "training_set_metastatic_roi_002: all of it" in capsys.readouterr().out
    assert len(load_datalist(tmp_path / "out" / "datalist.json", "training")) == 1


def labels_at(dest):
    return {path: path.stat().st_mtime_ns for path in dest.rglob("*.tif")}


def test_a_run_that_was_cut_goes_on(source, tmp_path, monkeypatch):
    """Cut while the second region's last map was written: the first region is not done again, the second is."""
    dest = tmp_path / "out"
    arguments = ["puma", "prepare", str(source), str(dest), "--workers", "1"]

    def cut(path, array, **options):
        if path.parent.name == "tissue":
            raise KeyboardInterrupt
        return write_tiff(path, array, **options)

    monkeypatch.setattr("coseg_bundle.data.puma.write_tiff", cut)
    assert main(arguments) != 0
    done = labels_at(dest)
    assert [path.name for path in (dest / "reports").iterdir()] == ["training_set_metastatic_roi_002.json"]
    monkeypatch.undo()
    assert main(arguments) == 0
    again = labels_at(dest)
    assert len(again) == 5
    assert all((again[path] == stamp) == ("002" in path.name) for path, stamp in done.items())


@pytest.mark.parametrize("damage", ["record", "label", "source"])
def test_what_is_missing_or_older_is_done_again(source, tmp_path, damage):
    dest, name = tmp_path / "out", "training_set_primary_roi_001"
    arguments = ["puma", "prepare", str(source), str(dest), "--workers", "1"]
    assert main(arguments) == 0
    before = labels_at(dest)
    if damage == "record":
        (dest / "reports" / f"{name}.json").write_text("{")
    elif damage == "label":
        (dest / "types" / f"{name}.tif").unlink()
    else:
        collection(source / "01_tissue" / f"{name}_tissue.geojson", square(0, 0, 8, "tissue_tumor"))
    assert main(arguments) == 0
    after = labels_at(dest)
    assert all((before[path] == after[path]) == ("002" in path.name) for path in after)


@pytest.mark.parametrize("other", [["--oversample", "3"], ["--track", "1"]])
def test_other_settings_cut_short_leave_no_report_of_the_first(source, tmp_path, monkeypatch, other):
    """Its report would say that labels of the other settings, already written, are those of the first."""
    dest = tmp_path / "out"
    arguments = ["puma", "prepare", str(source), str(dest), "--workers", "1"]
    assert main(arguments) == 0
    before = {path: tifffile.imread(path) for path in dest.rglob("*.tif")}

    with monkeypatch.context() as patch:
        cut_at(patch, "tissue")
        assert main([*arguments, *other]) != 0
    assert main(arguments) == 0
    assert all(np.array_equal(tifffile.imread(path), array) for path, array in before.items())


ODD = [
    b"",
    b"null",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"features": 3}',
    json.dumps({"features": [None, {"geometry": {}}]}).encode(),
]


@pytest.mark.parametrize("content", ODD)
def test_odd_files_are_listed_and_the_run_goes_on(source, tmp_path, content, capsys):
    (source / "01_nuclei" / "training_set_metastatic_roi_002_nuclei.geojson").write_bytes(content)
    main(["puma", "prepare", str(source), str(tmp_path / "out"), "--workers", "1"])
    assert "skipped: training_set_metastatic_roi_002" in capsys.readouterr().out
    assert len(load_datalist(tmp_path / "out" / "datalist.json", "training")) == 1


def test_every_class_has_an_id():
    assert class_ids(2)["nuclei_epithelium"] == 10
    assert set(class_ids(1).values()) == {1, 2, 3}
    assert class_ids(1)["nuclei_melanophage"] == 3


def test_split_is_stratified_and_repeatable():
    names = [f"{kind}_{i:03}" for kind, count in (("primary", 103), ("metastatic", 102)) for i in range(count)]
    split = split_names(names, seed=1)
    assert {part: len(of_part) for part, of_part in split.items()} == {"train": 144, "valid": 20, "test": 41}
    assert sum("primary" in name for name in split["test"]) == 21
    assert split == split_names(names[::-1], seed=1)
    assert split != split_names(names, seed=2)
    assert sorted(name for part in split.values() for name in part) == sorted(names)


def test_split_of_a_user():
    items = [{"image": "/x/a.tif"}, {"image": "/x/b.tif"}]
    assert apply_split(items, {"train": ["a"], "test": ["b"]})["testing"] == [items[1]]
    mac = [{"image": "/x/a\u0308.tif"}]
    assert apply_split(mac, {"valid": ["\u00e4"]})["validation"] == mac
    with pytest.raises(DatalistError, match="in two parts"):
        apply_split(items, {"train": ["a", "b"], "valid": ["a"]})
    with pytest.raises(DatalistError, match="in two parts"):
        apply_split([*items, {"image": "/y/a.tif"}], {"train": ["b"], "valid": ["a"], "test": ["a"]})
    with pytest.raises(DatalistError, match="b is in no part"):
        apply_split(items, {"train": ["a"]})
    with pytest.raises(DatalistError, match="train, valid and test"):
        apply_split(items, {"training": ["a"]})


def prepare(source, dest):
    return main(["puma", "prepare", str(source), str(dest), "--workers", "1"])


def test_a_source_that_changed_under_the_same_size_and_time_is_noticed(source, tmp_path):
    path = source / "01_tissue" / "training_set_primary_roi_001_tissue.geojson"
    assert prepare(source, tmp_path / "out") == 0
    before, times = tifffile.imread(tmp_path / "out" / "tissue" / "training_set_primary_roi_001.tif"), path.stat()
    path.write_text(path.read_text().replace("[24, 24]", "[24, 25]"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert path.stat().st_size == times.st_size
    assert prepare(source, tmp_path / "out") == 0
    assert (before != tifffile.imread(tmp_path / "out" / "tissue" / "training_set_primary_roi_001.tif")).any()


def test_sources_that_are_gone_or_broken_are_not_listed_any_more(source, tmp_path, capsys):
    assert prepare(source, tmp_path / "out") == 0
    (source / "01_nuclei" / "training_set_primary_roi_001_nuclei.geojson").unlink()
    (source / "01_nuclei" / "training_set_metastatic_roi_002_nuclei.geojson").unlink()
    capsys.readouterr()
    assert prepare(source, tmp_path / "out") == 0
    assert "4 labels of an earlier run have no source any more and are not listed: nuclei/" in capsys.readouterr().out
    (item,) = load_datalist(tmp_path / "out" / "datalist.json", "training")
    assert set(item) == {"image", "tissue", "mpp", "dataset"}
    (source / "01_tissue" / "training_set_primary_roi_001_tissue.geojson").write_text("{")
    assert prepare(source, tmp_path / "out") == 1
    assert json.loads((tmp_path / "out" / "datalist.json").read_text())["training"] == []


def test_hidden_files_and_labels_too_fine(source, tmp_path, capsys):
    (source / "rois" / "._training_set_primary_roi_001.tif").write_bytes(b"\0\5")
    (source / "01_nuclei" / "._training_set_primary_roi_001_nuclei.geojson").write_bytes(b"\0\5")
    assert len(find_rois(source)) == 2
    arguments = ["puma", "prepare", str(source), str(tmp_path / "out"), "--workers", "1", "--oversample"]
    assert main([*arguments, "999"]) == 1
    assert "would have 1022976 x 1022976, and at most 1000000000 are painted" in capsys.readouterr().err
    with pytest.raises(ImageFileError, match="choose a smaller --oversample"):
        check_oversample(3, (20_000, 20_000))


@pytest.mark.parametrize(
    "content", ["[]", "3", "null", '{"train": 3}', '{"train": [1]}', '{"train": "ab"}', "[" * 100_000, "{", '{"a": []}']
)
def test_names_that_are_no_split(source, tmp_path, content, capsys):
    assert prepare(source, tmp_path / "out") == 0
    (tmp_path / "names.json").write_text(content)
    datalist = tmp_path / "out" / "datalist.json"
    before = datalist.read_text()
    capsys.readouterr()
    assert main(["puma", "split", str(datalist), "--names", str(tmp_path / "names.json")]) == 1
    assert "xpected a split" in capsys.readouterr().err
    assert datalist.read_text() == before


def test_preparing_once_more_keeps_the_split(tmp_path, capsys):
    """All test regions were for training again, without a word."""
    source, path = tmp_path / "published", tmp_path / "out" / "datalist.json"

    def region(name):
        collection(source / f"{name}_nuclei.geojson", square(2, 2, 3, "nuclei_tumor"))
        Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(source / f"{name}.tif")

    for name in "abcd":
        region(name)
    assert prepare(source, tmp_path / "out") == 0
    (tmp_path / "names.json").write_text('{"train": ["a"], "valid": ["c"], "test": ["b", "d"]}')
    path.write_text(json.dumps({"name": "mine", "notes": ["by hand"], **json.loads(path.read_text())}))
    assert main(["puma", "split", str(path), "--names", str(tmp_path / "names.json")]) == 0
    split = json.loads(path.read_text())
    assert (split["name"], split["notes"]) == ("mine", ["by hand"])
    assert [len(split[section]) for section in ("training", "validation", "testing")] == [1, 1, 2]
    region("e")
    capsys.readouterr()
    assert prepare(source, tmp_path / "out") == 0
    assert (
        f"{path} is divided already, and images that it lists stay in their sections "
        "(training: 2, validation: 1, testing: 2); new: e (training)"
    ) in capsys.readouterr().out
    (added,) = (item for item in json.loads(path.read_text())["training"] if item not in split["training"])
    assert json.loads(path.read_text()) == split | {"training": [*split["training"], added]}
    assert "e.tif" in added["image"]
    assert not path.with_name("datalist.former.json").exists()


def test_a_split_does_not_take_the_place_of_another_file(source, tmp_path, capsys):
    """It replaced any JSON."""
    assert prepare(source, tmp_path / "out") == 0
    (tmp_path / "names.json").write_text('{"train": ["training_set_primary_roi_001"]}')
    arguments = [
        "puma",
        "split",
        str(tmp_path / "out" / "datalist.json"),
        "--names",
        str(tmp_path / "names.json"),
        "-o",
    ]
    assert main([*arguments, str(tmp_path / "names.json")]) == 1
    assert "names.json is there and is no datalist. It is not replaced: remove it" in capsys.readouterr().err
    assert json.loads((tmp_path / "names.json").read_text()) == {"train": ["training_set_primary_roi_001"]}
    other = tmp_path / "other.json"
    other.write_text('{"training": [], "nuclei_classes": {"1": "mine"}}')
    assert main([*arguments, str(other)]) == 1
    assert "would lose the nuclei_classes 1=mine" in capsys.readouterr().err
    assert "mine" in other.read_text()


def test_parts_of_a_split_without_an_image_are_said(tmp_path, capsys):
    (tmp_path / "list.json").write_text('{"training": [{"image": "a.png"}]}')
    assert main(["puma", "split", str(tmp_path / "list.json")]) == 0
    assert "No image is for validation or testing; prepare more regions" in capsys.readouterr().out


def test_a_full_disk_is_no_fault_of_the_region(source, tmp_path, capsys):
    """Each region was listed as one that cannot be used."""
    with file_size_limit(100):
        assert prepare(source, tmp_path / "out") == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(r"coseg: \S+\.tif: the results cannot be written there \(.+\)\.", last)
    assert labels_at(tmp_path / "out") == {}
