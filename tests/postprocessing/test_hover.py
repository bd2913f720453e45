import numpy as np
import pytest
from maps import discs, perfect_maps
from scipy import ndimage
from skimage.measure import label
from skimage.morphology import disk

from coseg_bundle.metrics.panoptic import panoptic_quality
from coseg_bundle.postprocessing.hover import _filled, _opened, edge_strength, segment_instances


def test_two_touching_nuclei_are_two():
    instances = np.zeros((40, 40), np.int32)
    instances[10:26, 6:20] = 1
    instances[10:26, 20:34] = 2
    found = segment_instances(*perfect_maps(instances))
    assert np.array_equal(found, instances)


def test_improbable_nuclei_are_dropped_and_the_others_keep_their_outlines():
    instances = np.zeros((40, 60), np.int32)
    instances[10:26, 6:20] = 1
    instances[10:26, 30:44] = 2
    prob, hv = perfect_maps(instances)
    prob[instances == 1] = 0.7  # mean 0.7; half of the other at 0.6: mean 0.8
    prob[10:18, 30:44] = 0.6
    assert np.array_equal(segment_instances(prob, hv, min_prob=0.75), np.where(instances == 2, 1, 0))
    assert np.array_equal(segment_instances(prob, hv, min_prob=0.0), instances)
    assert np.array_equal(segment_instances(prob, hv, min_prob=0.75, opening_px=3) > 0, _opened(instances, 3) == 2)
    assert not segment_instances(prob, hv, min_prob=0.81).any()


def test_spikes_go_and_thin_nuclei_stay():
    instances = np.zeros((40, 60), np.int32)
    instances[10:26, 6:20] = 1
    instances[30:32, 5:40] = 2
    spiked = instances.copy()
    spiked[17:19, 20:36] = 1  # two pixels wide
    prob, hv = perfect_maps(instances)
    prob[spiked > 0] = 1
    found = segment_instances(prob, hv, opening_px=5)
    rounded = instances.copy()  # without the corners, which no disk of 5 px reaches
    rounded[[10, 10, 11, 25, 25, 24], [6, 7, 6, 6, 7, 6]] = 0
    rounded[[10, 10, 11, 25, 25, 24], [19, 18, 19, 19, 18, 19]] = 0
    rounded[17:19, 20] = 1  # the foot of the spike: a disk's tip reaches in
    assert np.array_equal(found, rounded)
    assert np.array_equal(segment_instances(prob, hv) > 0, spiked > 0)


def test_a_thin_nucleus_with_a_bump_stays():
    instances = np.zeros((20, 30), np.int32)
    instances[8:12, 6:18] = 1  # the disk of 5 px fits nowhere
    assert np.array_equal(_opened(instances, 5), instances)
    instances[7, 12] = 1  # and now at one place
    assert np.array_equal(_opened(instances, 5), instances)


def slowly_opened(instances, shape):
    """From the definition: the union of the disks that fit into an instance, and of that the largest part."""
    radius = shape.shape[0] // 2
    opened = np.zeros_like(instances)
    for instance in range(1, instances.max() + 1):
        inside = instances == instance
        room = np.pad(inside, radius, constant_values=True)  # what lies outside is no reason to cut
        union = np.zeros_like(room)
        for y in range(radius, room.shape[0] - radius):
            for x in range(radius, room.shape[1] - radius):
                window = slice(y - radius, y + radius + 1), slice(x - radius, x + radius + 1)
                if room[window][shape > 0].all():
                    union[window] |= shape > 0
        parts, count = ndimage.label(union[radius:-radius, radius:-radius] & inside)
        sizes = np.bincount(parts.ravel())[1:]
        is_thin = count == 0 or 2 * sizes.max() < inside.sum()
        opened[inside if is_thin else parts == 1 + sizes.argmax()] = instance
    return opened


@pytest.mark.parametrize("seed", range(20))
def test_opening_is_the_union_of_the_disks_that_fit(seed):
    rng = np.random.default_rng(seed)
    blobs = ndimage.gaussian_filter(rng.standard_normal((2, 36, 44)), (0, 1.5, 1.5))
    instances = label(np.where(blobs[0] > 0, 1 + (blobs[1] > 0), 0), connectivity=1).astype(np.int32)
    for size in (3, 5):
        assert np.array_equal(_opened(instances, size), slowly_opened(instances, disk(size // 2)))


def test_holes_are_those_of_scipy():
    rng = np.random.default_rng(0)
    for _ in range(50):
        mask = rng.random((17, 23)) < 0.6
        assert np.array_equal(_filled(mask), ndimage.binary_fill_holes(mask))


def test_edge_strength_by_hand():
    ramp = np.tile(np.linspace(-1, 1, 41, dtype=np.float32), (41, 1))
    flat = np.zeros_like(ramp)
    centre = (20, 20)
    assert edge_strength(np.stack([flat, flat]), 21)[centre] == pytest.approx(0.5)  # flat is in the middle
    assert edge_strength(np.stack([ramp, flat]), 21)[centre] == pytest.approx(0.5)  # rising x; y is flat: the maximum
    assert edge_strength(np.stack([ramp, ramp.T]), 21)[centre] < 0.5  # inside a nucleus
    assert edge_strength(np.stack([-ramp, ramp.T]), 21)[centre] > 0.5  # from one nucleus to the next
    step = np.where(np.arange(41) < 20, 1, -1).astype(np.float32) * np.ones((41, 1), np.float32)
    assert 0.9 < edge_strength(np.stack([step, flat]), 3).max() <= 1  # the steepest fall that there can be


def test_edge_strength_knows_its_normalisations():
    with pytest.raises(ValueError, match="Expected normalisation fixed or minmax, got 'max'"):
        edge_strength(np.zeros((2, 4, 4), np.float32), 3, "max")


def test_round_trip_of_many_nuclei():
    instances = discs(300, 120)
    found = segment_instances(*perfect_maps(instances))
    assert panoptic_quality(found, instances).pq > 0.95


def test_noise_does_not_break_nuclei():
    instances = discs(200, 50)
    rng = np.random.default_rng(0)
    prob, hv = perfect_maps(instances)
    noisy = np.clip(prob * 0.8 + 0.1 + 0.1 * rng.standard_normal(prob.shape), 0, 1).astype(np.float32)
    found = segment_instances(noisy, (hv + 0.1 * rng.standard_normal(hv.shape)).astype(np.float32))
    assert panoptic_quality(found, instances).dq > 0.9


def interior(instance_map: np.ndarray, margin: int) -> set[tuple]:
    """Instances that keep away from the border, as sets of pixels would be compared: by their pixels."""
    height, width = instance_map.shape
    found = set()
    for i in range(1, instance_map.max() + 1):
        rows, columns = np.nonzero(instance_map == i)
        if rows.size and min(rows.min(), columns.min()) >= margin and rows.max() < height - margin:
            if columns.max() < width - margin:
                found.add((int(rows.min()), int(columns.min()), rows.tobytes(), columns.tobytes()))
    return found


@pytest.mark.parametrize("offset", [(0, 0), (131, 77), (256, 256)])
def test_a_tile_gives_the_instances_of_the_whole_image(offset):
    """Fixed scale: what else is in the image does not matter. The image's maps are noisy and badly scaled elsewhere."""
    rng = np.random.default_rng(1)
    prob, hv = perfect_maps(discs(512, 300, seed=2))
    hv = (hv * 0.7 + 0.05 * rng.standard_normal(hv.shape)).astype(np.float32)
    y, x = offset
    tile = segment_instances(prob[y : y + 256, x : x + 256], hv[:, y : y + 256, x : x + 256])
    whole = segment_instances(prob, hv)[y : y + 256, x : x + 256]
    margin = 32  # the reach of the filters (13 px) and a nucleus
    assert len(interior(tile, margin)) > 30
    assert interior(tile, margin) == interior(whole, margin)


@pytest.mark.slow
@pytest.mark.parametrize("offset", [(0, 0), (513, 300), (1024, 1024)])
def test_a_1024_tile_in_a_2048_image(offset):
    prob, hv = perfect_maps(discs(2048, 4000, seed=2))
    y, x = offset
    tile = segment_instances(prob[y : y + 1024, x : x + 1024], hv[:, y : y + 1024, x : x + 1024])
    whole = segment_instances(prob, hv)[y : y + 1024, x : x + 1024]
    assert len(interior(tile, 32)) > 600
    assert interior(tile, 32) == interior(whole, 32)


def test_minmax_does_depend_on_the_rest():
    """Why fixed scale is the default: the published normalisation changes a nucleus when another one appears."""
    instances = discs(128, 20, seed=4)
    prob, hv = perfect_maps(instances)
    weak = (hv * 0.3).astype(np.float32)
    with_outlier = weak.copy()
    with_outlier[:, :4, :4] = np.array([[[1.0]], [[-1.0]]])
    before = segment_instances(prob, weak, normalisation="minmax", edge_threshold=0.6)
    after = segment_instances(prob, with_outlier, normalisation="minmax", edge_threshold=0.6)
    assert not np.array_equal(before, after)
    assert np.array_equal(segment_instances(prob, weak), segment_instances(prob, with_outlier))


def test_extremes():
    empty = np.zeros((32, 48), np.float32)
    assert segment_instances(empty, np.zeros((2, 32, 48), np.float32)).max() == 0
    full = np.ones((32, 48), np.int32)
    assert np.array_equal(segment_instances(*perfect_maps(full)), full)  # one nucleus fills the tile
    flat_hv = np.zeros((2, 32, 48), np.float32)
    assert np.array_equal(segment_instances(full.astype(np.float32), flat_hv), full)
    one = np.ones((1, 1), np.float32)
    assert segment_instances(one, np.zeros((2, 1, 1), np.float32), min_area_px=1).tolist() == [[1]]


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (0, 0)])
def test_no_pixels_have_no_nuclei(shape):
    found = segment_instances(np.ones(shape, np.float32), np.zeros((2, *shape), np.float32))
    assert found.shape == shape
    assert found.dtype == np.int32


def test_small_nuclei_stay_and_specks_go():
    instances = np.zeros((30, 30), np.int32)
    instances[4:8, 4:8] = 1  # 16 px
    instances[20, 20:22] = 2  # 2 px
    found = segment_instances(*perfect_maps(instances), min_area_px=10)
    assert np.array_equal(found, np.where(instances == 1, 1, 0))


def test_ids_are_consecutive_and_pieces_connected():
    found = segment_instances(*perfect_maps(discs(200, 60)))
    assert np.array_equal(np.unique(found), np.arange(found.max() + 1))
    assert all(ndimage.label(found == i)[1] == 1 for i in range(1, found.max() + 1))


@pytest.mark.parametrize(
    ("prob", "hv", "options", "words"),
    [
        (np.zeros((4, 4)), np.zeros((2, 4, 5)), {}, r"Expected hv_map \(2, 4, 4\)"),
        (np.full((4, 4), np.nan), np.zeros((2, 4, 4)), {}, "not finite"),
        (np.zeros((4, 4)), np.zeros((2, 4, 4)), {"sobel_size": 20}, "odd sobel_size"),
        (np.zeros((4, 4)), np.zeros((2, 4, 4)), {"opening_px": 4}, "odd opening_px"),
        (np.zeros((4, 4)), np.zeros((2, 4, 4)), {"normalisation": "max"}, "normalisation fixed or minmax, got 'max'"),
    ],
)
def test_bad_input(prob, hv, options, words):
    with pytest.raises(ValueError, match=words):
        segment_instances(prob.astype(np.float32), hv.astype(np.float32), **options)
