"""The sentence about a model's metrics on held-out simulated bins."""

import math
from collections.abc import Mapping
from typing import Any

from binpose_core.parts.catalogue import ALL_OBJECTS

NOT_MEASURED = "No bins were simulated to measure the model on."


def held_out_sentence(metrics: Mapping[str, Any]) -> str:
    """Recall, precision and calibration error.

    Args:
        metrics: of a bundle, as `binpose_training.calibration.metrics_of` gives them.
    """
    if not metrics.get("frames"):
        return NOT_MEASURED
    figures = metrics["objects"].get(ALL_OBJECTS, {})
    return (
        f"On {metrics['frames']} simulated bins that the networks have not seen: recall {_percent(figures, 'recall')}, "
        f"precision {_percent(figures, 'precision')} at a score of {metrics['score_threshold']:g} (parts at least "
        f"{100 * metrics['min_visible_fraction']:.0f} % visible), expected calibration error "
        f"{_number(metrics['calibration_error'])}."
    )


def _percent(figures: Mapping[str, Any], name: str) -> str:
    value = figures.get(name)
    return "unknown" if value is None or math.isnan(value) else f"{100 * value:.0f} %"


def _number(value: float | None) -> str:
    return "unknown" if value is None or math.isnan(value) else f"{value:.3f}"
