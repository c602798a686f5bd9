"""The node `grasp_publisher`: refined poses and depth in, grasps out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.base.reasons import Reason
from binpose_core.base.settings import about, setting
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.geometry.transforms import FloatArray, inverse
from binpose_core.learning.model_store import StoredModel
from binpose_core.parts.drawn_scene import drawn_scene
from binpose_core.parts.objects import ObjectModel
from binpose_grasping.cell import Placement
from binpose_grasping.config import PlannerConfig
from binpose_grasping.planner import NO_POSE, GraspPlan, GraspPlanner
from binpose_grasping.stability import GraspMemory
from binpose_ros.frame_worker import FrameWorker
from binpose_ros.frames import to_depth_frame
from binpose_ros.grasp_action import GraspAction
from binpose_ros.grasp_messages import GraspOutputs, GraspResult, GraspService, in_frame
from binpose_ros.inputs import DEPTH, INFO, Input, Match, read
from binpose_ros.lifecycle import ManagedNode
from binpose_ros.model_follower import ModelFollower
from binpose_ros.model_holder import ModelHolder
from binpose_ros.monitor import Monitor
from binpose_ros.node_diagnostics import stage_diagnostics
from binpose_ros.outcome import Outcome
from binpose_ros.parameters import Parameters
from binpose_ros.poses import read_poses
from binpose_ros.results import Results
from binpose_ros.running import prepare_process, run_node
from binpose_ros.serialized import serialized_header
from binpose_ros.settings import StageSettings
from binpose_ros.stage_model import StageModel
from binpose_ros.stamps import Header, from_header
from binpose_ros.transforms import Transforms, moved
from binpose_ros.upstream_status import UpstreamStatus
from binpose_ros.vision_arrays import array_length

POSES = Input("refinement/poses", "Detection3DArray", "reference", camera=False)
INPUTS = (POSES, DEPTH, INFO)
NOTHING = Outcome(Reason.NO_PARTS, NO_POSE)


@dataclass(frozen=True)
class GraspSettings(StageSettings):
    """Parameters of the node.

    base_frame: frame of TF in which grasps are published, and the base of the arm. The camera's place in it is looked
        up at the time of the image. When empty, grasps are in the frame of the poses, and planner.cell.camera counts.
    hand_frame: name of the frame of the hand that the published poses are of; the tool centre point when empty.
    tcp_frame: frame of TF that is the tool centre point; its place in hand_frame replaces tcp_offset.
    tcp_offset: the tool centre point in hand_frame, used where tcp_frame is empty.
    finger_joints: names of the hand's finger joints, for the grasps of ~/stream_grasps.
    keep_best: how much better another grasp must be to replace the best one of the frame before, as a fraction.
    planner: selection of the grasps.
    """

    base_frame: str = setting("", live=True)
    hand_frame: str = setting("", live=True)
    tcp_frame: str = setting("", live=True)
    tcp_offset: Placement = field(
        default_factory=Placement, metadata={"live": True, **about("the tool centre point in hand_frame")}
    )
    finger_joints: tuple[str, ...] = setting(("fer_finger_joint1", "fer_finger_joint2"), live=True)
    keep_best: float = setting(0.1, bounds=(0.0, 1.0), live=True)
    planner: PlannerConfig = field(default_factory=PlannerConfig, metadata={"live": True})

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("base_frame", "hand_frame", "tcp_frame"):
            value = getattr(self, name)
            if value.startswith("/") or value.endswith("/") or any(letter.isspace() for letter in value):
                raise BinposeError(f"{name} is {value!r}; expected a name of TF, without blanks and outer slashes.")
        if self.tcp_frame and not self.hand_frame:
            raise BinposeError(f"tcp_frame is {self.tcp_frame!r} without hand_frame; expected both; give hand_frame.")


def build(stored: StoredModel, objects: Mapping[str, ObjectModel], settings: Any) -> GraspPlanner:
    """The planner, which needs the parts alone."""
    return GraspPlanner(objects, settings.planner)


def warm_up(planner: GraspPlanner, objects: Mapping[str, ObjectModel], frame: RgbdFrame) -> None:
    """Plan for the poses of a drawing."""
    scene = drawn_scene(objects)
    planner(scene.frame, scene.poses)


def other_planner(before: GraspSettings, after: GraspSettings) -> bool:
    """Whether the planner's settings have changed."""
    return before.planner != after.planner


class GraspPublisherNode(ManagedNode):
    """Publishes `~/grasps`, `~/best_grasp`, `~/grasp_poses`, `~/markers`; offers `~/get_grasps`, `~/stream_grasps`."""

    def __init__(self, **options: Any) -> None:
        super().__init__("grasp_publisher", **options)
        self.monitor, self.transforms = Monitor(), Transforms(self)
        self.parameters = Parameters(self, GraspSettings())
        self.models = ModelHolder(self, StageModel(build, warm_up, must_rebuild=other_planner))
        self.model_source = ModelFollower(self, self.models)
        self.upstream = UpstreamStatus(self, "refinement/status")
        self.results = Results(self, lambda: GraspOutputs(self, "~/"))
        self.frames = FrameWorker(self, INPUTS, self.models, self.results, self.process, self.publish_empty)
        self.memory = GraspMemory()
        self.service = GraspService(self)
        self.stream = GraspAction(self, self.service)
        self.diagnostics = stage_diagnostics(self, self.stream.values)
        self.parts = (self.model_source, self.results, self.frames)

    def process(self, match: Match) -> Outcome:
        """Plan with the parts of the model that estimated the poses."""
        data = match[POSES.topic]
        header = serialized_header(data)
        if not array_length(data):
            return self.upstream.pass_on(header, NOTHING, self.publish_empty)
        poses, version = read_poses(data)
        model, settings = self.models.find(version), self.settings
        with self.monitor.measured("convert"):
            depth, info = read(match, DEPTH, self.types), read(match, INFO, self.types)
            camera = Header(header.stamp_ns, from_header(depth).frame_id)
            frame = to_depth_frame(depth, info, camera, settings.rectified)
            self.monitor.note(Reason.ODD_INPUT, *frame.notes)
            T_cam_poses = self.transforms.lookup(camera.frame_id, header)
            T_base_cam = self.transforms.lookup(settings.base_frame, camera) if settings.base_frame else None
            T_tcp_hand = self._hand(settings, header.stamp_ns)
        with self.monitor.measured("grasps"):
            plan = model.stage.plan(frame, moved(poses, T_cam_poses), T_base_cam)
        target = Header(header.stamp_ns, settings.base_frame or header.frame_id)
        T_target_cam = inverse(T_cam_poses) if T_base_cam is None else T_base_cam
        grasps = self.memory.best_kept(in_frame(plan.grasps, T_target_cam), settings.keep_best)
        refused = in_frame([plan.best_refused.grasp] if plan.best_refused else [], T_target_cam)
        drags = [drag.moved(T_target_cam) for drag in plan.drags]
        with self.monitor.measured("publish"):
            gripper = model.stage.config.gripper
            self.results.outputs.publish(target, grasps, model.version, T_tcp_hand, gripper.boxes, refused, drags)
        self.service.put(GraspResult(target, grasps, model.version, T_tcp_hand, plan.reason, drags=drags))
        return outcome(plan, len(poses), model.version)

    def _hand(self, settings: GraspSettings, stamp_ns: int) -> FloatArray:
        """T_tcp_hand (4, 4) of the frame that the published poses are of."""
        if not settings.hand_frame:
            return np.eye(4)
        if settings.tcp_frame:
            return self.transforms.lookup(settings.tcp_frame, Header(stamp_ns, settings.hand_frame))
        return inverse(settings.tcp_offset.matrix)

    def publish_empty(self, header: Header, outcome: Outcome) -> None:
        """Publish no grasps."""
        self.results.outputs.publish(header, (), "")
        self.service.put(GraspResult(header, (), "", np.eye(4), outcome.message, not outcome.is_failure))


def outcome(plan: GraspPlan, found: int, version: str) -> Outcome:
    """What became of a frame."""
    reason = Reason.OK if plan.grasps else Reason.NO_GRASP
    return Outcome(reason, plan.reason, found=found, reported=len(plan.grasps), version=version)


def main() -> None:
    """Run the node."""
    prepare_process()
    run_node(GraspPublisherNode)


if __name__ == "__main__":
    main()
