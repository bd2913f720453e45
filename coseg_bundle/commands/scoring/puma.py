"""The PUMA dataset and challenge: prepare, split, predict, validate, score.

coseg puma prepare SOURCE DEST                     polygons to label maps and a datalist
coseg puma split DEST/datalist.json                7 : 1 : 2, primary and metastatic apart
coseg puma predict --input /input --output /output one region, grand-challenge's folders in and out
coseg puma validate OUTPUT                         is a submission as the platform wants it?
coseg puma score --predictions DIR --truth DIR --output scores.json

What cannot be read is listed, the others are scored, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from coseg_bundle.commands.arguments import add_precision


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the actions and their options."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)

    prepare = actions.add_parser("prepare", help="polygons to label maps and a datalist; goes on where it was")
    prepare.add_argument("source", type=Path, metavar="SOURCE", help="PUMA's folders, under any names")
    prepare.add_argument("dest", type=Path, metavar="DEST", help="folder for labels, datalist.json, report.json")
    prepare.add_argument("--track", type=int, choices=(1, 2), default=2, help="3 or 10 nuclei classes (default: 2)")
    prepare.add_argument(
        "--oversample",
        type=int,
        default=1,
        metavar="N",
        help="paint labels N times as fine as the image in each direction, N odd (default: 1)",
    )
    prepare.add_argument("--workers", type=int, metavar="N", help="processes; the cores of this job by default")
    prepare.set_defaults(action=_prepare)

    split = actions.add_parser("split", help="split a datalist 7 : 1 : 2, primary and metastatic regions apart")
    split.add_argument("datalist", type=Path, metavar="DATALIST", help="datalist that coseg puma prepare wrote")
    split.add_argument("--output", "-o", type=Path, metavar="FILE", help="datalist to write; the same file by default")
    split.add_argument("--seed", type=int, default=0, help="which split: another seed, other regions (default: 0)")
    split.add_argument(
        "--names", type=Path, metavar="JSON", help='your own {"train": [...], "valid": [...], "test": [...]}'
    )
    split.set_defaults(action=_split)

    predict = actions.add_parser("predict", help="segment one region, grand-challenge's folders in and out")
    predict.add_argument(
        "--input", type=Path, default=Path("/input"), metavar="DIR", help="folder with the region (default: /input)"
    )
    predict.add_argument(
        "--output",
        type=Path,
        default=Path("/output"),
        metavar="DIR",
        help="folder for its results, of this region alone (default: /output)",
    )
    predict.add_argument("--track", type=int, choices=(1, 2), required=True, help="1: three nuclei classes, 2: ten")
    predict.add_argument("--weights", type=Path, metavar="FILE", help="weights trained with presets/puma_track1 or 2")
    predict.add_argument("--bundle", type=Path, metavar="DIR", help="the bundle's folder, if it is not found by itself")
    add_precision(predict)
    predict.set_defaults(action=_predict)

    validate = actions.add_parser("validate", help="check a submission's folder against the platform's rules")
    validate.add_argument("output", type=Path, metavar="OUTPUT", help="folder that coseg puma predict wrote")
    validate.set_defaults(action=_validate)

    score = actions.add_parser("score", help="the challenge's official scores")
    score.add_argument(
        "--predictions", type=Path, required=True, metavar="DIR", help="predictions: JSON, GeoJSON, TIFF"
    )
    score.add_argument(
        "--truth", type=Path, required=True, metavar="DIR", help="labels, found by the predictions' stems"
    )
    score.add_argument(
        "--output", "-o", type=Path, required=True, metavar="FILE", help="scores.json, beside what is scored"
    )
    score.add_argument("--track", type=int, choices=(1, 2), help="1: merge ten classes to three before scoring")
    score.set_defaults(action=_score)


def run(arguments: argparse.Namespace) -> int:
    """Runs the action."""
    return int(arguments.action(arguments))


def _prepare(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from coseg_bundle.atomic import whole_file
    from coseg_bundle.data.datalist import keep_sections, put_aside, write_datalist
    from coseg_bundle.data.puma import class_tables, datalist_items, find_rois, gone, prepare
    from coseg_bundle.engine.cores import available_cores

    dest = arguments.dest
    rois = find_rois(arguments.source, dest)
    dest.mkdir(parents=True, exist_ok=True)
    reports = prepare(rois, dest, arguments.track, arguments.workers or available_cores(), arguments.oversample)
    done = list(tqdm(reports, total=len(rois), unit="region", desc="Preparing"))
    failed = [report.name for report in done if report.failed]
    items, notes = keep_sections(dest / "datalist.json", {"training": datalist_items(rois, dest, failed)})
    notes += put_aside(dest / "datalist.json", items, class_tables(arguments.track))
    write_datalist(dest / "datalist.json", items, class_tables(arguments.track))
    summary = _summary(done)
    with whole_file(dest / "report.json") as partial:
        partial.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    for title in ("nuclei", "tissue_area_px"):
        for name, count in sorted(summary[title].items(), key=lambda pair: -pair[1]):
            print(f"{title.removesuffix('_area_px')}: {name:<26}{count:>12,}")
    print(
        f"{len(done)} regions, {summary['mended']} polygons mended, {summary['hidden']} nuclei without a pixel (under "
        "others, or smaller than one),"
    )
    print(f"{sum(summary['overlap_px'].values())} pixels decided by the order; smaller polygons lie on top")
    without_image = sum(roi.image is None for roi in rois)
    if without_image:
        print(f"{without_image} regions have no image and are not in the datalist")
    if left := gone(rois, dest):
        print(f"{len(left)} labels of an earlier run have no source any more and are not listed: {', '.join(left[:5])}")
    for sentence in summary["skipped"]:
        print(f"skipped: {sentence}")
    for sentence in notes:
        print(sentence)
    print(f"Written to {dest}")
    return 1 if failed else 0


def _summary(reports: Sequence[Any]) -> dict[str, Any]:
    def total(name: str) -> dict[str, int]:
        return dict(sum((Counter(getattr(report, name)) for report in reports), Counter()))

    return {
        "regions": len(reports),
        **{name: total(name) for name in ("nuclei", "nuclei_area_px", "tissue_area_px", "overlap_px")},
        "hidden": sum(report.hidden for report in reports),
        "mended": sum(report.mended for report in reports),
        "skipped": [f"{report.name}: {sentence}" for report in reports for sentence in report.skipped],
    }


def _split(arguments: argparse.Namespace) -> int:
    from coseg_bundle import keys
    from coseg_bundle.data.datalist import SECTIONS, check_replaced, read_class_tables, read_datalist, write_datalist
    from coseg_bundle.data.images import stem_of
    from coseg_bundle.data.labels.json_files import read_json
    from coseg_bundle.data.puma import apply_split, split_names

    content = read_datalist(arguments.datalist)
    items = [item for section in SECTIONS for item in content.get(section, [])]
    if arguments.names:
        split = read_json(arguments.names, 'a split {"train": [...], "valid": [...], "test": [...]}')
    else:
        split = split_names([stem_of(item[keys.IMAGE]) for item in items], arguments.seed)
    datalist = apply_split(items, split)
    output = arguments.output or arguments.datalist
    classes = read_class_tables(arguments.datalist)
    check_replaced(output, datalist, classes, given=SECTIONS)
    write_datalist(output, datalist, classes)
    print(", ".join(f"{section}: {len(part)}" for section, part in datalist.items()))
    if empty := [section for section, part in datalist.items() if not part]:
        print(f"No image is for {' or '.join(empty)}; prepare more regions, or name some with --names.")
    print(f"Written to {output}")
    return 0


def _predict(arguments: argparse.Namespace) -> int:
    from coseg_bundle.classes import NUCLEI_PRESETS, TISSUE_PRESETS
    from coseg_bundle.data.images import read_image
    from coseg_bundle.data.listing import listed
    from coseg_bundle.data.puma import MPP
    from coseg_bundle.inferers import Predictor
    from coseg_bundle.writers import puma_challenge

    folder = arguments.input / puma_challenge.INPUT_FOLDER
    images = listed(folder, (".tif", ".tiff")).files
    if len(images) != 1:
        raise ValueError(f"{folder}: expected one TIFF, found {len(images)}.")
    puma_challenge.check_without_results(arguments.output)
    nuclei_classes = NUCLEI_PRESETS[f"puma_track{arguments.track}"]
    predictor = Predictor.from_bundle(
        arguments.bundle, arguments.weights, precision=arguments.precision, engine="torch"
    )
    names = TISSUE_PRESETS["puma"].names, nuclei_classes.names
    if (predictor.tissue_classes.names, predictor.nuclei_classes.names) != names or predictor.untrained:
        said = f"some without labels for {', '.join(predictor.untrained)}" if predictor.untrained else "others"
        raise ValueError(
            f"{predictor.weights}: expected weights of the classes of PUMA's track {arguments.track}, got {said}; "
            f"train them with --preset puma_track{arguments.track}."
        )
    image = read_image(images[0])
    prediction = predictor.predict(image.rgb, image.mpp or MPP, image.unscanned)
    masks = arguments.output / puma_challenge.TISSUE_FOLDER
    masks.mkdir(parents=True, exist_ok=True)
    puma_challenge.write_tissue(masks / f"{images[0].stem}.tif", prediction.tissue_map)
    nuclei = arguments.output / puma_challenge.NUCLEI_FILE[arguments.track]
    puma_challenge.write_nuclei(nuclei, prediction.instances, nuclei_classes)
    print(f"{images[0].name}: {len(prediction.instances)} nuclei -> {nuclei}")
    return 0


def _validate(arguments: argparse.Namespace) -> int:
    from coseg_bundle.writers.puma_challenge import check_submission

    faults = list(check_submission(arguments.output))
    for fault in faults:
        print(fault)
    print(f"{len(faults)} faults" if faults else f"{arguments.output} is as the platform wants it")
    return 1 if faults else 0


def _score(arguments: argparse.Namespace) -> int:
    from coseg_bundle.evaluation.puma_scores import check_scores, score_folders, write_scores

    check_scores(arguments.output, arguments.predictions, arguments.truth)
    scores = score_folders(arguments.predictions, arguments.truth, arguments.track)
    write_scores(scores, arguments.output)
    if "nuclei" in scores:
        nuclei = scores["nuclei"]
        print(f"nuclei macro F1: {nuclei['macro_f1']:.4f} (mean over files), {nuclei['summed_macro_f1']:.4f} (summed)")
    if "tissue" in scores:
        tissue = scores["tissue"]
        micro = tissue["micro_dice"]["average_micro_dice"]
        print(f"tissue Dice: {tissue['average_dice']:.4f} (mean), {micro:.4f} (micro)")
    for kind in ("missing", "extra"):
        for sentence in scores[kind]:
            print(f"{kind} prediction: {sentence}")
    for sentence in scores["failed"]:
        print(f"not scored: {sentence}")
    for sentence in scores["notes"]:
        print(sentence)
    print(f"Written to {arguments.output}")
    return 1 if scores["missing"] or scores["failed"] else 0
