"""Estimates the parts of one resting bin from several views: each alone, then all together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.base.stopwatch import measured
from binpose_core.frames.camera_view import CameraView
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection, PoseEstimate
from binpose_core.geometry.transforms import FloatArray
from binpose_core.parts.objects import ObjectModel
from binpose_core.stages import SceneRefiner
from binpose_pipeline.pipeline import Pipeline, TimedResult
from binpose_pipeline.scene.camera_residuals import (
    CameraResidualConfig,
    CameraResiduals,
    PairResidual,
    camera_residuals,
    no_residuals,
)
from binpose_pipeline.scene.config import ViewFusionConfig
from binpose_pipeline.scene.left_out_views import alone_in_world, with_left_out
from binpose_pipeline.scene.unexplained import unexplained_fraction
from binpose_pipeline.scene.view_agreement import ViewMeasurer
from binpose_pipeline.scene.view_check import (
    ViewCheckConfig,
    agreeing_views,
    check_pairs,
    contradiction_sentence,
    contradictions,
    missing_parts,
    residual_sentence,
    silence_sentence,
)
from binpose_pipeline.scene.view_fusion import ScenePose, ViewFusion
from binpose_refinement.config import RefinerConfig
from binpose_refinement.consistency import with_depth_agreement
from binpose_refinement.hypothesis_batch import PartRenderer

FUSION = "fusion"
"""Name under which the time of the fusion is reported."""
LEAST_INSIDE = 0.02
"""Fraction of the silhouette inside the image from which a camera's list holds a part."""


@dataclass(frozen=True)
class SceneEstimatorConfig:
    """All settings of the estimation from several views."""

    fusion: ViewFusionConfig = field(default_factory=ViewFusionConfig)
    cameras: CameraResidualConfig = field(default_factory=CameraResidualConfig)
    check: ViewCheckConfig = field(default_factory=ViewCheckConfig)


@dataclass(frozen=True, eq=False)
class SceneResult:
    """The parts of a bin from V views.

    poses: in the world, best score first; empty where fewer than two views are used together.
    in_cameras: (V) lists of poses in each camera; those of the view alone where it is not used with others.
    T_world_cam: (V) camera poses, corrected where the parts show an error.
    together: indices of the views that are used together.
    residuals: of the camera poses as given; pairs name views by their index in all views.
    notes: verdicts, one sentence each.
    results: of each view alone. fusion_s: seconds beyond them.
    unexplained: (V) fraction of each view's content that no pose in its list explains; NaN where unknown.
    """

    poses: tuple[ScenePose, ...]
    in_cameras: tuple[tuple[PoseEstimate, ...], ...]
    T_world_cam: tuple[FloatArray, ...]
    together: tuple[int, ...]
    residuals: CameraResiduals
    notes: tuple[str, ...]
    results: tuple[TimedResult, ...]
    fusion_s: float = 0.0
    unexplained: tuple[float, ...] = ()

    def seconds(self, view: int) -> dict[str, float]:
        """The time of each stage for a view, with its part of the fusion's."""
        alone = {FUSION: self.fusion_s / len(self.together)} if view in self.together else {}
        return {**self.results[view].seconds, **alone}


class SceneEstimator:
    """Estimates all views of a bin together.

    Args:
        objects: the parts by id, in the order of the refiner's.
        pipeline: estimates each view.
        config: settings.
    """

    def __init__(
        self, objects: Mapping[str, ObjectModel], pipeline: Pipeline, config: SceneEstimatorConfig | None = None
    ) -> None:
        self.config = config or SceneEstimatorConfig()
        self._objects, self._pipeline = objects, pipeline
        self._measurer = ViewMeasurer(objects, pipeline.refiner, self.config.fusion)
        self._fusion = ViewFusion(objects, self._measurer, self.config.fusion)
        self._part_renderer = PartRenderer(objects, (RefinerConfig.verify_faces,))

    def __call__(self, views: Sequence[CameraView]) -> SceneResult:
        """The parts of the bin.

        Raises:
            BinposeError: for no views, or when a frame lacks what a stage needs.
        """
        if not views:
            raise BinposeError("No view of a bin was given; expected at least one frame with its camera pose.")
        return self.join(views, [self._pipeline.timed(view.frame) for view in views])

    def join(self, views: Sequence[CameraView], results: Sequence[TimedResult]) -> SceneResult:
        """The parts of the bin from the results of each view alone."""
        times: dict[str, float] = {}
        with measured(FUSION, times.__setitem__):
            result = self._join(views, results)
            unexplained = tuple(self._unexplained(views[v].frame, result, v) for v in range(len(views)))
        return replace(result, fusion_s=times[FUSION], unexplained=unexplained)

    def in_world(self, views: Sequence[CameraView], result: SceneResult, first: int = 0) -> list[ScenePose]:
        """All poses in the world, best score first, also those of views that are used alone.

        The poses are those of the views that are used together, or of one view where there are none. A part of another
        view is added, unless these measure free space at its place, or hold another part there.

        Args:
            views: of the bin.
            result: of these views.
            first: the view that is relied on where none are used together.
        """
        moved = [replace(view, T_world_cam=T) for view, T in zip(views, result.T_world_cam, strict=True)]
        alone = [own.poses for own in result.results]
        relied_on = result.together or (first,)
        joint = result.poses if result.together else alone_in_world(moved[first], alone[first], first)
        return with_left_out(joint, moved, alone, relied_on, self._measurer, self._fusion.excludes, self.config.check)

    def _join(self, views: Sequence[CameraView], results: Sequence[TimedResult]) -> SceneResult:
        given = [view.T_world_cam for view in views]
        alone = tuple(tuple(result.poses) for result in results)
        nothing = no_residuals(len(views))
        if len(views) < 2:
            return SceneResult((), alone, tuple(given), (), nothing, (), tuple(results))
        together, residuals, T_world_cam, notes = self._aligned(views, results)
        if len(together) < 2:
            return SceneResult((), alone, tuple(given), (), residuals, tuple(notes), tuple(results))
        used = [replace(views[v], T_world_cam=T_world_cam[v]) for v in together]
        poses = self._fusion(used, [results[v] for v in together])
        poses = [_numbered(pose, together) for pose in poses]
        in_cameras = list(alone)
        for view in together:
            in_cameras[view] = self._in_camera(views[view], T_world_cam[view], poses)
        return SceneResult(
            tuple(poses), tuple(in_cameras), tuple(T_world_cam), together, residuals, tuple(notes), tuple(results)
        )

    def _aligned(
        self, views: Sequence[CameraView], results: Sequence[TimedResult]
    ) -> tuple[tuple[int, ...], CameraResiduals, list[FloatArray], list[str]]:
        """The views that agree, the errors of their cameras, all camera poses corrected, and the verdicts."""
        c, names = self.config, [view.name or f"{number + 1}" for number, view in enumerate(views)]
        every, poses = tuple(range(len(views))), [result.poses for result in results]
        residuals, T_world_cam = self._corrected(views, poses, every)
        checks = check_pairs(self._measurer, views, T_world_cam, poses, c.check)
        if residuals.shift_m.any() and missing_parts(checks):
            # Parts that match by chance make a wrong correction: it must explain the depth better than none.
            given = [view.T_world_cam for view in views]
            before = check_pairs(self._measurer, views, given, poses, c.check)
            if missing_parts(before) < missing_parts(checks):
                residuals, T_world_cam, checks = no_residuals(len(views)), given, before
        together, notes = agreeing_views(checks, len(views), c.check), []
        for view in (view for view in every if view not in together):
            bad = contradictions(checks, view, c.check)
            notes.append(contradiction_sentence(view, bad, names) if bad else silence_sentence(view, names))
        if 1 < len(together) < len(views):
            residuals, T_world_cam = self._corrected(views, poses, together)
        if len(together) > 1:
            notes.append(residual_sentence(residuals, names, c.check))
        return together, residuals, T_world_cam, notes

    def _corrected(
        self, views: Sequence[CameraView], poses: Sequence[Sequence[PoseEstimate]], chosen: Sequence[int]
    ) -> tuple[CameraResiduals, list[FloatArray]]:
        """The errors of the chosen views' cameras, and all camera poses with those corrected."""
        T_world_cam = [view.T_world_cam for view in views]
        own = camera_residuals(
            [T_world_cam[v] for v in chosen], [poses[v] for v in chosen], self._objects, self.config.cameras
        )
        motions, shift_m = np.stack([np.eye(4)] * len(views)), np.zeros(len(views))
        for place, view in enumerate(chosen):
            motions[view], shift_m[view] = own.motions[place], own.shift_m[place]
            T_world_cam[view] = own.motions[place] @ T_world_cam[view]
        pairs = tuple(
            PairResidual(chosen[p.first], chosen[p.second], p.parts, p.shift_m, p.before_m, p.after_m)
            for p in own.pairs
        )
        return CameraResiduals(motions, shift_m, pairs), T_world_cam

    def _in_camera(
        self, view: CameraView, T_world_cam: FloatArray, poses: Sequence[ScenePose]
    ) -> tuple[PoseEstimate, ...]:
        """The poses that lie in the view's image, also occluded ones, with the agreement of its depth."""
        found = [pose.in_camera(T_world_cam) for pose in poses]
        T_cam_obj = np.reshape([pose.T_cam_obj for pose in found], (-1, 4, 4))
        shown = self._measurer.predict(view.frame, [pose.object_id for pose in found], T_cam_obj)
        inside = [pose for pose, part in zip(found, shown, strict=True) if part.inside >= LEAST_INSIDE]
        return tuple(with_depth_agreement(view.frame, inside, self._part_renderer))

    def _unexplained(self, frame: RgbdFrame, result: SceneResult, view: int) -> float:
        """Of a view's content, the fraction that no pose in its list explains."""
        alone, refiner = result.results[view], self._pipeline.refiner
        if view not in result.together or not isinstance(refiner, SceneRefiner):
            return alone.unexplained
        explained = refiner.explained(frame, result.in_cameras[view])
        # Parts that only other views detect belong to the bin's content too.
        others = [Detection.from_mask("", 1.0, explained)] if explained.any() else []
        detections = [*alone.proposals.detections, *others]
        return unexplained_fraction(frame, explained, detections, self._pipeline.chosen.region)


def _numbered(pose: ScenePose, together: Sequence[int]) -> ScenePose:
    """The pose with the indices of all views in place of those used together."""
    return replace(pose, views=tuple(together[view] for view in pose.views))
