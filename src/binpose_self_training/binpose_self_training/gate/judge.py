"""Measures the reported poses of any model in the same way, with nothing that the model itself says about them.

The measure is that of the champion: its renderer, its verification and its calibration. The poses are measured where
they were reported, without alignment. The mask of a pose is what the depth confirms of it, so that no detector
influences the result. Poses of the other model in the same place compete, so that a similar part is compared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from binpose_core.base.settings import FRACTION, check_bounds, setting
from binpose_core.frames.filters import PoseFilter
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Candidate, Detection, Hypothesis, PoseEstimate
from binpose_core.geometry.transforms import FloatArray
from binpose_core.parts.objects import ObjectModel
from binpose_pipeline.scene.config import ViewFusionConfig
from binpose_pipeline.scene.view_agreement import ViewMeasurer
from binpose_refinement.calibration import Calibration
from binpose_refinement.config import RefinerConfig
from binpose_refinement.consistency import ConsistencyConfig, depth_agreement
from binpose_refinement.explained import explained_pixels
from binpose_refinement.hypothesis_batch import HypothesisBatch, PartRenderer
from binpose_refinement.refiner import IcpRefiner
from binpose_refinement.verification import FEATURES

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class JudgeConfig:
    """When a reported pose counts as verified.

    least_probability: of the champion's calibration.
    least_px: pixels of the frame that the depth must confirm.
    shared: fraction of the smaller of two poses' confirmed pixels from which they stand in the same place.
    """

    least_probability: float = setting(PoseFilter.threshold, bounds=FRACTION)
    least_px: int = setting(30, bounds=(1, 100_000))
    shared: float = setting(0.5, bounds=FRACTION)

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True, eq=False)
class JudgedPose:
    """A reported pose as measured by the judge.

    claimed: the score that its model gave it, used only to rank poses of one model in one place.
    probability: of the champion's calibration; 0 without enough confirmed pixels.
    agreement: fraction of its visible surface that agrees with the depth; NaN where it has no depth.
    confirmed: (H, W) pixels where the depth agrees with it.
    verified: whether it counts.
    """

    pose: PoseEstimate
    claimed: float
    probability: float
    agreement: float
    confirmed: Mask
    verified: bool


class Judge:
    """Judges poses with the renderer, verification and calibration of one fixed model.

    Args:
        objects: the parts of both models by id.
        refiner_config: of the champion's refiner.
        calibration: of the champion; without one, the heuristic score takes its place.
        config: when a pose counts.
    """

    def __init__(
        self,
        objects: Mapping[str, ObjectModel],
        refiner_config: RefinerConfig | None = None,
        calibration: Calibration | None = None,
        config: JudgeConfig | None = None,
    ) -> None:
        self.config = config or JudgeConfig()
        settings = replace(refiner_config or RefinerConfig(), method="icp", min_score=0.0)
        self._refiner = IcpRefiner(objects, settings, calibration)
        self._explained_m = settings.explained_m
        self._renderer = PartRenderer(objects, (settings.verify_faces,))
        self._agrees = ConsistencyConfig().least
        self._objects = objects

    @cached_property
    def view_measurer(self) -> ViewMeasurer:
        """Predicts what other views show of a pose; made when it is first used."""
        return ViewMeasurer(self._objects, self._refiner, ViewFusionConfig())

    def __call__(
        self, frame: RgbdFrame, one: Sequence[PoseEstimate], other: Sequence[PoseEstimate]
    ) -> tuple[list[JudgedPose], list[JudgedPose]]:
        """The poses that two models report on a frame, measured; those in the same place compete.

        Args:
            frame: with depth.
            one: poses of the first model.
            other: poses of the second model.

        Returns:
            For each model, its poses of known parts that can be rendered, in their order.
        """
        first, second = (self._drawable(frame, poses) for poses in (one, other))
        masks, other_masks = self._confirmed(frame, first), self._confirmed(frame, second)
        return (
            self._judged(frame, first, masks, second, other_masks),
            self._judged(frame, second, other_masks, first, masks),
        )

    def _judged(
        self,
        frame: RgbdFrame,
        poses: Sequence[PoseEstimate],
        masks: Sequence[Mask],
        rivals: Sequence[PoseEstimate],
        rival_masks: Sequence[Mask],
    ) -> list[JudgedPose]:
        agreement = depth_agreement(frame, poses, self._renderer)
        kept = [i for i, mask in enumerate(masks) if np.count_nonzero(mask) >= self.config.least_px]
        pairs = list(zip(rivals, rival_masks, strict=True))
        near = [[rival for rival, mask in pairs if self.same_place(masks[i], mask)] for i in kept]
        probability = np.zeros(len(poses))
        probability[kept] = self._probabilities(frame, [poses[i] for i in kept], [masks[i] for i in kept], near)
        judged = zip(poses, probability.tolist(), agreement.tolist(), masks, strict=True)
        return [JudgedPose(pose, pose.score, p, a, mask, self._counts(p, a)) for pose, p, a, mask in judged]

    def explained(self, frame: RgbdFrame, judged: Sequence[JudgedPose]) -> Mask:
        """(H, W) pixels that the verified poses explain."""
        return explained_pixels(
            frame, [one.pose for one in judged if one.verified], self._renderer, 0, self._explained_m
        )

    def same_place(self, one: Mask, other: Mask) -> bool:
        """Whether two sets of confirmed pixels belong to one place."""
        smaller = min(int(np.count_nonzero(one)), int(np.count_nonzero(other)))
        return smaller > 0 and int(np.count_nonzero(one & other)) > self.config.shared * smaller

    def _counts(self, probability: float, agreement: float) -> bool:
        return probability >= self.config.least_probability and agreement >= self._agrees

    def _confirmed(self, frame: RgbdFrame, poses: Sequence[PoseEstimate]) -> list[Mask]:
        """(H, W) of each pose alone, the measured pixels on which it is drawn and the depth agrees."""
        if frame.depth_m is None:
            return [np.zeros((frame.camera.height, frame.camera.width), np.bool_) for _ in poses]
        measured = frame.depth_m > 0
        return [measured & explained_pixels(frame, [pose], self._renderer, 0, self._explained_m) for pose in poses]

    def _drawable(self, frame: RgbdFrame, poses: Sequence[PoseEstimate]) -> list[PoseEstimate]:
        """The poses of known parts that can be rendered."""
        known = [pose for pose in poses if pose.object_id in self._renderer.ids]
        T_cam_obj = np.array([pose.T_cam_obj for pose in known], np.float64).reshape(-1, 4, 4)
        part = np.array([self._renderer.ids.index(pose.object_id) for pose in known], np.int64)
        batch = HypothesisBatch(np.arange(len(known)), part, T_cam_obj, np.zeros(len(known)))
        unusable = self._renderer.unusable(batch, frame.camera)
        return [pose for pose, reason in zip(known, unusable, strict=True) if not reason]

    def _probabilities(
        self,
        frame: RgbdFrame,
        poses: Sequence[PoseEstimate],
        masks: Sequence[Mask],
        rivals: Sequence[Sequence[PoseEstimate]],
    ) -> FloatArray:
        """(N,) of each pose; its rivals are further hypotheses for the same pixels."""
        detections = [Detection.from_mask(p.object_id, 1.0, mask) for p, mask in zip(poses, masks, strict=True)]
        given = [
            replace(pose, detection_index=i, hypotheses=tuple(_hypothesis(one) for one in (pose, *others)))
            for i, (pose, others) in enumerate(zip(poses, rivals, strict=True))
        ]
        candidates = self._refiner.candidates(frame, detections, given, refine=False)
        probability, scores = np.zeros(len(poses)), self._scores(candidates)
        for candidate, score in zip(candidates, scores.tolist(), strict=True):
            own = poses[candidate.detection_index]
            if candidate.object_id == own.object_id and np.array_equal(candidate.T_cam_obj, own.T_cam_obj):
                probability[candidate.detection_index] = score
        return probability

    def _scores(self, candidates: Sequence[Candidate]) -> FloatArray:
        if not candidates:
            return np.zeros(0)
        features = np.stack([candidate.features for candidate in candidates])
        features[:, FEATURES.index("company")] = 0.0  # the classes of the model's other poses support each other
        return self._refiner.probability([candidate.object_id for candidate in candidates], features)


def _hypothesis(pose: PoseEstimate) -> Hypothesis:
    return Hypothesis(pose.object_id, pose.T_cam_obj, 1.0)
