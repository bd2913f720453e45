"""Glue between batches and Ignite engines."""

from coseg_bundle.engines.prepare_batch import CoSegPrepareBatch

__all__ = ["CoSegPrepareBatch"]
