"""The full protocol for an evaluator: the same report as `coseg evaluate` writes for files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ignite.engine import Engine, Events
from monai.utils import CommonKeys

from coseg_bundle import keys
from coseg_bundle.data.images import stem_of
from coseg_bundle.evaluation.report import Report, count_image, write_report
from coseg_bundle.metrics.monai_metrics import plane


class ReportHandler:
    """Scores what an evaluator segments, at the network's resolution; writes report.json, per_image.csv and report.md.

    Distances are in pixels of the images all the same.

    Args:
        output_dir: Folder of the report.
        tissue_classes: Tissue class names, background first.
        nuclei_classes: Nuclei class names, background first. With more than one class, each is scored too, where the
            outputs have the type map (`SegmentMapsd(table=True)`).
        min_tissue_area_px: Smaller tissue regions take no part in the panoptic scores.
        title: First line of `report.md`.
        notes: Sentences for the report, on what was left out.
        failed: Sentences for the report, on images that could not be scored.
        names: A name for each image, by its path; its stem where there is none.
        labels: Checksums of each image's labels, by its path (`label_checksums`).
    """

    def __init__(
        self,
        output_dir: str,
        tissue_classes: Sequence[str],
        nuclei_classes: Sequence[str],
        min_tissue_area_px: int = 0,
        title: str = "Evaluation",
        notes: Sequence[str] = (),
        failed: Sequence[str] = (),
        names: Mapping[str, str] | None = None,
        labels: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self.output_dir, self.title = Path(output_dir), title
        self.tissue_classes, self.nuclei_classes = tissue_classes, nuclei_classes
        self.min_tissue_area_px = min_tissue_area_px
        self.notes, self.failed, self.names = tuple(notes), tuple(failed), dict(names or {})
        self.labels = dict(labels or {})
        self.report = Report()

    def attach(self, engine: Engine) -> None:
        """Registers the handler."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._count)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def _start(self, engine: Engine) -> None:
        self.report = Report(notes=list(self.notes), failed=list(self.failed))

    def _count(self, engine: Engine) -> None:
        for item in engine.state.output:
            truth = {name: plane(label) for name, label in item[CommonKeys.LABEL].items() if name in keys.LABELS}
            meta = item[CommonKeys.IMAGE].meta
            instances = plane(item[keys.PRED_INSTANCES])
            counts = count_image(
                instances,
                plane(item[keys.PRED_TISSUE]),
                plane(item[keys.PRED_TYPES]) if keys.PRED_TYPES in item and len(self.nuclei_classes) > 2 else None,
                truth,
                self.tissue_classes,
                self.nuclei_classes,
                self.min_tissue_area_px,
                float(meta["spatial_shape"][0]) / len(instances),
            )
            path = meta["filename_or_obj"]
            name = self.names.get(path) or stem_of(path)
            self.report.add(name, *counts)
            if path in self.labels:
                self.report.labels[name] = dict(self.labels[path])

    def _write(self, engine: Engine) -> None:
        write_report(self.report, self.output_dir, self.title)
