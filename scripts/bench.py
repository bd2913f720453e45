"""Measures speed as ratios: every number is a median of rounds in which both sides take turns, in one run.

python scripts/bench.py                     all sections
python scripts/bench.py postprocessing      one of them
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


def seconds(*actions: Callable[[], object], rounds: int = 5) -> list[float]:
    """Median time of each action; they take turns, so that a slow moment of the machine meets all of them."""
    times: list[list[float]] = [[] for _ in actions]
    for _ in range(rounds):
        for action, taken in zip(actions, times, strict=True):
            start = time.perf_counter()
            action()
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in times]


def row(what: str, *columns: str) -> None:
    print(f"  {what:<64}" + "".join(f"{column:>14}" for column in columns), flush=True)


def ellipses(count: int, size: int = 1024, seed: int = 0) -> NDArray[np.int32]:
    """`count` nuclei on a jittered grid, as large as its cells allow up to 18 px, many of them touching."""
    rng = np.random.default_rng(seed)
    cells = int(np.ceil(count**0.5))
    pitch = size / cells
    radius = min(9.0, pitch / 2)
    instances = np.zeros((size, size), np.int32)
    reach = int(radius) + 1
    for number, cell in enumerate(rng.permutation(cells**2)[:count], start=1):
        centre = (np.array(divmod(cell, cells)) + 0.5) * pitch + rng.uniform(-0.2, 0.2, 2) * pitch
        y, x = np.clip(centre.astype(int), reach, size - reach - 1)
        yy, xx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        a, b = radius * rng.uniform(0.7, 1.0, 2)
        window = instances[y - reach : y + reach + 1, x - reach : x + reach + 1]
        window[((yy / a) ** 2 + (xx / b) ** 2 <= 1) & (window == 0)] = number
    return instances


def network_output(instances: NDArray[np.int32], types: int = 5) -> NDArray[np.float32]:
    """What a good, slightly noisy network with types would say about these instances, `(9 + types, H, W)`."""
    from coseg_bundle.networks import HeadLayout
    from coseg_bundle.transforms import hv_map

    rng = np.random.default_rng(0)
    layout = HeadLayout(2, types)
    pred = np.zeros((layout.channels, *instances.shape), np.float32)
    parts = layout.split(pred, channel_dim=0)
    parts["tissue_logits"][1] = np.where(np.arange(instances.shape[1]) < instances.shape[1] // 2, 3, -3)
    parts["nuclei_logits"][0] = np.where(instances > 0, 4, -4)
    parts["hv_map"][:] = hv_map(instances)
    type_map = np.where(instances > 0, instances % types + 1, 0)
    np.put_along_axis(parts["type_logits"], type_map[None], 4.0, axis=0)
    return pred + rng.normal(0, 0.02, pred.shape).astype(np.float32)


def bench_postprocessing() -> None:
    """Ours against MONAI's HoVer-Net post-processing, and against twice the nuclei."""
    import torch
    from monai.apps.pathology.transforms.post.array import (
        HoVerNetInstanceMapPostProcessing,
        HoVerNetNuclearTypePostProcessing,
    )

    from coseg_bundle.networks import HeadLayout
    from coseg_bundle.postprocessing.prediction import PostProcessing

    layout = HeadLayout(2, 5)
    ours = PostProcessing(layout, min_nucleus_area_px=10)
    preds = {count: network_output(ellipses(count)) for count in (400, 800, 1600)}
    parts = layout.split(preds[800], channel_dim=0)
    logit = parts["nuclei_logits"]
    tensors = [torch.from_numpy(np.ascontiguousarray(x)) for x in (np.concatenate([-logit, logit]), parts["hv_map"])]
    type_logits = torch.from_numpy(np.ascontiguousarray(parts["type_logits"]))
    instances_of_monai = HoVerNetInstanceMapPostProcessing(sobel_kernel_size=21, min_object_size=10)
    types_of_monai = HoVerNetNuclearTypePostProcessing()

    def monai() -> dict:  # type: ignore[type-arg]
        info, instance_map = instances_of_monai(*tensors)
        return types_of_monai(type_logits, info, instance_map)[0]

    print("\nPost-processing of 1024 x 1024: instances, contours, classes, table")
    row("nuclei found, of 800: ours, MONAI", str(len(ours(preds[800]).instances)), str(len(monai())))
    t_ours, t_monai = seconds(lambda: ours(preds[800]), monai, rounds=3)
    row(
        "800 nuclei: ours, MONAI, ours / MONAI (at most 0.33)",
        f"{t_ours:.2f} s",
        f"{t_monai:.2f} s",
        f"{t_ours / t_monai:.3f}",
    )
    t_400, t_800, t_1600 = seconds(*(lambda pred=pred: ours(pred) for pred in preds.values()))
    row("400 to 800 and 800 to 1600 nuclei (below 2)", f"x {t_800 / t_400:.2f}", f"x {t_1600 / t_800:.2f}")


def bench_network(variant: str = "large", side: int = 1024) -> None:
    """The whole network against one encoding and the two decodings measured apart."""
    import torch

    from coseg_bundle.networks import CoSeg, HeadLayout, HieraImageEncoder, MPDecoder, RPEncoder
    from coseg_bundle.networks.coseg import Prompts

    torch.manual_seed(0)
    layout = HeadLayout(2)
    network = CoSeg(HieraImageEncoder(variant), MPDecoder(layout), RPEncoder(2)).eval()  # type: ignore[arg-type]
    image, size = torch.rand(1, 3, side, side), (side, side)
    with torch.inference_mode():
        embeddings = network.encode(image)
        prior = network.decode(embeddings, Prompts(None, None), size, nuclei_channels=1)
        prompts = network.prompt(prior, embeddings)
        whole, encoding, first, second = seconds(
            lambda: network(image),
            lambda: network.encode(image),
            lambda: network.decode(embeddings, Prompts(None, None), size, nuclei_channels=1),
            lambda: network.decode(embeddings, prompts, size),
            rounds=3,
        )
    print(f"\nNetwork, {variant} at {side} x {side}, {torch.get_num_threads()} threads")
    row("encoding, first decoding, second decoding", f"{encoding:.2f} s", f"{first:.2f} s", f"{second:.2f} s")
    row("whole / (encoding + decodings) (at most 1.15)", f"{whole:.2f} s", f"{whole / (encoding + first + second):.3f}")


def masks_one_by_one(pred: NDArray[np.int32], truth: NDArray[np.int32]) -> tuple[float, float]:
    """PQ and AJI as they are usually written: whole-image masks, compared pair by pair."""
    pred_masks = {i: pred == i for i in np.unique(pred[pred > 0])}
    intersections = unions = ious = 0.0
    matched, used = 0, set()
    true_ids = np.unique(truth[truth > 0])
    for true_id in true_ids:
        mask = truth == true_id
        best_iou, best, best_pair = 0.0, None, (0.0, float(mask.sum()))
        for pred_id in np.unique(pred[mask]):
            if pred_id == 0:
                continue
            both, either = (mask & pred_masks[pred_id]).sum(), (mask | pred_masks[pred_id]).sum()
            if both / either > best_iou:
                best_iou, best, best_pair = both / either, pred_id, (both, either)
        intersections, unions = intersections + best_pair[0], unions + best_pair[1]
        if best is not None:
            used.add(best)
        if best_iou > 0.5:
            matched, ious = matched + 1, ious + best_iou
    unions += sum(mask.sum() for pred_id, mask in pred_masks.items() if pred_id not in used)
    return ious / (matched + (len(pred_masks) + len(true_ids) - 2 * matched) / 2), intersections / unions


def bench_metrics() -> None:
    """Ours against MONAI's panoptic quality and against masks, one by one; time and memory."""
    import tracemalloc

    import torch
    from monai.metrics import PanopticQualityMetric

    from coseg_bundle.metrics import aggregated_jaccard_index, contingency, panoptic_quality

    def ours(pred: NDArray[np.int32], truth: NDArray[np.int32]) -> tuple[float, float]:
        table = contingency(pred, truth)
        return panoptic_quality(pred, truth, table=table).pq, aggregated_jaccard_index(pred, truth, table=table)

    def monai(pred: NDArray[np.int32], truth: NDArray[np.int32]) -> float:
        metric = PanopticQualityMetric(num_classes=1, metric_name="pq", smooth_numerator=0.0)
        maps = [torch.from_numpy(np.stack([x, x > 0]).astype(np.int64))[None] for x in (pred, truth)]
        metric(maps[0], maps[1])
        return float(metric.aggregate())

    truth = ellipses(1400)
    pred = np.roll(truth, (2, 1), (0, 1))
    print("\nMetrics of 1024 x 1024")
    row("PQ: ours, MONAI", f"{ours(pred, truth)[0]:.6f}", f"{monai(pred, truth):.6f}")
    t_ours, t_monai = seconds(lambda: ours(pred, truth), lambda: monai(pred, truth), rounds=3)
    row(
        "1400 nuclei: PQ and AJI ours, PQ MONAI, MONAI / ours",
        f"{t_ours:.3f} s",
        f"{t_monai:.2f} s",
        f"x {t_monai / t_ours:.0f}",
    )
    start = time.perf_counter()
    values = masks_one_by_one(pred, truth)
    t_masks = time.perf_counter() - start
    row("PQ and AJI: ours, masks one by one", *(f"{a:.3f} {b:.3f}" for a, b in (ours(pred, truth), values)))
    row(
        "1400 nuclei: ours, masks one by one (once), ratio",
        f"{t_ours:.3f} s",
        f"{t_masks:.1f} s",
        f"x {t_masks / t_ours:.0f}",
    )
    tracemalloc.start()
    ours(pred, truth)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    row("peak memory / the two maps (below 5)", f"{peak / (pred.nbytes + truth.nbytes):.2f}")
    maps = {count: ellipses(count) for count in (100, 1000, 10000)}
    taken = seconds(*(lambda m=m: ours(np.roll(m, 1, 1), m) for m in maps.values()))
    row("100, 1000, 10000 nuclei", *(f"{t:.3f} s" for t in taken))


def same_nuclei(a: object, b: object, iou: float = 0.5) -> tuple[int, int, int]:
    """Pairs of polygons of two arrays that overlap by more than `iou`, and the numbers of polygons."""
    import shapely

    first, second = shapely.STRtree(b).query(a, predicate="intersects")
    both = shapely.area(shapely.intersection(a[first], b[second]))  # type: ignore[index]
    either = shapely.area(a[first]) + shapely.area(b[second]) - both  # type: ignore[index]
    return int((both > iou * either).sum()), len(a), len(b)  # type: ignore[arg-type]


def bench_slide_agreement(halos: tuple[int, ...] = (64, 128, 160)) -> None:
    """The real slide, cut twice into tiles that are shifted by half a core: do the same nuclei come out?"""
    import torch

    from coseg_bundle.inferers import Predictor
    from coseg_bundle.wsi.reader import open_slide
    from coseg_bundle.wsi.regions import segment_region

    torch.set_num_threads(1)
    print("\nTwo tilings of 0.12 mm2 of the real slide, shifted by half a core in x and y; tiles of 512 px")
    predictor = Predictor.from_bundle(tile_size=512)
    with open_slide(os.path.join(os.environ["COSEG_DATA"], "slides", "cmu-1-small-region.svs")) as reader:
        box = (700, 900, 700, 700)
        for halo in halos:
            offsets = (0, (512 - 2 * halo) // 8 * 4)
            tables = [
                segment_region(reader, predictor, box, halo_px=halo, offset_px=offset).nuclei for offset in offsets
            ]
            matched, first, second = same_nuclei(*(table.polygons for table in tables))
            inside = sum(same_nuclei(table.polygons, table.polygons, 0.0)[0] - len(table) for table in tables)
            row(
                f"halo {halo} px: nuclei of both, F1 at IoU 0.5 (at least 0.97)",
                str(first),
                str(second),
                f"{2 * matched / (first + second):.4f}",
            )
            row("pairs of nuclei of one tiling that share area (0)", str(inside // 2))


def make_slide(path: str, side: int, tissue: int) -> None:
    """A slide of `side` px whose upper left `tissue` px square holds the same 1024 px of nuclei again and again."""
    import tifffile

    from coseg_bundle.transforms import hv_map

    instances = ellipses(900)
    rgb = np.full((1024, 1024, 3), (235, 128, 128), np.uint8)
    rgb[instances > 0, 0] = 60
    rgb[..., 1:] = np.moveaxis(np.round(128 + 100 * hv_map(instances)), 0, -1)
    glass = np.full_like(rgb, 255)
    count = -(-side // 1024)
    tiles = (rgb if max(x, y) < tissue // 1024 else glass for y in range(count) for x in range(count))
    resolution = {"resolution": (4e4, 4e4), "resolutionunit": "CENTIMETER"}
    options = {"tile": (1024, 1024), "photometric": "rgb", "compression": "zstd", **resolution}
    tifffile.imwrite(path, tiles, shape=(side, side, 3), dtype=np.uint8, bigtiff=True, **options)


def colour_reader():  # type: ignore[no-untyped-def]
    """A stand-in for the predictor that reads these colours back."""
    import torch

    from coseg_bundle.classes import ClassMap
    from coseg_bundle.inferers import Predictor
    from coseg_bundle.networks import HeadLayout
    from coseg_bundle.postprocessing.prediction import PostProcessing

    class ColourReader(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused = torch.nn.Parameter(torch.zeros(1))

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            red = image[:, :1] * 255
            tissue = torch.cat([torch.zeros_like(red), (240 - red) / 8], dim=1)
            return torch.cat([tissue, (130 - red) / 10, (image[:, 1:] * 255 - 128) / 100, image[:, :2] * 0], dim=1)

    names = ClassMap(("background", "gland")), ClassMap(("background", "nucleus"))
    settings = PostProcessing(HeadLayout(2), min_nucleus_area_px=30)
    return Predictor(ColourReader(), lambda images, network: network(images), settings, *names, mpp=0.25)


def measured(code: str, *arguments: str) -> dict[str, float]:
    """Runs a function of this file in a process of its own; returns what it prints, and its peak memory in MB."""
    import json
    import resource
    import subprocess
    import sys

    script = (
        f"import json, resource, sys; sys.path.insert(0, {os.path.dirname(os.path.abspath(__file__))!r}); import bench;"
        f"result = bench.{code}(*sys.argv[1:]) or {{}};"
        "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024;"
        "print('RESULT', json.dumps(result | {'peak': peak}))"
    )
    assert resource.RUSAGE_SELF == 0
    command = [sys.executable, "-c", script, *arguments]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(json.loads(output.rpartition("RESULT ")[2]))


def run_generated_slide(path: str, folder: str) -> dict[str, float]:
    """Segments a generated slide in this process, from the first read to the last file."""
    from pathlib import Path

    from coseg_bundle.wsi.engines import InlineEngine
    from coseg_bundle.wsi.runner import run_slides

    engine = InlineEngine(colour_reader)
    [result] = run_slides([Path(path)], [Path(folder)], engine, colour_reader())
    assert result.error is None, result.error
    return {"nuclei": result.summary["nuclei"], "tiles": result.summary["tiles_with_tissue"], **result.seconds}


def merge_copies(path: str, folder: str, copies: str) -> dict[str, float]:
    """Merges a journal whose every piece holds the nuclei of one piece, `copies` pieces in all."""
    from pathlib import Path

    import pyarrow.feather as feather

    from coseg_bundle.wsi import job as jobs
    from coseg_bundle.wsi.engines import InlineEngine
    from coseg_bundle.wsi.merge import Merger
    from coseg_bundle.wsi.reader import open_slide
    from coseg_bundle.wsi.runner import _work

    with open_slide(path) as reader:
        plan = jobs.Plan.of(reader, colour_reader(), 512, 64, 4)
        job = jobs.Job(Path(folder), plan, ())
        side = job.pieces.core_px // job.grid.core_px
        tiles = [row * job.grid.columns + column for row in range(side) for column in range(side)]
        job = jobs.Job(Path(folder), plan, tiles)
        job.save(np.ones((8, 8), bool))
        _work(job, InlineEngine(colour_reader), None, reader.path)
        nuclei = feather.read_table(job.piece_file(0), memory_map=False)
        for piece in range(len(job.pieces)):
            job.piece_file(piece).unlink(missing_ok=True)
            if piece < int(copies):
                feather.write_feather(nuclei, str(job.piece_file(piece)), compression="uncompressed")
        start, busy = time.perf_counter(), time.process_time()
        summary = Merger(job, reader).run()
        seconds, busy = time.perf_counter() - start, time.process_time() - busy
        return {"nuclei": summary["nuclei"], "seconds": seconds, "cpu": busy}


def bench_slides() -> None:
    """Memory against the size of the slide and the number of nuclei; the time of merging and of each part."""
    import tempfile

    print("\nWhole slides: generated, with a stand-in network that reads one pixel at a time; one process")
    with tempfile.TemporaryDirectory() as folder:
        slides = {side: os.path.join(folder, f"{side}.tif") for side in (20_000, 40_000)}
        for side, path in slides.items():
            make_slide(path, side, tissue=2048)
        runs = {side: measured("run_generated_slide", path, f"{path}.out") for side, path in slides.items()}
        for side, run in runs.items():
            row(f"{side} px square: nuclei, peak memory", f"{run['nuclei']:.0f}", f"{run['peak']:.0f} MB")
        row("ratio (below 1.10)", f"{runs[40_000]['peak'] / runs[20_000]['peak']:.3f}")
        one = measured("merge_copies", slides[40_000], os.path.join(folder, "one"), "1")["nuclei"]
        merges = [
            measured("merge_copies", slides[40_000], os.path.join(folder, str(count)), str(round(count / one)))
            for count in (100_000, 1_000_000)
        ]
        for run in merges:
            row(
                f"merging {run['nuclei']:.0f} nuclei (1 million: below 60 s): clock, CPU",
                f"{run['seconds']:.1f} s",
                f"{run['cpu']:.1f} s",
                f"{run['peak']:.0f} MB",
            )
        row("ratio of the memory (below 1.10)", f"{merges[1]['peak'] / merges[0]['peak']:.3f}")


def bench_onnx(tile_size: int = 256) -> None:
    """The released weights under onnxruntime against PyTorch, in full precision and in bf16."""
    import tempfile

    import torch

    from coseg_bundle.inferers import Predictor
    from coseg_bundle.networks.onnx import OnnxNetwork, export_onnx

    network = Predictor.from_bundle(device="cpu").network
    with tempfile.TemporaryDirectory() as folder:
        difference = export_onnx(network, f"{folder}/model.onnx", tile_size, "bench")
        exported = OnnxNetwork(f"{folder}/model.onnx")
    tiles = torch.rand(4, 3, tile_size, tile_size)

    def bf16() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return network(tiles)

    with torch.inference_mode():
        t_onnx, t_torch, t_bf16 = seconds(lambda: exported(tiles), lambda: network(tiles), bf16, rounds=5)
    print(f"\nFour tiles of {tile_size} x {tile_size}, {torch.get_num_threads()} threads")
    row("largest difference from PyTorch (at most 0.001)", f"{difference:.1g}")
    row("onnxruntime, PyTorch, PyTorch in bf16", f"{t_onnx:.2f} s", f"{t_torch:.2f} s", f"{t_bf16:.2f} s")
    row("onnxruntime / PyTorch, / PyTorch in bf16", f"{t_onnx / t_torch:.2f}", f"{t_onnx / t_bf16:.2f}")


SECTIONS = {
    "postprocessing": bench_postprocessing,
    "network": bench_network,
    "metrics": bench_metrics,
    "slides": bench_slides,
    "slide_agreement": bench_slide_agreement,
    "onnx": bench_onnx,
}
"""`slide_agreement` needs the real slide: COSEG_DATA names the folder that holds slides/."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help=f"any of {', '.join(SECTIONS)}; all if none is named"
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.sections) - set(SECTIONS):
        parser.error(f"unknown section {', '.join(sorted(unknown))}; expected {', '.join(SECTIONS)}")
    print(f"{os.cpu_count()} cores")
    for name in arguments.sections or [name for name in SECTIONS if name != "slide_agreement"]:
        SECTIONS[name]()


if __name__ == "__main__":
    main()
