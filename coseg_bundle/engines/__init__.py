"""Glue between batches and Ignite engines."""

from coseg_bundle.engines.prepare_batch import CoSegPrepareBatch
from coseg_bundle.engines.teachers import Teachers

__all__ = ["CoSegPrepareBatch", "Teachers"]
