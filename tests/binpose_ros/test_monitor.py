"""The diagnostics show times, counts, model and the last reason."""

from pathlib import Path
from typing import Any

import pytest

from binpose_core.base.reasons import Reason
from binpose_core.learning.bundle import ModelBundle
from binpose_ros.monitor import ERROR, OK, SILENT_S, WARN, Monitor, diagnostics_of
from binpose_ros.outcome import Outcome
from binpose_ros.problems import ProblemLog

MODEL = ModelBundle("stage", {}, "ab" * 32, None, Path("store"))


def values(status: Any) -> dict[str, str]:
    return {entry.key: entry.value for entry in status.values}


def status_of(monitor: Monitor, types: Any) -> Any:
    return monitor.status("detection", "active", MODEL, monitor.problems(), types)


def test_a_node_that_works_is_ok_and_shows_its_figures(types: Any) -> None:
    monitor = Monitor()
    monitor.completed()
    for milliseconds in (10, 30, 20):
        monitor.add("detection", milliseconds / 1e3)
        monitor.finished(Outcome())
    monitor.counts.dropped += 2
    status = status_of(monitor, types)
    shown = values(status)
    assert status.level == OK and status.message == "ok" and shown["code"] == shown["codes"] == "OK"
    assert shown["detection_ms"] == "20.0" and shown["detection_ms_worst"] == "30.0"
    assert (shown["frames_done"], shown["frames_dropped"]) == ("3", "2")
    assert shown["model_version"] == MODEL.version[:12]


def test_the_unexplained_fraction_of_the_last_frame_is_shown_where_it_is_known(types: Any) -> None:
    monitor = Monitor()
    assert "unexplained_last" not in values(status_of(monitor, types))
    monitor.unexplained = 0.126
    assert values(status_of(monitor, types))["unexplained_last"] == "0.13"


def test_the_times_of_one_frame_are_shown_with_its_stamp(types: Any) -> None:
    monitor = Monitor()
    with monitor.frame(stamp_ns=2_000_000_000, now_ns=2_007_000_000):
        monitor.add("detection", 0.012)
        shown = values(status_of(monitor, types))
        assert shown["last_stamp_ns"] == "0" and "detection_ms_last" not in shown  # a frame under way is not shown
    with monitor.frame(stamp_ns=3_000_000_000, now_ns=3_001_000_000):
        monitor.add("pose", 0.5)
    shown = values(status_of(monitor, types))
    assert shown["last_stamp_ns"] == "3000000000" and "detection_ms_last" not in shown
    assert (shown["pose_ms_last"], shown["delay_ms_last"]) == ("500.00", "1.00")
    assert shown["delay_ms_worst"] == "7.0" and 0 <= float(shown["frame_ms_last"]) < 1000


def test_the_reason_of_no_result_is_shown_with_its_code_until_there_is_one(types: Any) -> None:
    monitor = Monitor()
    monitor.completed()
    monitor.finished(Outcome(Reason.NO_DEPTH, "Bad depth."))
    status = status_of(monitor, types)
    assert status.level == WARN and status.message == "Bad depth."
    assert values(status)["code"] == values(status)["last_code"] == "NO_DEPTH"
    assert (values(status)["frames_failed"], values(status)["frames_done"]) == ("1", "0")
    monitor.finished(Outcome(Reason.NO_PARTS, "No part."))
    status = status_of(monitor, types)
    assert values(status)["code"] == "NO_PARTS" and values(status)["frames_done"] == "1"
    monitor.finished(Outcome())
    assert status_of(monitor, types).message == "ok"


def test_a_note_lasts_until_it_is_taken_back(types: Any) -> None:
    monitor = Monitor(outcome=Outcome())
    monitor.note(Reason.BAD_FRAME_ID, "Empty.")
    assert values(status_of(monitor, types))["codes"] == "BAD_FRAME_ID"
    monitor.note(Reason.BAD_FRAME_ID, "")
    assert status_of(monitor, types).level == OK


def test_each_note_of_a_frame_is_a_remark_of_its_own_and_gone_with_the_next_frame(types: Any) -> None:
    monitor = Monitor(outcome=Outcome(Reason.NO_PARTS, "No part."))
    monitor.note(Reason.ODD_INPUT, "In a corner.", "12 bits in 16.", "In a corner.")
    status = status_of(monitor, types)
    assert status.message == "No part. In a corner. 12 bits in 16." and values(status)["codes"] == "NO_PARTS,ODD_INPUT"
    written: list[str] = []
    log = ProblemLog(written.append)
    log.update(monitor.problems())
    log.update(monitor.problems())
    assert written == ["No part.", "In a corner.", "12 bits in 16."]
    monitor.note(Reason.ODD_INPUT, "12 bits in 16.")
    assert status_of(monitor, types).message == "No part. 12 bits in 16."
    monitor.note(Reason.ODD_INPUT)
    assert values(status_of(monitor, types))["codes"] == "NO_PARTS"


def test_silence_and_the_age_of_stamps_count_for_a_while(monkeypatch: Any) -> None:
    now_s = 100.0
    monkeypatch.setattr("binpose_ros.monitor.time.monotonic", lambda: now_s)
    monitor = Monitor()
    monitor.starts()
    assert not monitor.silent and monitor.age_s is None
    monitor.arrived(stamp_ns=1_000_000_000, now_ns=3_500_000_000)
    assert monitor.age_s == 2.5
    now_s += SILENT_S + 0.1
    assert monitor.silent and monitor.age_s is None
    monitor.completed()
    assert not monitor.silent


def test_a_refused_model_is_shown(types: Any) -> None:
    monitor = Monitor(model_reason="NaN weights.", outcome=Outcome())
    status = status_of(monitor, types)
    assert status.message == "NaN weights." and values(status)["code"] == "MODEL_REFUSED"


def test_time_is_measured_also_where_a_stage_raises(types: Any) -> None:
    monitor = Monitor()
    with pytest.raises(ZeroDivisionError), monitor.measured("detection"):
        _ = 1 / 0
    assert "detection_ms" in values(monitor.status("detection", "active", None, [], types))
    assert ERROR > WARN > OK


def test_the_message_is_an_array_of_one_status(types: Any) -> None:
    status = Monitor().status("detection", "inactive", None, [], types)
    message = types.sent(diagnostics_of([status], 1_500_000_000, types))
    assert [status.name for status in message.status] == ["detection"]
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (1, 500_000_000)


def test_a_stage_may_be_measured_for_the_first_time_while_the_status_is_made(types: Any, monkeypatch: Any) -> None:
    monitor = Monitor()
    monitor.add("detection", 0.012)
    monitor.add("pose", 0.012)

    def median(times: Any) -> float:
        monitor.add(f"stage{len(times)}", 0.1)  # as the worker may do now
        return 0.012

    monkeypatch.setattr("binpose_ros.monitor.statistics.median", median)
    assert values(status_of(monitor, types))["pose_ms"] == "12.0"
