"""Batches: what the trainer and the evaluator are given, and what teachers add to it."""

from coseg_bundle.batches.prepare_batch import CoSegPrepareBatch
from coseg_bundle.batches.teachers import Teachers

__all__ = ["CoSegPrepareBatch", "Teachers"]
