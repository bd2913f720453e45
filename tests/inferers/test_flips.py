import pytest
import torch
from monai.inferers import SimpleInferer

from coseg_bundle.inferers import FlipInferer
from coseg_bundle.networks import HeadLayout

LAYOUT = HeadLayout(2)


def position_network(image: torch.Tensor) -> torch.Tensor:
    """Its nuclei logit is the image; its hv map is the slope of the image, which turns with it."""
    pred = torch.zeros(image.shape[0], LAYOUT.channels, *image.shape[-2:])
    pred[:, 2] = image[:, 0]
    pred[:, 3, :, 1:] = image[:, 0].diff(dim=-1)
    pred[:, 3, :, :-1] += image[:, 0].diff(dim=-1)
    pred[:, 4, 1:] = image[:, 0].diff(dim=-2)
    pred[:, 4, :-1] += image[:, 0].diff(dim=-2)
    return pred


def test_a_network_that_turns_with_its_image_gains_nothing():
    image = torch.rand(2, 3, 8, 12)
    once = FlipInferer(SimpleInferer(), LAYOUT, enabled=False)(image, position_network)
    torch.testing.assert_close(once, position_network(image))
    torch.testing.assert_close(FlipInferer(SimpleInferer(), LAYOUT)(image, position_network), once)


@pytest.mark.parametrize(("enabled", "calls"), [(True, 4), (False, 1)])
def test_calls(enabled, calls):
    seen = []

    def network(image):
        seen.append(image)
        return position_network(image)

    FlipInferer(SimpleInferer(), LAYOUT, enabled)(torch.rand(1, 3, 4, 4), network)
    assert len(seen) == calls
    assert len({tuple(image.flatten().tolist()) for image in seen}) == calls


def test_lopsided_answers_become_even():
    """A network that always sees more on the left: the mean does not."""

    def lopsided(image):
        pred = torch.zeros(1, LAYOUT.channels, 4, 4)
        pred[:, 2, :, 0] = 4.0
        return pred

    pred = FlipInferer(SimpleInferer(), LAYOUT)(torch.rand(1, 3, 4, 4), lopsided)
    assert pred[0, 2, 0].tolist() == [2, 0, 0, 2]
