"""The doors, each with valid files, the commands that read them, and how they may be damaged."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from tests.cases import (
    checkpoints,
    geojson_files,
    image_files,
    labels,
    mat_files,
    npy_files,
    results_json,
    server_requests,
    slides,
    xml_files,
    zips,
)
from tests.cases.stand_in import instances

from .damage import PLAIN, Damage, chunked, deepened, digest_of, flipped, headed, keyed, spliced, tagged, worded, zipped

RGB = image_files.RGB


@dataclass(frozen=True)
class Target:
    """A file that is damaged, and what reads it.

    Attributes:
        door: Its name.
        file: Name of the file.
        content: Its content when it is valid.
        do: Words after `coseg`, or a call.
        beside: Other files by name.
        damages: How it may be damaged.
        weight: How often, beside the others.
        real: Whether the weights are what it is about, so that no network stands in.
        summed: A file that gets the SHA-256 of the damaged one.
    """

    door: str
    file: str
    content: bytes
    do: str | Callable[[Path], Any]
    beside: Mapping[str, Any] = field(default_factory=dict)
    damages: Sequence[Damage] = PLAIN
    weight: float = 1.0
    real: bool = False
    summed: str = ""


def written(make: Callable[[Path], None], folder: Path, name: str = "a.tif") -> bytes:
    """What a function writes."""
    path = folder / name
    make(path)
    content = path.read_bytes()
    path.unlink()
    return content


def all_targets(folder: Path) -> list[Target]:
    """Every target; `folder` is for what can only be made on a disk."""
    doors = (_images, _slides, _labels, _text, _outlines, _arrays, _weights, _archives, _results, _server)
    targets = [target for door in doors for target in door(folder)]
    by_door: dict[str, list[bytes]] = {}
    for target in targets:
        by_door.setdefault(target.door, []).append(target.content)
    return [
        Target(**{**target.__dict__, "damages": (*target.damages, spliced(by_door[target.door]))}) for target in targets
    ]


_TIFF: tuple[Damage, ...] = (*PLAIN, tagged, tagged, tagged, tagged, headed)
_PNG: tuple[Damage, ...] = (*PLAIN, chunked, chunked, chunked)
_JSON: tuple[Damage, ...] = (*PLAIN, keyed, keyed, keyed, keyed, keyed, worded, deepened)
_WORDS: tuple[Damage, ...] = (*PLAIN, worded, worded, worded, worded)


def _tiffs(folder: Path) -> dict[str, bytes]:
    many = {
        "rgb": image_files.tiff(RGB),
        "tiled": image_files.tiff(RGB, tile=(16, 16), compression="deflate"),
        "lzw": image_files.tiff(RGB, compression="lzw", predictor=True),
        "jpeg": image_files.tiff(RGB, compression="jpeg", tile=(16, 16)),
        "jpeg2000": image_files.tiff(RGB, compression="jpeg2000"),
        "deep": image_files.tiff(image_files.deep(12)),
        "big endian": image_files.tiff(RGB, byteorder=">"),
        "planes": image_files.tiff(np.moveaxis(RGB, 2, 0), planarconfig="separate"),
        "alpha": image_files.tiff(image_files.rgba(image_files.cleared()), extrasamples=["unassalpha"]),
        "palette": lambda path: Image.fromarray(image_files.POSTER).quantize(256).save(path),
        "cmyk": image_files.tiff(image_files.CMYK, photometric="separated"),
        "floats": image_files.tiff(RGB.astype("f4") / 255),
        "ome": image_files.physical_size("0.25", "µm"),
        "imagej": image_files.imagej("um", 0.25),
        "pyramid": image_files.pyramid,
    }
    return {name: written(make, folder) for name, make in many.items()}


def _images(folder: Path) -> list[Target]:
    command = "predict {} -o out --mpp 0.25"
    tiffs = [
        Target("image", "a.tif", content, command.format("a.tif"), damages=_TIFF) for content in _tiffs(folder).values()
    ]
    pngs = [
        Target("image", "a.png", content, command.format("a.png"), damages=_PNG)
        for content in (
            image_files.png(RGB),
            image_files.png(image_files.rgba(image_files.cleared())),
            image_files.png(image_files.POSTER, colours=64),
            image_files.png(RGB[..., 1]),
        )
    ]
    volume = written(image_files.nifti(np.moveaxis(RGB, 0, 1)), folder, "a.nii")
    return [
        *tiffs,
        *pngs,
        Target("image", "a.jpg", image_files.jpeg(RGB, exif=image_files.exif(6)), command.format("a.jpg"), weight=2),
        Target("image", "a.nii", volume, command.format("a.nii"), damages=(*PLAIN, headed, headed), weight=2),
        Target("image", "a.nii.gz", gzip.compress(volume), command.format("a.nii.gz")),
    ]


def _slides(folder: Path) -> list[Target]:
    command = f"slide {{}} -o out {slides.SMALL} --mpp 0.25"
    many = {
        "a.tif": (
            image_files.tiff(RGB, tile=(16, 16)),
            image_files.pyramid,
            image_files.tiff(RGB, compression="jpeg", tile=(16, 16)),
        ),
        "a.ome.tif": (image_files.physical_size("0.25", "µm"),),
        "a.svs": (
            image_files.tiff(
                RGB,
                tile=(16, 16),
                description="Aperio Image Library v1\r\n64x48 |MPP = 0.25|AppMag = 40",
                compression="jpeg",
            ),
        ),
        "a.scn": (image_files.small_scn,),
    }
    return [
        Target("slide", name, written(make, folder, name), command.format(name), damages=_TIFF, weight=0.6)
        for name, makers in many.items()
        for make in makers
    ]


def _labels(folder: Path) -> list[Target]:
    ids = instances().astype("u2")
    many = {
        "t.tif": (labels.tif(ids), _TIFF),
        "t.png": (image_files.png(ids), _PNG),
        "t.npy": (labels.npy(ids), (*PLAIN, headed, headed, worded)),
        "t.nii": (written(image_files.nifti(ids.T.astype("i4")), folder, "t.nii"), (*PLAIN, headed)),
    }
    command = "evaluate --predictions pred --truth list.json -o out --no-plots"
    beside = {"a.png": image_files.png(RGB), "pred/a.tif": labels.tif(ids)}
    return [
        Target(
            "label",
            name,
            content,
            command,
            {**beside, "list.json": json.dumps({"validation": [{"image": "a.png", "instances": name}]})},
            damages,
        )
        for name, (content, damages) in many.items()
    ]


def _text(folder: Path) -> list[Target]:
    ids = labels.tif(instances().astype("u2"))
    items = [{"image": "a.png", "instances": "a.tif", "mpp": 0.25, "dataset": "x"}] * 2
    lists = {"training": items[:1], "validation": items[:1], "nuclei_classes": {"0": "background", "1": "nucleus"}}
    beside = {"a.png": image_files.png(RGB), "a.tif": ids, "pred/a.tif": ids}
    content = json.dumps(lists).encode()
    return [
        Target(
            "datalist",
            "list.json",
            content,
            "evaluate --predictions pred --truth list.json -o out --no-plots",
            beside,
            _JSON,
            2,
        ),
        Target("datalist", "list.json", content, "puma split list.json -o out/list.json", beside, _JSON),
    ]


def _outlines(folder: Path) -> list[Target]:
    well = {"a.png": image_files.png(RGB)}
    cells = [
        geojson_files.feature(square, {"name": "Tumor"}, "cell", nucleusGeometry=square, id=str(i))
        for i, square in enumerate(geojson_files.SQUARES)
    ]
    parent = geojson_files.feature(
        geojson_files.polygon(geojson_files.IMAGE),
        "Tissue",
        "annotation",
        properties={"childObjects": geojson_files.NUCLEI},
    )
    texts = [
        geojson_files.collection(*geojson_files.NUCLEI),
        geojson_files.collection(*cells),
        geojson_files.collection(parent),
    ]
    layout = "datalist . --layout {} -o out --validation 0"
    truth = {
        **well,
        "list.json": json.dumps({"validation": [{"image": "a.png", "instances": "t.tif"}]}),
        "t.tif": labels.tif(instances().astype("u2")),
    }
    evaluate = "evaluate --predictions pred --truth list.json -o out --no-plots"
    puma = geojson_files.collection(
        *(geojson_files.feature(s, {"name": "nuclei_tumor"}, "annotation") for s in geojson_files.SQUARES)
    )
    aperio = xml_files.regions(*xml_files.OUTLINES).encode()
    return [
        *(Target("geojson", "a.geojson", text.encode(), layout.format("qupath"), well, _JSON) for text in texts),
        *(
            Target("geojson", "pred/a.json", json.dumps(c).encode(), evaluate, truth, _JSON)
            for c in (geojson_files.HOVERNET, geojson_files.coco(), geojson_files.labelme())
        ),
        Target(
            "geojson",
            "set/a_nuclei.geojson",
            puma.encode(),
            "puma prepare set out --workers 1",
            {"set/a.png": well["a.png"]},
            _JSON,
        ),
        Target("xml", "a.xml", aperio, layout.format("monuseg"), well, _WORDS, 2),
        Target("xml", "a.xml", xml_files.asap(*xml_files.SQUARES).encode(), xml_files._read, {}, _WORDS),
    ]


def _arrays(folder: Path) -> list[Target]:
    well = {"a.png": image_files.png(RGB)}
    layout = "datalist . --layout {} -o out --validation 0"
    heads: tuple[Damage, ...] = (*PLAIN, headed, headed, worded)
    masks, images = labels.npy(npy_files.MASKS), labels.npy(npy_files.IMAGES)
    return [
        Target("mat", "a.mat", mat_files.GOOD_CONSEP, layout.format("consep"), well, (*PLAIN, headed, headed), 2),
        Target("mat", "a.mat", mat_files.GOOD_LIZARD, layout.format("lizard"), well, (*PLAIN, headed, headed), 1),
        Target("npy", "a.npy", labels.npy(npy_files.FIVE), layout.format("hovernet"), {}, heads, 1),
        Target("npy", "masks.npy", masks, layout.format("pannuke"), {"images.npy": images}, heads, 1),
        Target("npy", "images.npy", images, layout.format("pannuke"), {"masks.npy": masks}, heads, 0.5),
    ]


def _weights(folder: Path) -> list[Target]:
    from coseg_bundle.networks.about import About

    said = {
        "tissue_classes": ["background", "gland"],
        "nuclei_classes": ["background", "nucleus"],
        "mpp": 0.25,
        "network": {"layout": {"tissue_classes": 2}},
    }
    about = checkpoints._about(said)

    def load(place: Path) -> Any:
        from colour_network import ColourNetwork

        from coseg_bundle.networks.checkpoints import load_weights

        load_weights(ColourNetwork(), place / "w.pt")
        return About.of_file(place / "w.pt")

    old = checkpoints.saved(checkpoints.PARAMETER, _use_new_zipfile_serialization=False)
    nested = checkpoints.saved(
        {"network": {**checkpoints.PARAMETER, "two": torch.zeros(3, dtype=torch.float16)}, "epoch": 3}
    )
    return [
        Target("checkpoint", "w.pt", content, load, {}, (*PLAIN, zipped, zipped, zipped, headed), 1.5, True)
        for content in (checkpoints.SAVED, about, old, nested)
    ]


def _archives(folder: Path) -> list[Target]:
    members = {
        path: (checkpoints.ROOT / path).read_bytes()
        for path in ("configs/metadata.json", "configs/inference.yaml", "configs/train.yaml", "LICENSE")
    }
    whole = zips.archive({f"b/{name}": content for name, content in members.items()})
    command = "install a.zip --bundle-dir out"
    return [
        Target("zip", "a.zip", content, command, {}, (*PLAIN, zipped, zipped, zipped), weight, True, "a.zip.sha256")
        for content, weight in ((zips.BUNDLE, 1.0), (whole, 0.5))
    ]


def _results(folder: Path) -> list[Target]:
    files = {f"out/s/{name}": content for name, content in results_json._finished().items()}
    convert = "convert out/s --to dicom"
    report = results_json.REPORT.encode()
    split = b'{"train": ["a_primary"], "test": ["b_metastatic"]}'
    submission = results_json.submission().encode()
    of_files = (("summary.json", _JSON, 2.0), ("nuclei.parquet", (*PLAIN, headed), 1.0), ("tissue.ome.tif", _TIFF, 1.0))
    converted = [
        Target(
            "results",
            f"out/s/{name}",
            files[f"out/s/{name}"],
            convert,
            {k: v for k, v in files.items() if not k.endswith(name)},
            damages,
            weight,
        )
        for name, damages, weight in of_files
    ]
    predicted, plan = results_json.predicted_files(), slides.begun_files()
    return [
        *converted,
        Target(
            "results",
            "out/a.png/summary.json",
            predicted["out/a.png/summary.json"],
            "predict a.png -o out --mpp 0.25 --skip-existing",
            {"a.png": image_files.png(RGB), **{k: v for k, v in predicted.items() if "summary" not in k}},
            _JSON,
            1,
        ),
        Target(
            "results",
            "out/a.tif/.work/plan.json",
            plan["out/a.tif/.work/plan.json"],
            f"slide a.tif -o out {slides.SMALL} --mpp 0.25 --resume",
            {k: v for k, v in plan.items() if not k.endswith("plan.json")},
            _JSON,
            1,
        ),
        Target(
            "results",
            "out/a.tif/.work/foreground.npy",
            plan["out/a.tif/.work/foreground.npy"],
            f"slide a.tif -o out {slides.SMALL} --mpp 0.25 --resume",
            {k: v for k, v in plan.items() if not k.endswith("foreground.npy")},
            (*PLAIN, headed),
            0.3,
        ),
        Target("results", "b/report.json", report, "compare a b", {"a/report.json": report}, _JSON, 1),
        Target(
            "results",
            "names.json",
            split,
            "puma split list.json --names names.json -o out/list.json",
            {"list.json": results_json.LIST},
            _JSON,
            1,
        ),
        Target("results", f"s/{results_json.NUCLEI}", submission, "puma validate s", {}, _JSON, 1),
        Target(
            "results",
            "p/a.json",
            submission,
            "puma score --predictions p --truth t -o out.json",
            {"t/a.json": submission},
            _JSON,
            1,
        ),
    ]


def _server(folder: Path) -> list[Target]:
    request = {
        "location": [10, 20],
        "size": [60, 50],
        "level": 0,
        "mpp": 0.25,
        "format": "json",
        "classes": ["nucleus"],
        "origin": "bounds",
    }

    def ask(place: Path) -> Any:
        from coseg_bundle.service.query import Query
        from coseg_bundle.web.access import check_names

        try:
            given = json.loads((place / "request.json").read_text())
        except (ValueError, RecursionError):  # whoever stands in front of us says so
            return None
        if not isinstance(given, dict):
            return None
        check_names(given)
        given.pop("label", None)  # only what is sent along comes as far as this
        return server_requests._service().segment(place / "a.png", Query.of(given))

    def train(place: Path) -> Any:
        return server_requests._trained({})(place)

    image = image_files.png(server_requests.IMAGE)
    label = geojson_files.collection(server_requests.NUCLEUS).encode()
    return [
        Target("server", "request.json", json.dumps(request).encode(), ask, {"a.png": image}, _JSON, 2, True),
        Target("server", "a.png", image, ask, {"request.json": json.dumps(request)}, _PNG, 1, True),
        Target("server", "l.geojson", label, train, {"a.png": image}, _JSON, 1, True),
    ]


def damaged(target: Target, rng: random.Random) -> dict[str, Any]:
    """The target's files, damaged; one in fifty stays as it is."""
    content = target.content
    if rng.random() > 0.02:
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            try:
                content = rng.choice(target.damages)(content, rng)
            except (ValueError, IndexError):  # damaged before, it may have no parts any more
                content = flipped(content, rng)
    files = {**target.beside, target.file: content}
    if target.summed:
        files[target.summed] = digest_of(content)
    return files
