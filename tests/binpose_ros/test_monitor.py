"""The diagnostics tell latency, counts, model and the last reason."""

from pathlib import Path
from typing import Any

import pytest

from binpose_ros.models import LoadedModel
from binpose_ros.monitor import ERROR, OK, SILENT_S, WARN, Monitor

MODEL = LoadedModel("stage", {}, "ab" * 32, None, Path("store"))


def values(status: Any) -> dict[str, str]:
    return {entry.key: entry.value for entry in status.values}


def test_a_node_that_works_is_ok_and_tells_its_figures(types: Any) -> None:
    monitor = Monitor()
    monitor.completed()
    for milliseconds in (10, 30, 20):
        monitor.add("detection", milliseconds / 1e3)
        monitor.succeeded()
    monitor.counts.dropped += 2
    status = monitor.status("detection", "active", MODEL, types)
    told = values(status)
    assert status.level == OK and status.message == "ok"
    assert told["detection_ms"] == "20.0" and told["detection_ms_worst"] == "30.0"
    assert (told["frames_done"], told["frames_dropped"]) == ("3", "2")
    assert told["model_version"] == MODEL.version[:12]


def test_the_times_of_one_frame_are_told_with_its_stamp(types: Any) -> None:
    monitor = Monitor()
    with monitor.frame(stamp_ns=2_000_000_000, now_ns=2_007_000_000):
        monitor.add("detection", 0.012)
        told = values(monitor.status("detection", "active", MODEL, types))
        assert told["last_stamp_ns"] == "0" and "detection_ms_last" not in told  # a frame under way is not told
    with monitor.frame(stamp_ns=3_000_000_000, now_ns=3_001_000_000):
        monitor.add("pose", 0.5)
    told = values(monitor.status("detection", "active", MODEL, types))
    assert told["last_stamp_ns"] == "3000000000" and "detection_ms_last" not in told
    assert (told["pose_ms_last"], told["delay_ms_last"]) == ("500.00", "1.00")
    assert told["delay_ms_worst"] == "7.0" and 0 <= float(told["frame_ms_last"]) < 1000


def test_the_reason_of_no_result_is_told_until_there_is_one(types: Any) -> None:
    monitor = Monitor()
    monitor.completed()
    monitor.failed("Bad depth.")
    status = monitor.status("detection", "active", MODEL, types)
    assert status.level == WARN and status.message == "Bad depth."
    assert values(status)["frames_failed"] == "1"
    monitor.succeeded()
    assert monitor.status("detection", "active", MODEL, types).message == "ok"


def test_why_no_frame_is_complete_is_told_after_a_while(types: Any, monkeypatch: Any) -> None:
    now_s = 100.0
    monkeypatch.setattr("binpose_ros.monitor.time.monotonic", lambda: now_s)
    monitor = Monitor(reason="")
    monitor.listens(lambda: "Nobody sends depth.")
    for event in (lambda: None, monitor.completed):
        event()
        assert monitor.told("active") == ""
        now_s += SILENT_S + 0.1
        assert monitor.status("detection", "active", MODEL, types).message == "Nobody sends depth."
        assert monitor.told("inactive") == ""


def test_a_refused_model_is_told(types: Any) -> None:
    monitor = Monitor(model_reason="NaN weights.")
    monitor.completed()
    monitor.succeeded()
    assert monitor.status("detection", "active", MODEL, types).message == "NaN weights."


def test_time_is_measured_also_where_a_stage_raises(types: Any) -> None:
    monitor = Monitor()
    with pytest.raises(ZeroDivisionError), monitor.measured("detection"):
        _ = 1 / 0
    assert "detection_ms" in values(monitor.status("detection", "active", None, types))
    assert ERROR > WARN > OK


def test_the_message_is_an_array_of_one_status(types: Any) -> None:
    message = types.sent(Monitor().message("detection", "inactive", None, 1_500_000_000, types))
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
    assert values(monitor.status("detection", "active", MODEL, types))["pose_ms"] == "12.0"
