"""Bins that no network has seen: how many the calibration and the metrics get in the time there is."""

from collections.abc import Iterator, Sequence

from binpose_training.calibration import SCALING, scaling_views
from binpose_training.training_run import Run

FEWEST_VIEWS = 4
"""Views of each kind that are looked at however short the time is."""


class LimitedTrack:
    """Reports progress on views, and ends each of their kinds in time for the next one.

    Args:
        run: whose stage of calibration is running.
        counts: planned views of each kind, in their order.
    """

    def __init__(self, run: Run, counts: dict[str, int]) -> None:
        self._run, self._until, planned = run, dict[str, float](), 0
        for kind, count in counts.items():
            planned += count
            self._until[kind] = planned / sum(counts.values())

    def __call__(self, items: Sequence[int], stage: str) -> Iterator[int]:
        """Yield the items until the time of their kind is over; each counts as done when the next one is taken."""
        done, limited = 0, self._run.config.views is None
        for item in self._run.schedule.limited(items, self._until[stage], FEWEST_VIEWS) if limited else items:
            yield item
            done += 1
            self._run.report(stage, done / len(items), f"{done} of {len(items)}")
        if done < len(items):
            self._run.report(stage, 1.0, f"{done}, for which there was time, of {len(items)}")


def limited_track(run: Run, fitted_views: int, judged_views: int) -> LimitedTrack:
    """The track of `calibrated_bundle` within the time of a training's calibration."""
    scaling = scaling_views(fitted_views)
    counts = {"calibration": fitted_views - scaling, **dict.fromkeys(SCALING, scaling), "evaluation": judged_views}
    return LimitedTrack(run, counts)
