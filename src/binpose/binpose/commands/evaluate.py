"""`binpose evaluate`: compare a run with the ground truth of its data set."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from binpose.commands.command import Command, compiling, console, split_names, tracked, waiting
from binpose_core.evaluation.matching import EvaluationConfig

if TYPE_CHECKING:
    from rich.table import Table

    from binpose_pipeline.evaluation import EvaluationResult


@dataclass(frozen=True, kw_only=True)
class Evaluate(Command):
    """Compare the poses of a run with the ground truth of a BOP data set.

    Prints recall and precision per object, and writes evaluation.json and evaluation.html into the run's folder.

    Of a run with several views of each bin, the table counts every view. A further sentence counts each part once, if
    it is visible in one of the views.

    Parts with a low annotation_confidence are not counted. If a data set contains such confidences, its annotations
    are treated as incomplete, and precision is given only for the objects named with --complete.

    Example: binpose evaluate runs/wrs --dataset recordings/ --split real
    """

    run_directory: tyro.conf.Positional[Path]
    """Folder that `binpose estimate --out` wrote."""
    dataset: Path
    """BOP data set with ground-truth poses."""
    split: str | None = None
    """Split of the data set; by default that of the run."""
    sensor: str | None = None
    """Sensor of the data set, such as photoneo; only needed if a scene has images of several."""
    regions: Path | None = None
    """JSON file of image polygons: {"000014_000000": [[[u, v], ...], ...]}; poses outside them count as wrong."""
    complete: str | None = None
    """Objects whose visible parts are all annotated, separated by commas; or "all"."""
    min_visible: float = EvaluationConfig.min_visible_fraction
    """Parts with a smaller visible fraction are not counted."""
    max_error: float = EvaluationConfig.max_error
    """Largest error of a right pose, as a fraction of the diameter."""

    def run(self) -> int:
        """Evaluate every frame of the run, print and write the results."""
        from binpose.evaluation_report import evaluation_page
        from binpose_core.base.files import write_json, write_text
        from binpose_core.datasets.bop import BopDataset
        from binpose_core.drawing.overlays import OverlayDrawer
        from binpose_pipeline.run_checks import agreement_sentence
        from binpose_pipeline.run_evaluation import RunEvaluator, read_regions
        from binpose_pipeline.runs import RunDirectory

        run = RunDirectory(self.run_directory)
        record = run.read_record()
        dataset = BopDataset(self.dataset, self.sensor)
        split = dataset.choose_split(self.split or record.split)
        config = EvaluationConfig(
            max_error=self.max_error, min_visible_fraction=self.min_visible, score_threshold=record.threshold
        )
        regions = read_regions(self.regions) if self.regions else {}
        with waiting("Reading the run and the parts ..."):
            evaluator = RunEvaluator(run, dataset, split, config, regions, self._complete())
        with compiling():
            frames = [evaluator.add(source) for source in evaluator.frames[:1]]
        rest = evaluator.frames[1:]
        frames += [evaluator.add(source) for source in tracked(rest, len(rest), "Evaluating")]
        result, bins = evaluator.result(), evaluator.bins()
        for note in evaluator.notes:
            console.print(note, style="yellow")
        console.print(evaluation_table(result))
        if result.depth_check.checked:
            console.print(f"Without labels: {agreement_sentence(result.depth_check)}")
        if bins is not None:
            console.print(bins.sentence)
        joint = None if bins is None else bins.to_json()
        write_json(run.root / "evaluation.json", {**result.to_json(), "bins": joint, "notes": evaluator.notes})
        notes = evaluator.notes if bins is None else [bins.sentence, *evaluator.notes]
        page = evaluation_page(record, OverlayDrawer(evaluator.objects), frames, result, notes)
        write_text(run.root / "evaluation.html", page)
        console.print(f"Report: {run.root / 'evaluation.html'}")
        return 0

    def _complete(self) -> tuple[str, ...] | str | None:
        return self.complete if self.complete in (None, "all") else split_names(str(self.complete), "--complete")


def evaluation_table(result: "EvaluationResult") -> "Table":
    """The results that fit a terminal of 80 columns; evaluation.json contains all."""
    from rich import box
    from rich.table import Table

    from binpose.evaluation_report import HEADER, formatted_row, shown_columns

    counts = [HEADER[n] for n in shown_columns(result) if HEADER[n] in ("wrong", "outside", "unknown")]
    shown = ("object", "by", "found", "recall", "precision", "error mm", "MSSD", *counts)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in shown:
        table.add_column(name, justify="left" if name in HEADER[:2] else "right", no_wrap=True)
    for row in result.rows:
        cells = dict(zip(HEADER, formatted_row(row), strict=True))
        cells |= {"found": f"{row.found}/{row.parts}", "MSSD": cells["MSSD recall"]}
        cells["error mm"] = cells["median error mm"]
        table.add_row(*(cells[name] for name in shown), style="bold" if row is result.rows[-1] else "")
    return table
