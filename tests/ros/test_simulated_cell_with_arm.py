"""The simulated cell with the Panda, as `arm:=fer` starts it: grasps with joints, a pick, and a prompt end."""

import time
from importlib import metadata
from typing import Any

import pytest
from live_messages import stamp

PART, JOINTS = "bow_handle", 7
WITHIN_A_TRY_S, END_S = 0.3, 3.0
"""From its beginning, shorter than any try; longest time to end: 2 s, and one for a busy machine."""
PLANNER = {
    "base_frame": "base",
    "planner.down_frame": "base",
    "planner.down.z": -1.0,
    "planner.tries": 200,
    "planner.enough": 4,
    "planner.arm.name": "fer",
}
try:
    metadata.distribution("example-robot-data")
    PANDA_MISSING = ""
except metadata.PackageNotFoundError:
    PANDA_MISSING = "the extra `picking` is not installed: no shape of the Panda"
pytestmark = pytest.mark.skipif(bool(PANDA_MISSING), reason=PANDA_MISSING)


@pytest.fixture(scope="module")
def live(graph: Any) -> Any:
    """The graph, once there are grasps that the arm reaches."""
    from binpose_interfaces.msg import GraspArray, PickOutcome
    from vision_msgs.msg import Detection3DArray

    graph.truth = graph.listen("/simulated_cell/truth", Detection3DArray)
    graph.grasps = graph.listen("/grasp_publisher/grasps", GraspArray)
    graph.outcomes = graph.listen("/pick_outcomes", PickOutcome)
    leader = ("detection/model_status", "bin_picking/model_status")
    arm = {"physics.arm.name": "fer"}
    graph.start("simulated_cell", parts=[PART], number=3, rate_hz=2.0, picking=False, **arm)
    graph.start("grasp_publisher", leader, **PLANNER)
    graph.start("bin_picking", watch_s=0.0)
    graph.wait(lambda: any(array.grasps for array in list(graph.grasps)), "grasps", 900.0)
    return graph


def test_the_arm_picks_with_a_grasp_that_it_reaches(live: Any) -> None:
    from std_srvs.srv import Trigger

    assert live.call("/simulated_cell/step", Trigger).success
    live.wait(lambda: live.outcomes, "an outcome", 600.0)
    outcome = live.outcomes[0]
    array = next(array for array in list(live.grasps) if stamp(array) == stamp(outcome))
    assert outcome.grasp in array.grasps and outcome.header.frame_id == "base"
    assert len(outcome.grasp.joints) == JOINTS and any(outcome.grasp.joints)
    assert outcome.success and outcome.end == outcome.PLACED and outcome.grasp.object_id == PART


def test_the_grasp_is_where_its_joints_bring_the_hand(live: Any) -> None:
    import numpy as np

    from binpose_grasping.arm import ArmConfig, load_arm
    from binpose_ros.poses import to_matrix

    arm, grasp = load_arm(ArmConfig(name="fer")), live.outcomes[0].grasp
    assert arm is not None
    hand = arm.forward(np.array(grasp.joints)[None])[0]
    np.testing.assert_allclose(hand[:3, 3], to_matrix(grasp.pose)[:3, 3], atol=1e-3)


def test_the_process_ends_promptly_in_the_middle_of_a_try(live: Any) -> None:
    from std_srvs.srv import Trigger

    from binpose_cell.node import GRASPS_ARRIVED

    def begun() -> int:
        return str(live.log("simulated_cell")).count(GRASPS_ARRIVED)

    before = begun()
    assert live.call("/simulated_cell/step", Trigger).success
    live.wait(lambda: begun() > before, "a try", 600.0)
    time.sleep(WITHIN_A_TRY_S)
    began = time.monotonic()
    assert live.stop("simulated_cell") == 0
    assert time.monotonic() - began < END_S
    assert len(live.outcomes) == 1, "the try was given up"
