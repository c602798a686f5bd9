"""A parameter that a node refuses is one sentence and an exit status of its own."""

import subprocess
import sys

import pytest
from live_graph import MODULES, next_domain

pytest.importorskip("rclpy", reason="ROS 2 is not installed or not sourced")

BAD = {
    "refiner.method:=magic": "'magic'",
    "device:=gpu": "device is 'gpu'",
    "threshold:=2.0": "threshold",
    "threshold:=high": "threshold",
    "region:=everywhere": "'everywhere'",
}


@pytest.mark.parametrize("assignment", BAD)
def test_a_bad_parameter_ends_the_node_with_one_sentence(ros_environment: dict[str, str], assignment: str) -> None:
    environment = dict(ros_environment, ROS_DOMAIN_ID=str(next_domain()))
    command = [sys.executable, "-m", MODULES["bin_picking"], "--ros-args", "-p", assignment]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line]
    assert len(lines) == 1 and "The node is not started: " in lines[0] and BAD[assignment] in lines[0]
