"""What a teacher makes of the views of one resting bin: poses of all views together, with the evidence for each pose.

A part that one view shows clearly is known in the others too, where it is hard to find: labels that a single view
cannot give.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from binpose_core.frames.camera_view import CameraView
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection, PoseEstimate
from binpose_core.geometry.transforms import FloatArray, inverse
from binpose_pipeline.bundle import PipelineBundle
from binpose_pipeline.pipeline import TimedResult
from binpose_pipeline.scene.scene_estimator import SceneEstimator, SceneResult
from binpose_self_training.selection.evidence import EvidenceMeter, LabelEvidence
from binpose_self_training.selection.image_distance import PerceptualFeatures
from binpose_self_training.selection.repeated_views import Repetition, TestTimeView
from binpose_self_training.selection.selector import SelectionConfig

VIEWS = (TestTimeView(2), TestTimeView(1, gamma=0.7), TestTimeView(3, gamma=1.4))
LEAST_SCORE = 0.02
"""Poses below are not considered at all."""
AGAIN = 0.7
"""Fraction of the least score of a label with which a pose in a turned copy counts as found again."""


@dataclass(frozen=True, eq=False)
class TaughtFrame:
    """What a teacher makes of a frame.

    detections: of all looks. poses: of all views of the bin together, best first. evidence: for each of them.
    unexplained: fraction of the bin's content that no pose explains.
    alone: poses that this frame shows without other views, best first.
    """

    detections: list[Detection]
    poses: list[PoseEstimate]
    evidence: list[LabelEvidence]
    unexplained: float
    alone: Sequence[PoseEstimate] = ()


@dataclass(frozen=True, eq=False)
class Look:
    """A frame alone: its result, the poses that are considered, and how often each of them was found again (B,)."""

    result: TimedResult
    poses: list[PoseEstimate]
    returned: FloatArray


class BinTeacher:
    """Estimates the views of one bin and measures the evidence for each pose.

    Args:
        bundle: the model.
        config: which evidence is measured, and how.
        features: for d_image.
    """

    def __init__(self, bundle: PipelineBundle, config: SelectionConfig, features: PerceptualFeatures) -> None:
        self._pipeline, self._config = bundle.pipeline, config
        self._turned = VIEWS[: config.test_time_views] if config.certificate else ()
        self._meter = EvidenceMeter(bundle.objects, features, config.visible, config.occlusion_aware)
        self._repetition = Repetition(bundle.objects)
        self._scenes = SceneEstimator(bundle.objects, bundle.pipeline)

    def __call__(self, frames: Sequence[RgbdFrame], T_world_cam: Sequence[FloatArray | None]) -> list[TaughtFrame]:
        """What the teacher makes of each frame.

        Args:
            frames: the views of one bin, or one frame.
            T_world_cam: (4, 4) of each camera, in metres; may be None for a single frame.
        """
        looks = [self._look(frame) for frame in frames]
        joined, unexplained = self._joined(frames, T_world_cam, looks)
        taught = []
        for frame, look, (poses, returned), rest in zip(frames, looks, joined, unexplained, strict=True):
            measured = self._meter(frame, look.result.detections, poses)
            evidence = [replace(entry, returned=float(v)) for entry, v in zip(measured, returned, strict=True)]
            taught.append(TaughtFrame(look.result.detections, poses, evidence, rest, look.poses))
        return taught

    def _look(self, frame: RgbdFrame) -> Look:
        result = self._pipeline.timed(frame)
        poses = [pose for pose in result.poses if pose.score >= LEAST_SCORE]
        return Look(result, poses, self._repetition.returned(frame, poses, self._turned, self._reported))

    def _reported(self, frame: RgbdFrame) -> list[PoseEstimate]:
        return [pose for pose in self._pipeline(frame) if pose.score >= AGAIN * self._config.score]

    def _joined(
        self, frames: Sequence[RgbdFrame], T_world_cam: Sequence[FloatArray | None], looks: Sequence[Look]
    ) -> tuple[list[tuple[list[PoseEstimate], FloatArray]], Sequence[float]]:
        """For each frame the poses with how often they were found again, and the fraction that they do not explain."""
        alone = [(look.poses, look.returned) for look in looks]
        cameras = [pose for pose in T_world_cam if pose is not None]
        if len(frames) < 2 or len(cameras) < len(frames):
            return alone, [look.result.unexplained for look in looks]
        views = [CameraView(frame, pose) for frame, pose in zip(frames, cameras, strict=True)]
        scene = self._scenes.join(views, [look.result for look in looks])
        together = [self._together(scene, v, looks) if v in scene.together else alone[v] for v in range(len(views))]
        return together, scene.unexplained

    def _together(self, scene: SceneResult, view: int, looks: Sequence[Look]) -> tuple[list[PoseEstimate], FloatArray]:
        """The joint poses in a view; each was found again as often as in the view that finds it best."""
        poses = [pose for pose in scene.in_cameras[view] if pose.score >= LEAST_SCORE]
        returned = np.full(len(poses), 0.0 if self._turned else np.nan)
        for other in scene.together:
            T_other_cam = inverse(scene.T_world_cam[other]) @ scene.T_world_cam[view]
            for index, pose in enumerate(poses):
                twin = self._repetition.find(looks[other].poses, pose.object_id, T_other_cam @ pose.T_cam_obj)
                if twin is None:
                    continue
                returned[index] = np.fmax(returned[index], looks[other].returned[twin])
                if other == view:
                    poses[index] = replace(pose, detection_index=looks[view].poses[twin].detection_index)
        return poses, returned
