"""The node `bin_picking`: all stages in one process, which pass frames in memory.

It publishes what the nodes `detection`, `pose_estimator` and `refinement` publish, on the same topics.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.evaluation.golden import GoldenFrame
from binpose_core.frames.camera_view import CameraView
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import FloatArray
from binpose_core.learning.model_store import StoredModel
from binpose_core.parts.objects import ObjectModel
from binpose_detection.backends import stored_segmenter
from binpose_detection.node import DetectionOutputs, why_nothing
from binpose_estimator.estimator import PoseEstimator
from binpose_estimator.node import PoseOutputs, PoseSettings
from binpose_pipeline.candidate import golden_score
from binpose_pipeline.kernels import compile_kernels
from binpose_pipeline.pipeline import Pipeline, TimedResult
from binpose_pipeline.scene.left_out_views import alone_in_world
from binpose_pipeline.scene.scene_estimator import SceneEstimator
from binpose_pipeline.scene.second_look import LookConfig
from binpose_refinement.node import (
    RefinementOutputs,
    RefinementSettings,
    other_refiner,
    refiner_parameters,
    result_frame_problem,
    why_unreported,
)
from binpose_refinement.stored_refiner import stored_refiner
from binpose_ros.challenge_adapter import ChallengeService, ChallengeSettings, names_of
from binpose_ros.estimate_action import EstimateAction, FrameResult
from binpose_ros.frame_worker import FrameWorker
from binpose_ros.inputs import COLOR, DEPTH, INFO, Match
from binpose_ros.lifecycle import ManagedNode
from binpose_ros.model_holder import ModelHolder
from binpose_ros.model_leader import ModelLeader
from binpose_ros.monitor import Monitor
from binpose_ros.node_checks import frame_id_problem
from binpose_ros.node_diagnostics import stage_diagnostics
from binpose_ros.outcome import Outcome
from binpose_ros.parameters import Parameters
from binpose_ros.results import Results
from binpose_ros.running import prepare_process, run_node
from binpose_ros.settings import DetectionChoice
from binpose_ros.several_views import JoinedViews, TakenView, ViewsSettings
from binpose_ros.stage_model import StageModel
from binpose_ros.stamps import Header
from binpose_ros.transforms import Transforms

INPUTS = (replace(COLOR, role="reference"), DEPTH, INFO)
PREFIXES = DETECTION, POSE, REFINEMENT = "detection/", "pose_estimator/", "refinement/"


@dataclass(frozen=True)
class PipelineSettings(DetectionChoice, PoseSettings, RefinementSettings):
    """Parameters of the node.

    look: see `LookConfig`.
    views: see `ViewsSettings`.
    challenge: see `ChallengeSettings`.
    """

    look: LookConfig = field(default_factory=LookConfig, metadata={"live": True})
    views: ViewsSettings = field(default_factory=ViewsSettings, metadata={"live": True})
    challenge: ChallengeSettings = field(default_factory=ChallengeSettings)


def build(stored: StoredModel, objects: Mapping[str, ObjectModel], settings: Any) -> Pipeline:
    """All stages of one model."""
    return Pipeline(
        stored_segmenter(stored, settings.device),
        PoseEstimator.from_stored(stored, objects, settings.device, settings.engine),
        stored_refiner(stored, objects, settings.refiner.named, settings.device),
    )


def warm_up(pipeline: Pipeline, objects: Mapping[str, ObjectModel], frame: RgbdFrame) -> None:
    """Run all stages, each once with the truth of a drawing as well."""
    compile_kernels(pipeline, objects)
    pipeline(frame)


def score(
    pipeline: Pipeline, objects: Mapping[str, ObjectModel], frames: Sequence[GoldenFrame], settings: PipelineSettings
) -> float | None:
    """The fraction of visible parts whose pose is reported right."""
    return golden_score(pipeline, objects, frames, settings)


def check(settings: PipelineSettings, objects: Mapping[str, ObjectModel]) -> None:
    """The parts that are to be reported, or have a number in the challenge, must be known."""
    settings.check_objects(objects)
    if settings.challenge.object_ids:
        names_of(objects, settings.challenge.object_ids)


def parameters_in_use(pipeline: Pipeline) -> Mapping[str, Any]:
    """The refiner's settings."""
    return refiner_parameters(pipeline.refiner)  # type: ignore[arg-type]  # built by `build`


def join_views(
    model: Any, frames: Sequence[RgbdFrame], T_world_cam: Sequence[FloatArray]
) -> tuple[list[PoseEstimate], Sequence[str]]:
    """The poses of several cameras' frames in the world, and what is to be logged about the cameras.

    Raises:
        BinposeError: when no frame can be used.
    """
    views: list[CameraView] = []
    results: list[TimedResult] = []
    problems: list[BinposeError] = []
    for frame, T in zip(frames, T_world_cam, strict=True):
        try:
            view = CameraView(frame, T)
            results.append(model.stage.timed(frame))
            views.append(view)
        except BinposeError as error:
            problems.append(error)
    if not views and problems:
        raise problems[0]
    estimator = SceneEstimator(model.objects, model.stage)
    result = estimator.join(views, results)
    poses = [pose.in_camera(np.eye(4)) for pose in estimator.in_world(views, result)]
    return poses, (*map(str, problems), *result.notes)


def join_taken(model: Any, taken: Sequence[TakenView]) -> JoinedViews:
    """What the views of a goal give together; where all contradict each other, the poses of the newest one."""
    views = [CameraView(view.frame, view.T_world_cam) for view in taken]
    result = SceneEstimator(model.objects, model.stage).join(views, [view.result for view in taken])
    newest = alone_in_world(views[-1], result.in_cameras[-1], len(views) - 1)
    seen = {view for pair in result.residuals.pairs for view in (pair.first, pair.second)}
    return JoinedViews(
        [pose.in_camera(np.eye(4)) for pose in (result.poses if result.together else newest)],
        result.T_world_cam,
        [float(shift) if v in seen else float("nan") for v, shift in enumerate(result.residuals.shift_m)],
        [v in result.together for v in range(len(views))],
        result.notes,
    )


class PipelineOutputs:
    """The topics of all stages."""

    def __init__(self, node: Any) -> None:
        self.detections = DetectionOutputs(node, DETECTION)
        self.poses = PoseOutputs(node, POSE)
        self.refined = RefinementOutputs(node, REFINEMENT)


class PipelineNode(ManagedNode):
    """Publishes the results of all stages of each frame."""

    def __init__(self, **options: Any) -> None:
        super().__init__("bin_picking", **options)
        self.monitor, self.transforms = Monitor(), Transforms(self)
        self.parameters = Parameters(self, PipelineSettings())
        self.models = ModelHolder(self, StageModel(build, warm_up, score, check, other_refiner, parameters_in_use))
        self.model_source = ModelLeader(self, self.models)
        self.results = Results(self, lambda: PipelineOutputs(self), PREFIXES)
        self.frames = FrameWorker(
            self, INPUTS, self.models, self.results, self.process, self.publish_empty, self.check_frame_id
        )
        self.diagnostics = stage_diagnostics(self)
        self.action = EstimateAction(self, self.join_taken)
        self.challenge = ChallengeService(self, join_views)
        self.parts = (self.model_source, self.results, self.frames)

    def check_frame_id(self, frame_id: str) -> str:
        """Also whether the parts' transforms would form a loop."""
        return frame_id_problem(frame_id) or result_frame_problem(frame_id, self.models.find().objects, self.settings)

    def join_taken(self, taken: Sequence[TakenView]) -> JoinedViews:
        """The views of a goal, joined with the model that their poses are of."""
        with self.monitor.measured("views"):
            return join_taken(self.models.find(taken[0].version), taken)

    def process(self, match: Match) -> Outcome:
        """Detect, estimate, refine."""
        model, frame, settings = self.models.find(), self.frames.read(match), self.settings
        outputs = self.results.outputs
        pipeline = replace(model.stage, chosen=settings.chosen, look=settings.look)
        result = pipeline.timed(frame, report=self.monitor.add)
        self.monitor.unexplained = result.unexplained
        verified, (found, detections, estimates) = result.poses, result.proposals

        def empty() -> Outcome:
            if detections:
                return why_unreported(frame, detections, verified, model.objects, settings)
            return why_nothing(frame, found, model.objects, settings)

        with self.monitor.measured("publish"):
            published = outputs.refined.publish(frame, verified, model, settings, empty)
            outputs.detections.publish(frame, detections, model.version)
            outputs.poses.publish(frame, estimates, model.objects, model.version)
        self.action.put(replace(published, frame=frame, result=result))
        return published.outcome

    def publish_empty(self, header: Header, outcome: Outcome) -> None:
        """Publish empty results of all stages."""
        outputs = self.results.outputs
        for stage in (outputs.refined, outputs.detections, outputs.poses):
            stage.publish_empty(header)
        self.action.put(FrameResult(header, outcome))


def main() -> None:
    """Run the node."""
    prepare_process()
    run_node(PipelineNode)


if __name__ == "__main__":
    main()
