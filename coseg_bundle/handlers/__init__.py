"""Ignite handlers that the configs name."""

from coseg_bundle.handlers.averaging import CurrentWeights, MovingAverage
from coseg_bundle.handlers.checkpoints import LastCheckpointHandler, ReleaseHandler, ResumeHandler
from coseg_bundle.handlers.progress import EpochSeedHandler, ProgressHandler
from coseg_bundle.handlers.progress_page import ProgressPageHandler
from coseg_bundle.handlers.report import ReportHandler
from coseg_bundle.handlers.results import WriteResultsHandler
from coseg_bundle.handlers.stopping import StopSignals

__all__ = [
    "CurrentWeights",
    "EpochSeedHandler",
    "LastCheckpointHandler",
    "MovingAverage",
    "ProgressHandler",
    "ProgressPageHandler",
    "ReleaseHandler",
    "ReportHandler",
    "ResumeHandler",
    "StopSignals",
    "WriteResultsHandler",
]
