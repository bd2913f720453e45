"""Measures what annotation with Co-Seg gains, on generated tissue: `refinement` or `active-learning`."""

import argparse
import json
import logging
from pathlib import Path

import torch

from coseg_bundle.evaluation.annotation_study import active_learning_study, refinement_study
from coseg_bundle.evaluation.plots import plot_learning
from coseg_bundle.inferers import Predictor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", choices=("refinement", "active-learning"))
    parser.add_argument("--output", type=Path, default=Path("results/annotation_study"))
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    predictor = Predictor.from_bundle(device="cpu", two_scales=False)  # all images of the studies have one resolution
    rows = refinement_study(predictor) if arguments.study == "refinement" else active_learning_study(predictor)
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / f"{arguments.study}.json").write_text(json.dumps(rows, indent=1))
    if arguments.study == "active-learning":
        plot_learning(rows, arguments.output / "active_learning.png")
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
