"""Measures what annotation with Co-Seg gains: `refinement`, `active-learning`, or `listening DATALIST`.

The first two train on generated tissue. The third asks the weights as they are, on images with tissue labels.
"""

import argparse
import json
import logging
from pathlib import Path

import torch

from coseg_bundle import keys
from coseg_bundle.data.datalist import load_datalist
from coseg_bundle.evaluation.annotation_study import active_learning_study, listening_study, refinement_study
from coseg_bundle.evaluation.plots import plot_learning
from coseg_bundle.inferers import Predictor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=("refinement", "active-learning", "listening"))
    parser.add_argument("datalist", nargs="?", type=Path, metavar="DATALIST", help="images of `listening`")
    parser.add_argument("--dataset", help="only images of this set")
    parser.add_argument("--output", type=Path, default=Path("results/annotation_study"))
    arguments = parser.parse_args()
    if (arguments.study == "listening") != bool(arguments.datalist):
        parser.error("listening, and no other study, needs a datalist.")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    if arguments.study == "listening":
        items = [item for item in load_datalist(arguments.datalist, "validation") if keys.TISSUE in item]
        items = [item for item in items if arguments.dataset in (None, item.get(keys.DATASET))]
        rows = listening_study(Predictor.from_bundle(device="cpu"), items)
    else:  # all images of the studies have one resolution
        study = refinement_study if arguments.study == "refinement" else active_learning_study
        rows = study(Predictor.from_bundle(device="cpu", two_scales=False))
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / f"{arguments.study}.json").write_text(json.dumps(rows, indent=1))
    if arguments.study == "active-learning":
        plot_learning(rows, arguments.output / "active_learning.png")
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
