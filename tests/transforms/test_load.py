import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from coseg_bundle.data.images import ImageFileError
from coseg_bundle.data.polygons import paint
from coseg_bundle.transforms import LoadHistologyd


@pytest.fixture
def item(tmp_path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)).save(tmp_path / "image.png")
    tifffile.imwrite(tmp_path / "instances.tif", np.arange(35, dtype=np.uint16).reshape(5, 7))
    Image.fromarray(np.array([[0, 1, 255, 1, 0, 0, 1]] * 5, np.uint8)).save(tmp_path / "tissue.png")
    return {name: str(next(tmp_path.glob(f"{name}.*"))) for name in ("image", "instances", "tissue")}


def test_arrays_come_as_the_files_have_them(item):
    loaded = LoadHistologyd(tissue_classes=2)({**item, "dataset": "d"})
    assert loaded["image"].shape == (3, 5, 7)
    assert loaded["image"].dtype == torch.float32
    expected = np.asarray(Image.open(item["image"])).transpose(2, 0, 1) / 255
    assert np.allclose(loaded["image"], expected, atol=1e-6)
    assert loaded["image"].meta["filename_or_obj"] == item["image"]
    assert loaded["instances"].dtype == torch.int32
    assert loaded["instances"][0, 1, 2] == 9  # row 1, column 2: not transposed
    assert loaded["tissue"][0, 0].tolist() == [0, 1, 255, 1, 0, 0, 1]
    assert loaded["dataset"] == "d"


@pytest.mark.parametrize("first", [1, 2**24, 2**31 - 3])
def test_nuclei_are_numbered_by_hand(item, first):
    ids = np.zeros((5, 7), np.int32)
    ids[0], ids[1, :3], ids[1, 3:], ids[3, 3] = -1, first + 2, first, first + 1
    tifffile.imwrite(item["instances"], ids)
    loaded = LoadHistologyd(tissue_classes=2)(item)["instances"]
    assert loaded.dtype == torch.int32
    assert loaded[0].tolist() == [[-1] * 7, [3, 3, 3, 1, 1, 1, 1], [0] * 7, [0, 0, 0, 2, 0, 0, 0], [0] * 7]


def test_the_size_of_the_file_is_remembered(item):
    loaded = LoadHistologyd(2, mpp=0.25)({**item, "mpp": 0.5})
    assert loaded["image"].shape == (3, 10, 14)
    assert loaded["image"].meta["spatial_shape"].tolist() == [5, 7]


def test_how_labels_are_read_is_given_or_said(item, tmp_path, caplog):
    tifffile.imwrite(tmp_path / "mask.tif", np.array([[0, 1, 0, 1, 0, 0, 0]] * 5, np.uint8))
    load = LoadHistologyd(2)
    loaded, [note] = load.read({**item, "instances": str(tmp_path / "mask.tif")})
    assert "mask.tif" in note
    assert "its 2 pieces" in note
    assert caplog.text == ""
    again = load({**item, "instances": str(tmp_path / "mask.tif")})
    assert note in caplog.text
    assert np.array_equal(loaded["instances"], again["instances"])


def test_null_is_what_is_not_given(item):
    loaded = LoadHistologyd(2, mpp=0.25)({"image": item["image"], "instances": None, "mpp": None})
    assert (loaded["instances"] == -1).all()
    assert "mpp" not in loaded


def test_missing_labels_become_unlabelled(item):
    loaded = LoadHistologyd(2, nuclei_types=3)({"image": item["image"]})
    assert (loaded["instances"] == -1).all()
    assert (loaded["tissue"] == 255).all()
    assert (loaded["types"] == 255).all()


def test_without_labels(item):
    assert set(LoadHistologyd(2, labels=False)(item)) == {"image"}


def test_sizes_must_agree(item, tmp_path):
    tifffile.imwrite(tmp_path / "small.tif", np.zeros((4, 7), np.uint16))
    with pytest.raises(ImageFileError, match=r"small.tif has 7 x 4 pixels and its image .*image.png has 7 x 5"):
        LoadHistologyd(2)({**item, "instances": str(tmp_path / "small.tif")})


def test_finer_labels_come_at_the_size_of_the_image(item, tmp_path):
    finer = np.zeros((15, 21), np.uint16)
    finer[4, 7] = 5  # the middle of the 3 x 3 in row 1, column 2
    finer[6, 0] = 6  # not the middle of any
    tifffile.imwrite(tmp_path / "finer.tif", finer)
    loaded = LoadHistologyd(2)({**item, "instances": str(tmp_path / "finer.tif")})
    assert loaded["instances"].shape == (1, 5, 7)
    assert loaded["instances"].nonzero().tolist() == [[0, 1, 2]]
    assert loaded["tissue"][0, 0].tolist() == [0, 1, 255, 1, 0, 0, 1]  # at the size of the image, as it was


def test_finer_labels_are_truer_at_another_resolution(tmp_path):
    """At 0.5 mpp: nuclei painted at once at that size, and those loaded from maps as fine as the image and finer."""
    rng = np.random.default_rng(0)
    angle = np.arange(9) / 9 * 2 * np.pi
    turn = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    nuclei = [[rng.uniform(5, 11) * turn + (x, y)] for x in range(15, 240, 26) for y in range(15, 240, 26)]
    ids = range(1, len(nuclei) + 1)
    wanted, _ = paint([[ring / 2 for ring in rings] for rings in nuclei], ids, (128, 128))
    Image.fromarray(np.zeros((256, 256, 3), np.uint8)).save(tmp_path / "image.png")
    wrong = {}
    for times in (1, 5):
        np.save(tmp_path / "instances.npy", paint(nuclei, ids, (256, 256), oversample=times)[0])
        item = {"image": tmp_path / "image.png", "instances": tmp_path / "instances.npy", "mpp": 0.25}
        loaded = LoadHistologyd(2, mpp=0.5)(item)["instances"][0].numpy()
        assert loaded.shape == wanted.shape
        wrong[times] = int((loaded != wanted).sum())
    assert wrong[5] < wrong[1] / 3


@pytest.mark.parametrize("shape", [(10, 7), (10, 21), (8, 14), (5, 14)])
def test_other_sizes_than_whole_multiples(item, tmp_path, shape):
    tifffile.imwrite(tmp_path / "odd.tif", np.zeros(shape, np.uint16))
    with pytest.raises(ImageFileError, match=rf"odd.tif has {shape[1]} x {shape[0]} pixels and its image .* has 7 x 5"):
        LoadHistologyd(2)({**item, "instances": str(tmp_path / "odd.tif")})


def test_unknown_class_ids(item, tmp_path):
    Image.fromarray(np.full((5, 7), 4, np.uint8)).save(tmp_path / "four.png")
    with pytest.raises(ImageFileError, match=r"four.png: unknown class ids \[4\] for tissue; expected 0 to 1 or 255"):
        LoadHistologyd(2)({**item, "tissue": str(tmp_path / "four.png")})
    with pytest.raises(ImageFileError, match="for types; expected 0 to 3"):
        LoadHistologyd(2, nuclei_types=3)({**item, "types": str(tmp_path / "four.png")})


def test_an_item_with_a_resolution_is_resampled(item):
    loaded = LoadHistologyd(tissue_classes=2, mpp=0.25)({**item, "mpp": 0.5})
    assert loaded["image"].shape == (3, 10, 14)
    assert loaded["instances"].shape == (1, 10, 14)
    assert loaded["instances"][0, 2:4, 4:6].tolist() == [[9, 9], [9, 9]]
    assert LoadHistologyd(tissue_classes=2, mpp=0.25)({**item, "mpp": 0.26})["image"].shape == (3, 5, 7)
    assert LoadHistologyd(tissue_classes=2)({**item, "mpp": 0.5})["image"].shape == (3, 5, 7)
    with pytest.raises(ValueError, match="out of range"):
        LoadHistologyd(tissue_classes=2, mpp=0.25)({**item, "mpp": 50})


@pytest.mark.parametrize("mpp", [0, -0.25, float("nan"), float("inf")])
def test_a_resolution_that_is_none(mpp):
    """0 was taken for none given."""
    with pytest.raises(ValueError, match=rf"Expected an mpp .+ above 0, got {mpp}; 0.25 is 40x"):
        LoadHistologyd(tissue_classes=2, mpp=mpp)


def test_classes_are_merged(item):
    Image.fromarray(np.array([[0, 1, 255, 3, 2, 0, 1]] * 5, np.uint8)).save(item["tissue"])
    loaded = LoadHistologyd(tissue_classes=2, tissue_merge=[0, 0, 1, 255])(item)
    assert loaded["tissue"][0, 0].tolist() == [0, 0, 255, 255, 1, 0, 0]
    with pytest.raises(ImageFileError, match=r"class ids \[3\] for tissue have no place"):
        LoadHistologyd(tissue_classes=2, tissue_merge=[0, 0, 1])(item)


def test_each_dataset_has_its_own_classes(item):
    Image.fromarray(np.array([[0, 1, 2, 3, 4, 0, 1]] * 5, np.uint8)).save(item["tissue"])
    load = LoadHistologyd(tissue_classes=2, tissue_merge={"d": [255, 0, 0, 255, 1], "e": [0]})
    assert load({**item, "dataset": "d"})["tissue"][0, 0].tolist() == [255, 0, 0, 255, 1, 255, 0]
    with pytest.raises(ImageFileError, match="unknown class ids"):
        load({**item, "dataset": "not named, so taken as it is"})


def test_a_resolution_that_the_list_does_not_have_is_said(tmp_path, caplog):
    """The list counts: labels lie on its pixels. But nobody should learn from it too late."""
    options = {"resolution": (2e4, 2e4), "resolutionunit": "CENTIMETER", "photometric": "rgb"}
    tifffile.imwrite(tmp_path / "half.tif", np.zeros((8, 8, 3), np.uint8), **options)
    load, item = LoadHistologyd(tissue_classes=2, mpp=0.25), {"image": str(tmp_path / "half.tif")}
    assert load(item)["image"].shape == (3, 8, 8)
    assert "Images that say 0.5 um per pixel count as 0.25" in caplog.text
    caplog.clear()
    assert load(item | {"mpp": 0.5})["image"].shape == (3, 16, 16)
    assert not caplog.text


@pytest.mark.parametrize(
    ("merge", "expected"),
    [
        (None, [0, 255, 255, 2, 1, 255, 3]),
        ([1, 2, 2, 3], [1, 1, 1, 2, 2, 1, 3]),  # classes that are numbered from 0
        ([0, 0, 1, 1], [0, 255, 255, 1, 0, 255, 1]),  # 1 is background, because a person says so
    ],
)
def test_nuclei_of_type_0_are_of_unlabelled_type(item, tmp_path, merge, expected):
    """They counted as the class background, and the network learnt that they are none of its classes."""
    tifffile.imwrite(tmp_path / "nuclei.tif", np.array([[0, 1, 1, 2, 3, -1, 4]] * 5, np.int32))
    tifffile.imwrite(tmp_path / "types.tif", np.array([[0, 0, 0, 2, 1, 0, 3]] * 5, np.uint8))
    typed = {**item, "instances": str(tmp_path / "nuclei.tif"), "types": str(tmp_path / "types.tif")}
    load = LoadHistologyd(2, nuclei_types=3, nuclei_merge=merge)
    assert load(typed)["types"][0, 0].tolist() == expected
    del typed["instances"]  # then nobody knows where nuclei are
    assert LoadHistologyd(2, nuclei_types=3)(typed)["types"][0, 0].tolist() == [0, 0, 0, 2, 1, 0, 3]
