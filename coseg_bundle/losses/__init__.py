"""Losses of the Co-Seg network."""

from coseg_bundle.losses.coseg_loss import CoSegLoss
from coseg_bundle.losses.hv import HVGradientLoss, hv_mse

__all__ = ["CoSegLoss", "HVGradientLoss", "hv_mse"]
