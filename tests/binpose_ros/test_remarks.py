"""A remark is logged once while it lasts, and again only after it was gone."""

from binpose_core.base.reasons import Reason
from binpose_ros.remarks import GONE_S, Remark, RemarkLog, by_importance, codes, joined


def test_a_remark_is_logged_when_it_appears_and_again_after_it_was_gone_for_a_while() -> None:
    now_s = 100.0
    logged: list[str] = []
    log = RemarkLog(logged.append, lambda: now_s)
    late = Remark(Reason.STAMPS_DIFFER, "0.1 s off.", "/depth")
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
    beside = Remark(Reason.SEVERAL_PUBLISHERS, "Two.")
    general = Remark(Reason.NO_FRAME, "No frame.")
    cause = Remark(Reason.NO_PUBLISHER, "None.")
    ordered = by_importance([beside, general, cause])
    assert ordered == [cause, general, beside]
    assert codes(ordered) == "NO_PUBLISHER,NO_FRAME,SEVERAL_PUBLISHERS"
    assert joined([*ordered, cause]) == "None. No frame. Two."
    assert codes([]) == "OK" and joined([]) == ""
