import gzip

import nibabel
import numpy as np
import pytest

from coseg_bundle.data.images import ImageFileError, read_image, read_instances_of, read_label, read_label_of
from coseg_bundle.data.images.volumes import check_same_axes


def save(path, array, spacing=(0.00025, 0.00025), unit="mm"):
    volume = nibabel.Nifti1Image(array, np.diag([*spacing, 1, 1]))
    volume.header.set_xyzt_units(unit)
    nibabel.save(volume, path)
    return path


def test_by_hand(tmp_path):
    values = np.arange(6, dtype=np.uint8).reshape(3, 2, 1)  # (W, H, 1)
    image = read_image(save(tmp_path / "a.nii", values))
    assert image.rgb[..., 0].tolist() == [[0, 2, 4], [1, 3, 5]]
    assert image.mpp == pytest.approx(0.25)


@pytest.mark.parametrize(("unit", "spacing"), [("mm", 0.00025), ("micron", 0.25), ("meter", 2.5e-7)])
def test_units(tmp_path, unit, spacing):
    path = save(tmp_path / "a.nii", np.ones((3, 2, 1), np.uint8), (spacing, spacing), unit)
    assert read_image(path).mpp == pytest.approx(0.25, rel=1e-4)


def test_default_and_oblong_sizes(tmp_path):
    assert read_image(save(tmp_path / "a.nii", np.ones((3, 2, 1), np.uint8), (1, 1))).mpp is None
    image = read_image(save(tmp_path / "b.nii", np.ones((3, 2, 1), np.uint8), (0.00025, 0.0005)))
    assert "not square" in image.mpp_refusal


def test_what_the_header_says_is_checked_first(tmp_path):
    path = save(tmp_path / "a.nii", np.ones((3, 2, 1), np.uint8))
    content = bytearray(path.read_bytes())
    content[42:46] = np.array([32_767, 32_767], "<i2").tobytes()
    path.write_bytes(content)
    with pytest.raises(ImageFileError, match="its header says 32767 x 32767 pixels"):
        read_image(path)
    np.save(tmp_path / "a.npy", np.zeros((2, 2), np.uint8))
    text = (tmp_path / "a.npy").read_bytes().replace(b"(2, 2), }            ", b"(1000000, 6000000), }"[:21])
    (tmp_path / "a.npy").write_bytes(text)
    with pytest.raises(ImageFileError, match=r"a.npy: "):
        read_label(tmp_path / "a.npy")


def test_stacks_are_refused(tmp_path):
    with pytest.raises(ImageFileError, match=r"expected one slice, .* got shape \(3, 2, 5\)"):
        read_image(save(tmp_path / "a.nii", np.ones((3, 2, 5), np.uint8)))


def test_the_sum_of_a_packed_volume_is_compared(tmp_path):
    values = np.random.default_rng(0).integers(0, 255, (200, 150, 1), np.uint8)
    path = save(tmp_path / "a.nii.gz", values)
    assert np.array_equal(read_image(path).rgb[..., 0], values[..., 0].T)
    content = bytearray(gzip.compress(gzip.decompress(path.read_bytes())))
    content[-8] ^= 4  # the sum of what is packed
    path.write_bytes(content)
    with pytest.raises(ImageFileError, match=r"a\.nii\.gz: not readable as an image \(CRC check failed"):
        read_image(path)
    path.write_bytes(content[:-8])
    with pytest.raises(ImageFileError, match=r"a\.nii\.gz: not readable as an image \(Compressed file ended"):
        read_image(path)


TURNED = np.diag([0.001, 0.001, 1, 1])
TURNED[:2, 3] = [-0.002, -0.001]  # where the last pixel of `TO_THE_LEFT` lies


def lying(path, array, affine):
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return path


def test_a_label_that_lies_the_other_way_round_is_refused(tmp_path):
    """Pixels and affine are turned both, so that it lies where its image does; pixel by pixel it does not fit."""
    label = np.arange(6, dtype=np.uint8).reshape(3, 2, 1)
    image = lying(tmp_path / "image.nii", label, np.diag([-0.001, -0.001, 1, 1]))
    turned = lying(tmp_path / "turned.nii.gz", np.ascontiguousarray(label[::-1, ::-1]), TURNED)
    said = r"turned\.nii\.gz: by its affine x and y lead to R and A, and those of its image .*image\.nii to L and P, so"
    for read in (read_label_of, read_instances_of):
        with pytest.raises(ImageFileError, match=said):
            read(image, (2, 3), turned)
    swapped = lying(tmp_path / "swapped.nii", label, np.array(TURNED)[[1, 0, 2, 3]])
    with pytest.raises(ImageFileError, match="lead to A and R"):
        check_same_axes(image, swapped)


@pytest.mark.parametrize(
    "affine",
    [
        None,
        np.eye(4),
        np.diag([-1, -1, 1, 1]),  # ITK's identity
        np.diag([-0.002, -0.002, 7, 1]),
        np.array([[-0.001, 0, 0, 9], [0, -0.001, 0, 5], [0, 0, 1, 0], [0, 0, 0, 1]]),
    ],
    ids=["none", "identity", "ITK", "scale", "origin"],
)
def test_labels_that_say_nothing_else_count_pixel_by_pixel(tmp_path, affine):
    label = np.arange(6, dtype=np.uint8).reshape(3, 2, 1)
    image = lying(tmp_path / "image.nii", label, np.diag([-0.001, -0.001, 1, 1]))
    found = read_label_of(image, (2, 3), lying(tmp_path / "label.nii", label, affine))
    assert found.tolist() == [[0, 2, 4], [1, 3, 5]]
    check_same_axes(tmp_path / "image.png", lying(tmp_path / "turned.nii", label, TURNED))  # a PNG says nothing


@pytest.mark.parametrize("value", [np.nan, np.inf, 0])
def test_a_broken_affine_says_nothing(tmp_path, value):
    label = np.arange(6, dtype=np.uint8).reshape(3, 2, 1)
    image, broken = (lying(tmp_path / name, label, TURNED) for name in ("image.nii", "broken.nii"))
    with broken.open("r+b") as file:
        file.seek(280)  # the three rows of sform
        file.write(np.full(12, value, "<f4").tobytes())
    check_same_axes(image, broken)
