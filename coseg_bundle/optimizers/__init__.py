"""Optimisers."""

from coseg_bundle.optimizers.muon_adamw import MuonAdamW

__all__ = ["MuonAdamW"]
