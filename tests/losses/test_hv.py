import pytest
import torch
from monai.apps.pathology.losses import HoVerNetLoss

from coseg_bundle.losses import HVGradientLoss, hv_mse


def test_mse_by_hand():
    pred, target = torch.zeros(1, 2, 1, 2), torch.tensor([[[[1.0, 5.0]], [[-1.0, 5.0]]]])
    labelled = torch.tensor([[[[True, False]]]])
    assert hv_mse(pred, target, labelled).item() == pytest.approx(1.0)  # the unlabelled pixel's 25 does not count
    assert hv_mse(pred, target, labelled & False).item() == 0  # as `HVGradientLoss` without nuclei


@pytest.mark.parametrize("channel", [0, 1])
def test_gradient_of_a_slope_by_hand(channel):
    # 2.4 and 1.8 are the sums of the filter's columns at offsets 1 and 2: 2 * (2.4 * 1 + 1.8 * 2) = 12 per unit slope
    slope = 0.1 * torch.arange(9.0).expand(9, 9)
    target = torch.zeros(1, 2, 9, 9)
    target[0, channel] = slope if channel == 0 else slope.T
    middle = torch.zeros(1, 1, 9, 9, dtype=torch.bool)
    middle[..., 3:6, 3:6] = True
    loss = HVGradientLoss()
    assert loss(torch.zeros(1, 2, 9, 9), target, middle).item() == pytest.approx(1.2**2 / 2, rel=1e-5)
    across = torch.zeros(1, 2, 9, 9)
    across[0, 1 - channel] = target[0, channel]  # x does not care how it changes vertically
    assert loss(torch.zeros(1, 2, 9, 9), across, middle).item() == pytest.approx(0, abs=1e-9)


def test_same_axes_as_monai():
    # MONAI's filter is another one, normalised to a slope of 1: on slopes the two differ by 12 squared
    x = torch.linspace(-1, 1, 24).expand(24, 24)
    pred, target = torch.stack([x, 0.5 * x.T])[None], torch.zeros(1, 2, 24, 24)
    nuclei = torch.zeros(1, 1, 24, 24, dtype=torch.bool)
    nuclei[..., 4:20, 4:20] = True
    theirs = HoVerNetLoss()._mse_gradient_loss(pred, target, nuclei[:, 0])
    assert HVGradientLoss()(pred, target, nuclei).item() == pytest.approx(144 * float(theirs), rel=1e-3)


def test_no_nuclei_no_loss():
    assert HVGradientLoss()(torch.randn(1, 2, 8, 8), torch.zeros(1, 2, 8, 8), torch.zeros(1, 1, 8, 8).bool()) == 0
