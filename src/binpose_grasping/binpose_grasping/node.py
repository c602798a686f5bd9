"""The node `grasp_publisher`: refined poses and depth in, grasps out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from binpose_core.base.reasons import Reason
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Grasp
from binpose_core.geometry.transforms import FloatArray, inverse
from binpose_core.learning.model_store import StoredModel
from binpose_core.parts.objects import ObjectModel
from binpose_grasping.config import PlannerConfig
from binpose_grasping.planner import NO_POSE, GraspPlanner
from binpose_ros.frame_worker import FrameWorker
from binpose_ros.frames import to_depth_frame
from binpose_ros.inputs import DEPTH, INFO, Input, Match, read
from binpose_ros.lifecycle import ManagedNode
from binpose_ros.model_follower import ModelFollower
from binpose_ros.model_holder import ModelHolder
from binpose_ros.monitor import Monitor
from binpose_ros.node_diagnostics import stage_diagnostics
from binpose_ros.outcome import Outcome
from binpose_ros.parameters import Parameters
from binpose_ros.poses import from_matrices, read_poses
from binpose_ros.results import Results
from binpose_ros.running import prepare_process, run_node
from binpose_ros.serialized import serialized_header
from binpose_ros.settings import StageSettings
from binpose_ros.stage_model import StageModel
from binpose_ros.stamps import Header, from_header, to_header
from binpose_ros.transforms import Transforms, moved
from binpose_ros.upstream_status import UpstreamStatus
from binpose_ros.vision_arrays import array_length, instance_id
from binpose_ros.warm_up import warm_up_pose

POSES = Input("refinement/poses", "Detection3DArray", "reference", camera=False)
INPUTS = (POSES, DEPTH, INFO)
NOTHING = Outcome(Reason.NO_PARTS, NO_POSE)


@dataclass(frozen=True)
class GraspSettings(StageSettings):
    """Parameters of the node.

    planner: selection of the grasps.
    """

    planner: PlannerConfig = field(default_factory=PlannerConfig, metadata={"live": True})


class GraspOutputs:
    """The topics of grasps below a prefix."""

    def __init__(self, node: Any, prefix: str) -> None:
        self._types = node.types
        self._grasps = node.output("GraspArray", f"{prefix}grasps")
        self._best = node.output("PoseStamped", f"{prefix}best_grasp")
        self._poses = node.output("PoseArray", f"{prefix}grasp_poses")

    def publish(self, header: Header, grasps: Sequence[Grasp], version: str) -> None:
        """Publish a frame's grasps, best first; the best one also by itself where there is one."""
        types, stamped = self._types, to_header(header, self._types)
        poses = _poses([grasp.T_cam_hand for grasp in grasps], types)
        self._grasps.publish(types.GraspArray(header=stamped, grasps=_messages(grasps, poses, version, types)))
        self._poses.publish(types.PoseArray(header=stamped, poses=poses))
        if poses:
            self._best.publish(types.PoseStamped(header=stamped, pose=poses[0]))


def _messages(grasps: Sequence[Grasp], poses: Sequence[Any], version: str, types: Any) -> list[Any]:
    pregrasps = _poses([grasp.T_cam_pregrasp for grasp in grasps], types)
    retreats = _poses([grasp.T_cam_retreat for grasp in grasps], types)
    return [
        types.Grasp(
            object_id=grasp.object_id,
            detection_id=instance_id(version, grasp.pose_index),
            pose=pose,
            pregrasp=pregrasp,
            retreat=retreat,
            width=grasp.width_m,
            score=grasp.score,
        )
        for grasp, pose, pregrasp, retreat in zip(grasps, poses, pregrasps, retreats, strict=True)
    ]


def _poses(T: Sequence[FloatArray], types: Any) -> list[Any]:
    return from_matrices(np.stack(T), types) if T else []


def in_frame(grasps: Sequence[Grasp], T_target_cam: FloatArray) -> list[Grasp]:
    """Grasps transformed from the camera frame to the frame of the poses."""
    return [
        replace(
            grasp,
            T_cam_hand=T_target_cam @ grasp.T_cam_hand,
            T_cam_pregrasp=T_target_cam @ grasp.T_cam_pregrasp,
            T_cam_retreat=T_target_cam @ grasp.T_cam_retreat,
        )
        for grasp in grasps
    ]


def build(stored: StoredModel, objects: Mapping[str, ObjectModel], settings: Any) -> GraspPlanner:
    """The planner, which needs the parts alone."""
    return GraspPlanner(objects, settings.planner)


def warm_up(planner: GraspPlanner, objects: Mapping[str, ObjectModel], frame: RgbdFrame) -> None:
    """Plan once."""
    name = next(iter(objects))
    planner(frame, [warm_up_pose(frame, name)])


def other_planner(before: GraspSettings, after: GraspSettings) -> bool:
    """Whether the planner's settings have changed."""
    return before.planner != after.planner


class GraspPublisherNode(ManagedNode):
    """Publishes `~/grasps`, `~/best_grasp` and `~/grasp_poses` of each frame's poses."""

    def __init__(self, **options: Any) -> None:
        super().__init__("grasp_publisher", **options)
        self.monitor, self.transforms = Monitor(), Transforms(self)
        self.parameters = Parameters(self, GraspSettings())
        self.models = ModelHolder(self, StageModel(build, warm_up, must_rebuild=other_planner))
        self.model_source = ModelFollower(self, self.models)
        self.upstream = UpstreamStatus(self, "refinement/status")
        self.results = Results(self, lambda: GraspOutputs(self, "~/"))
        self.frames = FrameWorker(self, INPUTS, self.models, self.results, self.process, self.publish_empty)
        self.diagnostics = stage_diagnostics(self)
        self.parts = (self.model_source, self.results, self.frames)

    def process(self, match: Match) -> Outcome:
        """Plan with the parts of the model that estimated the poses."""
        data = match[POSES.topic]
        header = serialized_header(data)
        if not array_length(data):
            return self.upstream.pass_on(header, NOTHING, self.publish_empty)
        poses, version = read_poses(data)
        model = self.models.find(version)
        with self.monitor.measured("convert"):
            depth, info = read(match, DEPTH, self.types), read(match, INFO, self.types)
            camera = Header(header.stamp_ns, from_header(depth).frame_id)
            frame = to_depth_frame(depth, info, camera, self.settings.rectified)
            self.monitor.note(Reason.ODD_INPUT, *frame.notes)
            T_cam_poses = self.transforms.lookup(camera.frame_id, header)
        with self.monitor.measured("grasps"):
            plan = model.stage.plan(frame, moved(poses, T_cam_poses))
        grasps = in_frame(plan.grasps, inverse(T_cam_poses))
        with self.monitor.measured("publish"):
            self.results.outputs.publish(header, grasps, model.version)
        reason = Reason.OK if grasps else Reason.NO_GRASP
        return Outcome(reason, plan.reason, found=len(poses), reported=len(grasps), version=model.version)

    def publish_empty(self, header: Header, outcome: Outcome) -> None:
        """Publish no grasps."""
        self.results.outputs.publish(header, (), "")


def main() -> None:
    """Run the node."""
    prepare_process()
    run_node(GraspPublisherNode)


if __name__ == "__main__":
    main()
