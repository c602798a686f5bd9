"""The verdict of the gate in a report: reasons, evidence curve, and a table per part."""

from collections.abc import Sequence

from binpose.report import Cell, Report
from binpose_core.learning.model_store import SHORT
from binpose_core.parts.catalogue import ALL_OBJECTS
from binpose_self_training.gate.anchors import PartComparison
from binpose_self_training.gate.verdict import Decision, FramePoint, Verdict

LEFT, TOP, WIDTH, HEIGHT = 56, 12, 640, 260
PART_HEADER = (
    "part",
    "labelled",
    "found before",
    "found",
    "gained",
    "lost",
    "wrong before",
    "wrong",
    "change",
    "state",
)
SENTENCES = {
    Decision.PROMOTED: "The gate promotes the candidate.",
    Decision.REFUSED: "The gate refuses the candidate; the model in use stays.",
    Decision.UNDECIDED: "The gate has not decided; the model in use stays.",
}
CURVE_CAPTION = (
    "Mean advantage of the candidate over the frames compared so far: the shaded band holds it at every time with the "
    "stated error rate, and the candidate is better once the band lies above 0. Dots: difference of credit on a frame."
)


def add_gate(report: Report, verdict: Verdict) -> None:
    """Add the sections of a verdict to a report."""
    report.add_section("Proof", f"Candidate {_short(verdict.candidate)} against {_short(verdict.champion)} in use.")
    report.add_status(SENTENCES[verdict.decision], good=verdict.promoted)
    for reason in verdict.reasons:
        report.add_text(reason)
    if verdict.curve:
        report.add_html(f"{evidence_svg(verdict.curve)}<p class='note'>{CURVE_CAPTION}</p>")
    if verdict.parts:
        report.add_table(PART_HEADER, part_rows(verdict.parts), "Parts on the labelled anchor frames.")
    if rows := other_rows(verdict):
        report.add_table(("comparison", "before", "candidate", "state"), rows)
    for note in verdict.notes:
        report.add_text(note)


def part_rows(parts: Sequence[PartComparison]) -> list[tuple[Cell, ...]]:
    """One row per part; the change of the found fraction is in percent with its bounds."""
    return [
        (
            "all parts" if part.object_id == ALL_OBJECTS else part.object_id,
            part.parts,
            part.champion_found,
            part.candidate_found,
            part.gained,
            part.lost,
            part.champion_wrong,
            part.candidate_wrong,
            f"{100 * part.change:+.0f} % ({100 * part.lowest:+.0f} to {100 * part.highest:+.0f})",
            part.state,
        )
        for part in parts
    ]


def other_rows(verdict: Verdict) -> list[tuple[Cell, ...]]:
    """Scores, times and recorded picks, as far as they were compared."""
    rows: list[tuple[Cell, ...]] = []
    if verdict.scores is not None:
        errors = verdict.scores.champion_error, verdict.scores.candidate_error
        rows.append(("mean squared error of the scores", *(f"{error:.3f}" for error in errors), verdict.scores.state))
    if verdict.latency is not None:
        times = verdict.latency.champion_s, verdict.latency.candidate_s
        rows.append(("time per frame", *(f"{1e3 * value:.0f} ms" for value in times), verdict.latency.state))
    if verdict.outcomes is not None:
        o = verdict.outcomes
        right = (f"{count} of {o.picks}" for count in (o.champion_right, o.candidate_right))
        rows.append(("recorded picks agreed with", *right, o.state))
    return rows


def evidence_svg(curve: Sequence[FramePoint]) -> str:
    """The bounds of the mean advantage over frames, and the difference of credit on each frame."""
    count = len(curve)
    bounds = [(_x(n + 1, count), _y(p.lower), _y(p.upper)) for n, p in enumerate(curve)]
    bounds = [(_x(0, count), _y(-1.0), _y(1.0)), *bounds]
    outline = [(x, upper) for x, _, upper in bounds] + [(x, lower) for x, lower, _ in reversed(bounds)]
    lower = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in bounds)
    dots = "".join(
        f"<circle class='dot' cx='{_x(n + 1, count):.1f}' cy='{_y(p.candidate - p.champion):.1f}' r='2'>"
        f"<title>frame {n + 1}: credit {p.candidate:.2f}, before {p.champion:.2f}</title></circle>"
        for n, p in enumerate(curve)
    )
    return (
        f"<svg class='chart evidence' style='max-width:760px' viewBox='0 0 {LEFT + WIDTH + 14} {TOP + HEIGHT + 44}' "
        f"role='img' aria-label='Bounds of the mean advantage over {count} frames'>{_grid(count)}"
        f"<polygon class='bar' points='{' '.join(f'{x:.1f},{y:.1f}' for x, y in outline)}'/>"
        f"<polyline class='mark-line' points='{lower}'/>{dots}</svg>"
    )


def _grid(count: int) -> str:
    """Ticks, the line of no difference and the names of the axes."""
    levels = "".join(
        f"<line class='{'axis' if v else 'ideal'}' x1='{LEFT}' y1='{_y(v):.1f}' x2='{LEFT + WIDTH}' y2='{_y(v):.1f}'/>"
        f"<text x='{LEFT - 8}' y='{_y(v) + 4:.1f}' text-anchor='end'>{v:+g}</text>"
        for v in (-1.0, -0.5, 0.0, 0.5, 1.0)
    )
    steps = sorted({0, count // 2, count})
    frames = "".join(
        f"<text x='{_x(n, count):.1f}' y='{TOP + HEIGHT + 18}' text-anchor='middle'>{n}</text>" for n in steps
    )
    return (
        f"{levels}{frames}<text x='{LEFT + WIDTH / 2:.1f}' y='{TOP + HEIGHT + 38}' text-anchor='middle'>frames</text>"
        f"<text transform='translate(12 {TOP + HEIGHT / 2:.1f}) rotate(-90)' text-anchor='middle'>mean advantage</text>"
    )


def _x(frame: int, count: int) -> float:
    return LEFT + WIDTH * frame / max(count, 1)


def _y(value: float) -> float:
    return TOP + HEIGHT * (1.0 - value) / 2.0


def _short(version: str) -> str:
    return version[:SHORT] or "without a version"
