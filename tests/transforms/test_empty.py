import pytest
import torch

from coseg_bundle.transforms import RandEmptyd

KEYS = ("image", "instances", "tissue")


def item(side=64):
    return {
        "image": torch.full((3, side, side), 0.3),
        "instances": torch.full((1, side, side), 7, dtype=torch.int32),
        "tissue": torch.full((1, side, side), 255, dtype=torch.int32),
    }


@pytest.mark.parametrize("seed", range(40))
def test_labels_are_empty_where_the_image_is_and_stay_elsewhere(seed):
    out = RandEmptyd(KEYS, prob=1, noise=0).set_random_state(seed)(item())
    empty = out["tissue"] == 0
    assert empty.equal(out["instances"] == 0)
    assert out["image"].dtype == torch.float32
    assert out["tissue"].dtype == out["instances"].dtype == torch.int32
    assert 0 <= out["image"].min() <= out["image"].max() <= 1
    assert out["image"][:, ~empty[0]].shape[1] == int((out["instances"] == 7).sum())
    assert set(out["tissue"].unique().tolist()) <= {0, 255}


def test_every_shape_and_colour_comes():
    transform = RandEmptyd(KEYS, prob=1).set_random_state(0)
    outs = [transform(item()) for _ in range(200)]
    shares = [float((out["tissue"] == 0).float().mean()) for out in outs]
    assert max(shares) == 1
    assert sum(0.1 < share < 0.9 for share in shares) > 100
    means = [float(out["image"][:, (out["tissue"] == 0)[0]].mean()) for out in outs if (out["tissue"] == 0).any()]
    assert sum(mean > 0.8 for mean in means) > 50
    assert sum(mean < 0.08 for mean in means) > 20
    assert sum(0.2 < mean < 0.7 for mean in means) > 10


def test_most_crops_stay():
    transform = RandEmptyd(KEYS, prob=0.1).set_random_state(0)
    changed = sum(not transform(item())["image"].equal(item()["image"]) for _ in range(300))
    assert 10 < changed < 60
    assert RandEmptyd("image", prob=0)(item())["image"].equal(item()["image"])
