"""The figures of a training in one sentence, also where there are none."""

from binpose.held_out import NOT_MEASURED, held_out_sentence

METRICS = {
    "frames": 12, "min_visible_fraction": 0.5, "score_threshold": 0.5, "calibration_error": 0.031,
    "objects": {"all": {"recall": 0.716, "precision": 0.9}, "rod": {"recall": 0.1, "precision": 0.1}},
}  # fmt: skip


def test_recall_and_precision_are_those_of_all_parts() -> None:
    assert held_out_sentence(METRICS) == (
        "On 12 simulated bins that the networks have not seen: recall 72 %, precision 90 % at a score of 0.5 (parts at "
        "least 50 % visible), expected calibration error 0.031."
    )


def test_what_cannot_be_measured_is_unknown() -> None:
    nothing = {**METRICS, "calibration_error": None, "objects": {"all": {"recall": 0.0, "precision": float("nan")}}}
    sentence = held_out_sentence(nothing)
    assert "recall 0 %, precision unknown" in sentence and "error unknown" in sentence
    assert held_out_sentence({}) == NOT_MEASURED
