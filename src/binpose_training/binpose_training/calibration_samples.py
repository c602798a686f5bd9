"""Samples that a calibration is fitted on: what the stages find, and what they should never find.

A calibration is used on cameras, materials and parts that no simulation has covered. Hypotheses of the trained stages
alone show neither wrong kinds nor grossly wrong poses, and their parts equal their CAD files. So three kinds of samples
are added: parts whose CAD file is a few percent off, detections of the wrong class, and poses far from the truth.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from binpose_core.evaluation.matching import EvaluationConfig
from binpose_core.evaluation.pose_errors import PartErrors
from binpose_core.frames.types import Candidate, Detection, Hypothesis, LabelledView, PoseEstimate
from binpose_core.geometry.transforms import FloatArray, exp_so3, from_rotation_translation, transform
from binpose_core.meshes.mesh import Mesh
from binpose_core.parts.catalogue import ObjectModel
from binpose_core.stages import Segmenter
from binpose_estimator.estimator import PoseEstimator
from binpose_refinement.refiner import IcpRefiner
from binpose_refinement.verification import explains_mask

MISFIT_EVERY = 3
"""Every so many views are verified with parts that are a little off their CAD files."""
MISFIT_SCALE = 0.025
"""Standard deviation of their sides' relative error."""
LEAST_VISIBLE = 0.1
"""Share of a part that must be seen for its pose to count."""
CONFUSED_SHARE, GROSS_SHARE = 0.3, 0.3
"""Of the detections, those that are also tried as another part, and those that also get a grossly wrong pose."""
ADDED_WEIGHT = 0.5
"""Of samples that the stages would not have made."""


@dataclass(frozen=True)
class LabelledCandidates:
    """Verified hypotheses of many frames.

    features: (N, F) in the order of FEATURES. correct: (N,) whether the pose is right. weight: (N,) in the fit.
    frame: (N,) the view each comes from. sensor: (N,) name of the depth sensor that made the view.
    """

    features: FloatArray
    correct: npt.NDArray[np.bool_]
    weight: FloatArray
    frame: npt.NDArray[np.int64]
    sensor: npt.NDArray[np.str_]


def labelled_candidates(
    segmenter: Segmenter,
    estimator: PoseEstimator,
    refiner: IcpRefiner,
    objects: Mapping[str, ObjectModel],
    views: Iterable[LabelledView],
    seed: int = 0,
) -> LabelledCandidates:
    """The evidence for every hypothesis on labelled views, and whether its pose is right.

    Args:
        segmenter: of the model.
        estimator: of the model.
        refiner: whose evidence is to be calibrated.
        objects: the parts by id.
        views: with full labels, that the networks have not seen.
        seed: of the samples that are added.
    """
    errors = {name: PartErrors(model) for name, model in objects.items()}
    rng = np.random.default_rng(seed)
    rows: list[tuple[FloatArray, bool, float, int, str]] = []
    for number, view in enumerate(views):
        sensor = view.sensor
        misfit = number % MISFIT_EVERY == MISFIT_EVERY - 1
        verifier = IcpRefiner(off_their_cad(objects, rng), refiner.config) if misfit else refiner
        detections = segmenter(view.frame)
        poses = estimator(view.frame, detections)
        natural = verifier.candidates(view.frame, detections, poses)
        added = _confused(rng, estimator, verifier, view, detections)
        added += _gross(rng, verifier, objects, view, detections, natural)
        for candidates, weight in ((natural, 1.0), (added, ADDED_WEIGHT)):
            for c in (c for c in candidates if explains_mask(c.features[None])[0]):
                right = is_right(c.object_id, c.T_cam_obj, view, errors)
                if right is not None:
                    rows.append((c.features, right, weight, number, sensor))
    features, correct, weights, frames, sensors = zip(*rows, strict=True) if rows else ((), (), (), (), ())
    return LabelledCandidates(
        np.array(features), np.array(correct, bool), np.array(weights), np.array(frames, np.int64), np.array(sensors)
    )


def is_right(
    object_id: str, T_cam_obj: FloatArray, view: LabelledView, errors: Mapping[str, PartErrors]
) -> bool | None:
    """Whether a part of the view has this pose within the usual share of its diameter by ADD(-S).

    None where that part is hidden: a pose that is right by chance says nothing about what evidence means.
    """
    same = np.array([name == object_id for name in view.object_ids], bool)
    limit_m = EvaluationConfig.max_error * errors[object_id].diameter_m
    near = np.isfinite(errors[object_id].matrix("add_s", T_cam_obj[None], view.T_cam_obj[same], limit_m))[0]
    if not near.any():
        return False
    return True if view.visible_fraction[same][near].max() >= LEAST_VISIBLE else None


def off_their_cad(objects: Mapping[str, ObjectModel], rng: np.random.Generator) -> dict[str, ObjectModel]:
    """The parts with sides that are a few percent off: real parts are cast, bent and worn."""
    return {name: _scaled(part, 1.0 + MISFIT_SCALE * rng.standard_normal(3)) for name, part in objects.items()}


def _scaled(part: ObjectModel, factors: FloatArray) -> ObjectModel:
    def about_center(points: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return np.asarray((points - part.center_m) * factors + part.center_m, np.float32)

    def scaled(mesh: Mesh) -> Mesh:
        return replace(mesh, vertices=about_center(mesh.vertices))

    return replace(part, mesh=scaled(part.mesh), lods=tuple(map(scaled, part.lods)), points=about_center(part.points))


def _confused(
    rng: np.random.Generator,
    estimator: PoseEstimator,
    refiner: IcpRefiner,
    view: LabelledView,
    detections: Sequence[Detection],
) -> list[Candidate]:
    """Some detections as a part of another kind, drawn at random, without their own class as a rival."""
    names = estimator.config.objects
    if len(names) < 2:
        return []
    chosen = [
        replace(d, object_id=str(rng.choice([name for name in names if name != d.object_id])), alternatives=())
        for d in detections
        if rng.random() < CONFUSED_SHARE
    ]
    return refiner.candidates(view.frame, chosen, estimator(view.frame, chosen)) if chosen else []


def _gross(
    rng: np.random.Generator,
    refiner: IcpRefiner,
    objects: Mapping[str, ObjectModel],
    view: LabelledView,
    detections: Sequence[Detection],
    aligned: Sequence[Candidate],
) -> list[Candidate]:
    """Some aligned poses turned and shifted far away, measured where they are, half of them without a rival."""
    chosen = []
    for candidate in aligned:
        if rng.random() < GROSS_SHARE:
            name, T = candidate.object_id, candidate.T_cam_obj
            moved, start = Hypothesis(name, _displaced(rng, T, objects[name]), 1.0), Hypothesis(name, T, 1.0)
            rivals = (moved,) if rng.random() < 0.5 else (start, moved)
            chosen.append(PoseEstimate(name, T, 1.0, detection=detections[candidate.detection], hypotheses=rivals))
    return refiner.candidates(view.frame, detections, chosen, refine=False) if chosen else []


def _displaced(rng: np.random.Generator, T_cam_obj: FloatArray, part: ObjectModel) -> FloatArray:
    """The pose after a turn about the part's middle by up to half a turn and a shift of up to half a diameter."""
    turn = exp_so3(rng.standard_normal(3) * rng.uniform(0.2, 1.5))
    center_cam = transform(T_cam_obj, part.center_m[None])[0]
    shifted = center_cam + part.diameter_m * rng.uniform(0.1, 0.5) * _unit(rng)
    R = turn @ T_cam_obj[:3, :3]
    return from_rotation_translation(R, shifted - R @ part.center_m)


def _unit(rng: np.random.Generator) -> FloatArray:
    direction = rng.standard_normal(3)
    return np.asarray(direction / np.linalg.norm(direction))
