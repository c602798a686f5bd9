"""The decision of the gate from all comparisons, with one sentence for each reason."""

from collections.abc import Sequence

from binpose_core.parts.catalogue import ALL_OBJECTS
from binpose_pipeline.bundle import PipelineBundle
from binpose_self_training.gate.anchors import LOST, OPEN, PartComparison, ScoreComparison
from binpose_self_training.gate.comparison import Comparison
from binpose_self_training.gate.config import GateConfig
from binpose_self_training.gate.latency import LatencyComparison
from binpose_self_training.gate.outcomes import OutcomeComparison
from binpose_self_training.gate.verdict import Decision


def missing_parts(champion: PipelineBundle, candidate: PipelineBundle) -> list[str]:
    """The parts that the candidate does not know any more."""
    return [name for name in champion.objects if name not in candidate.objects]


def decide(
    config: GateConfig,
    missing: Sequence[str],
    comparison: Comparison,
    parts: Sequence[PartComparison],
    scores: ScoreComparison | None,
    latency: LatencyComparison | None,
    outcomes: OutcomeComparison | None,
) -> tuple[Decision, tuple[str, ...]]:
    """The decision and its reasons; one reason to refuse suffices, and nothing open may be left for a promotion."""
    refused = [
        *([f"The candidate does not know {', '.join(missing)}."] if missing else []),
        *(_lost_part(part) for part in parts if part.state == LOST),
        *_lost_scores(scores),
        *_lost_latency(config, latency),
        *_lost_outcomes(outcomes),
        *_worse(comparison),
    ]
    if refused:
        return Decision.REFUSED, tuple(refused)
    open_questions = [
        *_unproven(config, comparison, parts),
        *(_open_part(part, config) for part in parts if part.state == OPEN),
        *_open_latency(config, latency),
    ]
    if open_questions:
        return Decision.UNDECIDED, tuple(open_questions)
    return Decision.PROMOTED, (_better(config, comparison), *_kept(config, parts))


def _lost_part(part: PartComparison) -> str:
    return (
        f"{_name(part)}: the candidate finds {part.candidate_found} of {part.parts} labelled parts with "
        f"{part.candidate_wrong} wrong poses, the champion {part.champion_found} with {part.champion_wrong}."
    )


def _lost_scores(scores: ScoreComparison | None) -> list[str]:
    if scores is None or scores.state != LOST:
        return []
    return [
        f"The candidate's scores are worse probabilities: their mean squared error rises from "
        f"{scores.champion_error:.3f} to {scores.candidate_error:.3f} on the labelled frames."
    ]


def _lost_latency(config: GateConfig, latency: LatencyComparison | None) -> list[str]:
    if latency is None or latency.state != LOST:
        return []
    return [
        f"The candidate takes {latency.ratio:.2f} times as long as the champion ({1e3 * latency.candidate_s:.0f} ms a "
        f"frame); expected at most {config.latency.largest_ratio:g} times."
    ]


def _lost_outcomes(outcomes: OutcomeComparison | None) -> list[str]:
    if outcomes is None or outcomes.state != LOST:
        return []
    return [
        f"The candidate agrees with {outcomes.candidate_right} of {outcomes.picks} recorded picks, the champion with "
        f"{outcomes.champion_right}."
    ]


def _worse(comparison: Comparison) -> list[str]:
    if not comparison.bounds.is_negative:
        return []
    return [
        f"The candidate is worse on {len(comparison.points)} unlabelled frames: its mean advantage is below "
        f"{comparison.bounds.upper:.3f}."
    ]


def _unproven(config: GateConfig, comparison: Comparison, parts: Sequence[PartComparison]) -> list[str]:
    found = []
    bounds, count = comparison.bounds, len(comparison.points)
    if not count:
        found.append("No unlabelled frame could be compared; record frames with depth.")
    elif not bounds.is_positive:
        found.append(
            f"{count} unlabelled frames do not prove that the candidate is better: its mean advantage lies between "
            f"{bounds.lower:.3f} and {bounds.upper:.3f}; compare more frames."
        )
    elif comparison.mean_difference <= 0.0:
        found.append(
            f"The candidate wins most frames but loses few by much: the mean difference of credit over {count} frames "
            f"is {comparison.mean_difference:.3f}."
        )
    if not parts:
        found.append("There are no labelled frames; simulate anchor frames, or put a BOP data set into `golden`.")
    return found


def _open_part(part: PartComparison, config: GateConfig) -> str:
    margin = 100 * config.anchors.margin_of(part.object_id)
    return (
        f"{_name(part)}: {part.parts} labelled parts do not exclude a loss of {margin:g} % (found "
        f"{part.candidate_found}, before {part.champion_found}; wrong {part.candidate_wrong}, before "
        f"{part.champion_wrong}); add labelled frames."
    )


def _open_latency(config: GateConfig, latency: LatencyComparison | None) -> list[str]:
    if latency is None or latency.state != OPEN:
        return []
    return [
        f"The candidate may be too slow: {latency.ratio:.2f} times the champion's time in the median; expected at most "
        f"{config.latency.largest_ratio:g}."
    ]


def _better(config: GateConfig, comparison: Comparison) -> str:
    return (
        f"The candidate is better on {len(comparison.points)} unlabelled frames (mean difference of credit "
        f"{comparison.mean_difference:+.3f}); the probability of this by chance is at most {config.betting.alpha:g}."
    )


def _kept(config: GateConfig, parts: Sequence[PartComparison]) -> list[str]:
    names = len([part for part in parts if part.object_id != ALL_OBJECTS])
    return [f"None of {names} parts loses more than {100 * config.anchors.margin:g} % on the labelled frames."]


def _name(part: PartComparison) -> str:
    return "All parts" if part.object_id == ALL_OBJECTS else part.object_id
