"""The reliability diagram: of the poses that got 0.8, are 80 % right?"""

from typing import Any

import numpy as np

from binpose_refinement.reliability import Reliability

LEFT, TOP, SIZE = 46, 10, 340
BAR_SHARE = 0.35


def reliability_json(reliability: Reliability) -> dict[str, Any]:
    """Plain numbers, bins without any pose left out."""
    filled = reliability.count > 0
    return {
        "score": reliability.mean_score[filled].tolist(),
        "share_right": reliability.share_correct[filled].tolist(),
        "count": reliability.count[filled].tolist(),
        "calibration_error": reliability.expected_calibration_error,
    }


def reliability_svg(reliability: Reliability) -> str:
    """Dots on the diagonal are well calibrated; bars show how many poses there are."""
    most = max(int(reliability.count.max(initial=0)), 1)
    bins = [
        (float(low), float(high), float(score), float(right), int(count))
        for low, high, score, right, count in zip(
            reliability.low,
            reliability.high,
            reliability.mean_score,
            reliability.share_correct,
            reliability.count,
            strict=True,
        )
        if count
    ]
    bars = [
        f"<rect class='bar' x='{_x(low) + 2:.1f}' width='{_x(high) - _x(low) - 4:.1f}' y='{_y(share):.1f}' "
        f"height='{_y(0) - _y(share):.1f}'><title>{count} poses</title></rect>"
        for low, high, _, _, count in bins
        for share in [BAR_SHARE * count / most]
    ]
    dots = [
        f"<circle class='dot' cx='{_x(score):.1f}' cy='{_y(right):.1f}' r='{3 + 4 * np.sqrt(count / most):.1f}'>"
        f"<title>{count} poses scored {score:.2f}, {100 * right:.0f} % right</title></circle>"
        for _, _, score, right, count in bins
    ]
    line = " ".join(f"{_x(score):.1f},{_y(right):.1f}" for _, _, score, right, _ in bins)
    return (
        f"<svg class='chart' viewBox='0 0 {LEFT + SIZE + 14} {TOP + SIZE + 44}' role='img' "
        f"aria-label='Share of right poses over score'>{_grid()}{''.join(bars)}"
        f"<polyline class='mark-line' points='{line}'/>{''.join(dots)}</svg>"
    )


def _grid() -> str:
    """Ticks, the diagonal and the names of the axes."""
    ticks = [
        f"<line class='axis' x1='{_x(v):.1f}' y1='{_y(0):.1f}' x2='{_x(v):.1f}' y2='{_y(1):.1f}'/>"
        f"<line class='axis' x1='{_x(0):.1f}' y1='{_y(v):.1f}' x2='{_x(1):.1f}' y2='{_y(v):.1f}'/>"
        f"<text x='{_x(v):.1f}' y='{_y(0) + 18:.1f}' text-anchor='middle'>{v:g}</text>"
        f"<text x='{_x(0) - 8:.1f}' y='{_y(v) + 4:.1f}' text-anchor='end'>{v:g}</text>"
        for v in (0, 0.25, 0.5, 0.75, 1)
    ]
    return (
        "".join(ticks)
        + f"<line class='ideal' x1='{_x(0):.1f}' y1='{_y(0):.1f}' x2='{_x(1):.1f}' y2='{_y(1):.1f}'/>"
        + f"<text x='{_x(0.5):.1f}' y='{_y(0) + 38:.1f}' text-anchor='middle'>score</text>"
        + f"<text transform='translate(12 {_y(0.5):.1f}) rotate(-90)' text-anchor='middle'>share right</text>"
    )


def _x(value: float) -> float:
    return LEFT + SIZE * value


def _y(value: float) -> float:
    return TOP + SIZE * (1 - value)
