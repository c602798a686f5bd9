"""Samples that a calibration is fitted on: what the stages find, and what they should never find.

A calibration is used on cameras, materials and parts that no simulation has covered. Hypotheses of the trained stages
alone show neither wrong kinds nor grossly wrong poses, and their parts equal their CAD files. So three kinds of samples
are added: parts whose CAD file is a few percent off, detections of the wrong class, and poses far from the truth.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from binpose_core.evaluation.matching import EvaluationConfig, GroundTruth, is_right, view_truths
from binpose_core.evaluation.pose_errors import PartErrors
from binpose_core.frames.labels import lies_on, pixels_under
from binpose_core.frames.prepared_frame import PreparedFrame, prepared
from binpose_core.frames.types import UNKNOWN, Candidate, Detection, Hypothesis, LabelledView, PoseEstimate
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
CONFUSED_FRACTION, GROSS_FRACTION = 0.3, 0.3
"""Of the detections, those that are also tried as another part, and those that also get a grossly wrong pose."""
ADDED_WEIGHT = 0.5
"""Of samples that the stages would not have made."""


@dataclass(frozen=True)
class LabelledCandidates:
    """Verified hypotheses of many frames.

    features: (N, F) in the order of FEATURES. correct: (N,) whether the pose is right. weight: (N,) above 0.
    part: (N,) index of the object among the model's.
    frame: (N,) the view each comes from. sensor: (N,) name of the depth sensor that made the view.
    """

    features: FloatArray
    correct: npt.NDArray[np.bool_]
    weight: FloatArray
    part: npt.NDArray[np.int64]
    frame: npt.NDArray[np.int64]
    sensor: npt.NDArray[np.str_]


def _misfit(refiner: IcpRefiner, objects: Mapping[str, ObjectModel], rng: np.random.Generator) -> IcpRefiner:
    """The same refiner of parts that are a little off their CAD files."""
    return IcpRefiner(off_their_cad(objects, rng), refiner.config, network=refiner.network)


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
        views: that the networks have not seen.
        seed: of the samples that are added.
    """
    errors = {name: PartErrors(model) for name, model in objects.items()}
    rng = np.random.default_rng(seed)
    rows: list[tuple[FloatArray, bool, float, int, int, str]] = []
    places = {name: place for place, name in enumerate(objects)}
    for number, view in enumerate(views):
        sensor, truths = view.sensor, view_truths(view)
        misfit = number % MISFIT_EVERY == MISFIT_EVERY - 1
        verifier = _misfit(refiner, objects, rng) if misfit else refiner
        frame = prepared(view.frame)
        detections = segmenter(frame)
        poses = estimator(frame, detections)
        natural = verifier.candidates(view.frame, detections, poses)
        added = _confused(rng, estimator, verifier, frame, detections)
        added += _gross(rng, verifier, objects, view, detections, natural)
        for candidates, weight in ((natural, 1.0), (added, ADDED_WEIGHT)):
            for c in (c for c in candidates if explains_mask(c.features[None])[0]):
                right = label_of(c.object_id, c.T_cam_obj, view, truths, errors)
                sure = weight_under(c.T_cam_obj, errors[c.object_id].points, view)
                if right is not None and sure > 0:
                    rows.append((c.features, right, weight * sure, places[c.object_id], number, sensor))
    features, correct, weights, part, frames, sensors = zip(*rows, strict=True) if rows else ((),) * 6
    return LabelledCandidates(
        features=np.array(features),
        correct=np.array(correct, bool),
        weight=np.array(weights),
        part=np.array(part, np.int64),
        frame=np.array(frames, np.int64),
        sensor=np.array(sensors),
    )


def label_of(
    object_id: str,
    T_cam_obj: FloatArray,
    view: LabelledView,
    truths: Sequence[GroundTruth],
    errors: Mapping[str, PartErrors],
) -> bool | None:
    """Whether a pose is right, by the `view_truths` of a view.

    None where the part in that pose is hidden: a pose that is right by chance says nothing about what evidence means.
    None too where the part would be visible on pixels whose labels are not known.
    """
    right = is_right(object_id, T_cam_obj, truths, errors)
    if right is not False:
        return right
    unknown, points = may_show(view, object_id), errors[object_id].points
    least = EvaluationConfig.min_visible_fraction
    return None if lies_on(unknown, T_cam_obj, points, view.frame.camera, least) else False


def may_show(view: LabelledView, object_id: str) -> npt.NDArray[np.bool_]:
    """(H, W) pixels that may show a part of this kind of which the pose is not known."""
    same = np.array([name == object_id for name in view.object_ids], bool)
    return (view.known_ids == UNKNOWN) | np.isin(view.instance_ids, np.flatnonzero(same & ~view.pose_known))


def weight_under(T_cam_obj: FloatArray, points: FloatArray, view: LabelledView) -> float:
    """The weight of the part that a pose lies on by most of the part's surface samples (N, 3); 1 where there is none.

    Right and wrong poses on one part weigh the same, else the probability of being right would change.
    """
    ids = pixels_under(view.instance_ids, T_cam_obj, points, view.frame.camera)
    count = np.bincount(ids[ids >= 0].astype(np.int64), minlength=1)
    return float(view.known_weight[count.argmax()]) if count.any() else 1.0


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
    frame: PreparedFrame,
    detections: Sequence[Detection],
) -> list[Candidate]:
    """Some detections as a part of another kind, drawn at random, without their own class as a rival."""
    names = estimator.config.objects
    if len(names) < 2:
        return []
    chosen = [
        replace(d, object_id=str(rng.choice([name for name in names if name != d.object_id])), alternatives=())
        for d in detections
        if rng.random() < CONFUSED_FRACTION
    ]
    return refiner.candidates(frame.frame, chosen, estimator(frame, chosen)) if chosen else []


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
        if rng.random() < GROSS_FRACTION:
            name, T = candidate.object_id, candidate.T_cam_obj
            moved, start = Hypothesis(name, _displaced(rng, T, objects[name]), 1.0), Hypothesis(name, T, 1.0)
            rivals = (moved,) if rng.random() < 0.5 else (start, moved)
            index = candidate.detection_index
            chosen.append(PoseEstimate(name, T, 1.0, detection_index=index, hypotheses=rivals))
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
