"""What a corrected request costs in MONAI Label's application, beside the first one about the same region."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from PIL import Image

from coseg_bundle.benchmarks.timing import row
from coseg_bundle.bundle_root import find_bundle_root
from coseg_bundle.data.synthetic import synthetic_tissue
from coseg_bundle.precision import Precision
from coseg_bundle.service.query import Query
from coseg_bundle.service.segmentation import SegmentationService
from coseg_bundle.service.weights import WeightsFolder


def lines(side: int = 1024, seeds: Sequence[int] = tuple(range(8, 14))) -> Iterator[str]:
    """The section: each region is asked for once, and again with the whole of its tissue corrected."""
    torch.set_num_threads(1)
    first: list[float] = []
    corrected: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        image, label = Path(folder, "image.png"), Path(folder, "label.png")
        root = find_bundle_root()
        service = SegmentationService(root, WeightsFolder(Path(folder, "weights"), root / "models" / "model.pt"), "cpu")
        for seed in seeds:
            tissue = synthetic_tissue(side, seed)
            Image.fromarray(tissue.rgb).save(image)
            Image.fromarray(tissue.tissue_map).save(label)
            for query, seconds in ((Query(), first), (Query(label=str(label)), corrected)):
                start = time.process_time()
                service.segment(image, query)
                seconds.append(time.process_time() - start)
    shares = sorted(b / a for a, b in zip(first, corrected, strict=True))
    yield f"\nCorrected requests, {len(first)} regions of {side} x {side}, processor time of one thread"
    yield row("precision", str(Precision(**service.predictor().settings["precision"])))
    yield row("first, corrected (medians)", *(f"{statistics.median(times):.2f} s" for times in (first, corrected)))
    middle = statistics.median(shares)
    yield row(
        "corrected / first: lowest, median, highest (below 0.33)",
        *(f"{x:.2f}" for x in (shares[0], middle, shares[-1])),
    )
