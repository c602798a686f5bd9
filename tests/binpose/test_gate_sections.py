"""A report states the verdict of the gate, its reasons and its evidence, as valid markup."""

import re
from xml.etree import ElementTree

import pytest

from binpose.gate_sections import add_gate, evidence_svg, other_rows, part_rows
from binpose.report import Report
from binpose_self_training.gate.anchors import PartComparison, ScoreComparison
from binpose_self_training.gate.latency import LatencyComparison
from binpose_self_training.gate.outcomes import OutcomeComparison
from binpose_self_training.gate.verdict import Decision, FramePoint, Verdict

CURVE = tuple(FramePoint(f"f{n}", 0.4, 0.5 + 0.01 * n, -1 + 0.1 * n, 1 - 0.02 * n) for n in range(12))
PARTS = (
    PartComparison("cog <1>", 40, 30, 33, 4, 1, 2, 1, -0.02, 0.15, "kept"),
    PartComparison("all", 40, 30, 33, 4, 1, 2, 1, -0.02, 0.15, "kept"),
)
VERDICT = Verdict(
    Decision.PROMOTED,
    ("It is better & faster.",),
    "a" * 64,
    "b" * 64,
    CURVE,
    PARTS,
    ScoreComparison(0.1, 0.08, "kept"),
    LatencyComparison(0.2, 0.18, 0.9, 0.85, 0.95, "kept"),
    OutcomeComparison(9, 7, 8, 1, 0, 0.3, "kept"),
)


def polygon(svg: str) -> list[tuple[float, float]]:
    points = ElementTree.fromstring(svg).find("polygon").attrib["points"]  # type: ignore[union-attr]
    return [tuple(map(float, point.split(","))) for point in points.split()]  # type: ignore[misc]


def test_the_curve_is_valid_and_has_a_dot_for_each_frame() -> None:
    root = ElementTree.fromstring(evidence_svg(CURVE))
    assert len(root.findall("circle")) == len(CURVE)
    assert len(polygon(evidence_svg(CURVE))) == 2 * (len(CURVE) + 1)


def test_narrower_bounds_are_drawn_narrower() -> None:
    def width(lower: float, upper: float) -> float:
        points = polygon(evidence_svg([FramePoint("f", 0.5, 0.5, lower, upper)]))
        return points[2][1] - points[1][1]  # of the band at the last frame

    assert 0 < width(0.0, 0.1) < width(-0.5, 0.5) < width(-1.0, 1.0)


@pytest.mark.parametrize("decision", list(Decision))
def test_the_page_states_decision_reasons_and_parts(decision: Decision) -> None:
    verdict = Verdict(**{**vars(VERDICT), "decision": decision})
    report = Report("Self-training")
    add_gate(report, verdict)
    page = report.render()
    assert "It is better &amp; faster." in page and "cog &lt;1&gt;" in page and "all parts" in page
    assert ("status good" in page) is (decision is Decision.PROMOTED)
    assert re.search("promotes|refuses|not decided", page)


def test_a_verdict_without_frames_and_anchors_has_no_empty_tables() -> None:
    report = Report("Self-training")
    add_gate(report, Verdict(Decision.UNDECIDED, ("No frames.",)))
    assert "<table" not in report.render() and "<svg" not in report.render()


def test_the_tables_hold_what_was_compared() -> None:
    assert (
        part_rows(PARTS)[0][:8] == ("cog <1>", 40, 30, 33, 4, 1, 2, 1) and part_rows(PARTS)[0][8] == "+8 % (-2 to +15)"
    )
    assert [row[0] for row in other_rows(VERDICT)] == [
        "mean squared error of the scores",
        "time per frame",
        "recorded picks agreed with",
    ]
