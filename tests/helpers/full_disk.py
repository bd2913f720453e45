"""A disk that takes no more: a limit on the size of files, which fails alike, and in the words of each writer."""

from contextlib import contextmanager

import pytest


@contextmanager
def file_size_limit(size):
    """No file that this process writes in the block can have more bytes."""
    resource = pytest.importorskip("resource", reason="Windows has no such limits")
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
