import torch

from coseg_bundle.transforms import RandGlassd


def item():
    return {
        "image": torch.full((3, 4, 6), 0.3),
        "instances": torch.full((1, 4, 6), 7, dtype=torch.int32),
        "tissue": torch.full((1, 4, 6), 255, dtype=torch.int32),
    }


def test_glass_is_bright_and_labelled_as_empty():
    out = RandGlassd(("image", "instances", "tissue"), prob=1).set_random_state(0)(item())
    assert out["image"].shape == (3, 4, 6)
    assert out["image"].dtype == torch.float32
    assert out["image"].min() > 0.8
    assert out["image"].max() <= 1
    assert not out["instances"].any()
    assert not out["tissue"].any()


def test_most_crops_stay():
    transform = RandGlassd(("image", "instances", "tissue"), prob=0.1).set_random_state(0)
    changed = sum(bool(transform(item())["image"].mean() > 0.8) for _ in range(300))
    assert 10 < changed < 60
    assert RandGlassd("image", prob=0)(item())["image"].equal(item()["image"])
