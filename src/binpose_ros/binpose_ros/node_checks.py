"""What is wrong with a node's clock, its name and the frame ids of its images."""

import time
from typing import Any

from rclpy.clock import Clock, ClockType

from binpose_core.base.reasons import Reason
from binpose_ros.monitor import SILENT_S
from binpose_ros.problems import Problem
from binpose_ros.stamps import NS_PER_S

TOLERANCE_S = 30.0  # more than a camera, its transport and the stages before take


class ClockCheck:
    """Checks the clock of a node, and how the stamps of its images fit."""

    def __init__(self, node: Any) -> None:
        self._node = node
        self._last_ns, self._advanced_s = 0, time.monotonic()

    @property
    def now_ns(self) -> int:
        """The node's time, or the system's while there is none on /clock."""
        now_ns = int(self._node.get_clock().now().nanoseconds)
        return now_ns or int(Clock(clock_type=ClockType.SYSTEM_TIME).now().nanoseconds)

    def problems(self, age_s: float | None) -> list[Problem]:
        """What is wrong.

        Args:
            age_s: how old an image's stamp was when it arrived; None when no image arrived.
        """
        now_ns = self._node.get_clock().now().nanoseconds
        if now_ns != self._last_ns:
            self._last_ns, self._advanced_s = now_ns, time.monotonic()
        if self._node.get_parameter("use_sim_time").value:
            if not now_ns:
                return [_no_clock("no time has arrived on /clock")]
            if time.monotonic() - self._advanced_s > SILENT_S:
                return [_no_clock(f"the time on /clock stands still at {now_ns / NS_PER_S:.3f} s")]
        return clock_mismatch(age_s)


def _no_clock(what: str) -> Problem:
    return Problem(
        Reason.NO_CLOCK,
        f"use_sim_time is set, but {what}; expected a simulator or a bag that publishes it (ros2 bag play --clock); "
        "start one, or set use_sim_time to false.",
    )


def clock_mismatch(age_s: float | None) -> list[Problem]:
    """Whether the stamps of images are of another clock, by how old one was when it arrived."""
    if age_s is None or abs(age_s) <= TOLERANCE_S:
        return []
    where = "behind" if age_s > 0 else "ahead of"
    return [
        Problem(
            Reason.CLOCK_MISMATCH,
            f"The stamps of the images are {abs(age_s):.0f} s {where} the node's clock; expected stamps of this clock; "
            "synchronise the camera's clock, or set use_sim_time where a bag or a simulator publishes /clock.",
        )
    ]


def duplicate_node(node: Any) -> list[Problem]:
    """Whether another node has the same name."""
    name, namespace = node.get_name(), node.get_namespace()
    if node.get_node_names_and_namespaces().count((name, namespace)) < 2:
        return []
    return [
        Problem(
            Reason.DUPLICATE_NODE,
            f"Two nodes have the name {node.get_fully_qualified_name()}; expected one; end one of them, or start it in "
            "another namespace.",
        )
    ]


def frame_id_problem(frame_id: str) -> str:
    """What is wrong with the frame id of images; empty when nothing is."""
    if not frame_id:
        what = "The frame id of the images is empty"
    elif frame_id.startswith("/") or frame_id != frame_id.strip():
        what = f"The frame id of the images is {frame_id!r}, which TF does not take"
    else:
        return ""
    return f"{what}; expected the name of the camera's optical frame; set it in the camera's driver."
