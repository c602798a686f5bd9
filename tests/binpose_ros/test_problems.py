"""A problem is logged once while it lasts, and again only after it was gone."""

from binpose_core.base.reasons import Reason
from binpose_ros.problems import GONE_S, Problem, ProblemLog, by_importance, codes, message_of


def test_a_remark_is_logged_when_it_appears_and_again_after_it_was_gone_for_a_while() -> None:
    now_s = 100.0
    logged: list[str] = []
    log = ProblemLog(logged.append, lambda: now_s)
    late = Problem(Reason.STAMPS_DIFFER, "0.1 s off.", "/depth")
    log.update([late])
    for _ in range(1000):
        now_s += 1.0
        log.update([late._replace(message="0.2 s off.")])  # other figures of the same thing
    assert logged == ["0.1 s off."]
    for _ in range(50):
        now_s += 10.0
        log.update([])
        now_s += 10.0
        log.update([late])
    assert len(logged) == 1, "what comes and goes is not logged every time"
    log.update([late, late._replace(subject="/color", message="another topic")])
    assert logged[-1] == "another topic"
    now_s += GONE_S + 1
    log.update([])
    log.update([late])
    assert logged[-1] == "0.1 s off."


def test_what_prevents_results_stands_first() -> None:
    beside = Problem(Reason.SEVERAL_PUBLISHERS, "Two.")
    general = Problem(Reason.NO_FRAME, "No frame.")
    cause = Problem(Reason.NO_PUBLISHER, "None.")
    ordered = by_importance([beside, general, cause])
    assert ordered == [cause, general, beside]
    assert codes(ordered) == "NO_PUBLISHER,NO_FRAME,SEVERAL_PUBLISHERS"
    assert message_of([*ordered, cause]) == "None. No frame. Two."
    assert codes([]) == "OK" and message_of([]) == ""
