import torch

from coseg_bundle import keys
from coseg_bundle.batches import CoSegPrepareBatch


def batch() -> dict[str, torch.Tensor]:
    names = (keys.TISSUE, keys.NUCLEI, keys.HV_MAP)
    return {keys.IMAGE: torch.zeros(2, 3, 4, 4), **{name: torch.full((2, 1, 4, 4), i) for i, name in enumerate(names)}}


def test_image_and_targets_stand_apart():
    image, targets, positional, arguments = CoSegPrepareBatch(return_prior=True)(batch())
    assert image.shape == (2, 3, 4, 4)
    assert list(targets) == [keys.TISSUE, keys.NUCLEI, keys.HV_MAP]
    assert (positional, arguments) == ((), {"return_prior": True})
    assert CoSegPrepareBatch()(batch())[3] == {}


def test_whether_the_resolution_is_known_is_said_of_a_batch():
    prepare = CoSegPrepareBatch(resolution=True)
    assert prepare(batch())[3] == {"resolution_known": False}
    assert prepare(batch() | {keys.MPP: torch.tensor([0.5, 0.25])})[3] == {"resolution_known": True}


def test_a_share_of_the_batches_tells_the_tissue():
    torch.manual_seed(0)
    prepare = CoSegPrepareBatch(told=0.5)
    told = [prepare(batch())[3] for _ in range(200)]
    assert 70 < sum("said" in arguments for arguments in told) < 130
    said = next(arguments["said"] for arguments in told if arguments)
    assert torch.equal(said[keys.TISSUE], batch()[keys.TISSUE])


def test_teachers_add_a_target():
    image, targets, _, arguments = CoSegPrepareBatch(teachers=lambda image: image[:, :1] + 1)(batch())
    assert list(targets) == [keys.TISSUE, keys.NUCLEI, keys.HV_MAP, keys.TAUGHT]
    assert torch.equal(targets[keys.TAUGHT], torch.ones(2, 1, 4, 4))  # asked about the very image that the pupil sees
    assert torch.equal(image, batch()[keys.IMAGE])
    assert arguments == {}
    assert keys.TAUGHT not in CoSegPrepareBatch()(batch())[1]
