"""The refiner: hypotheses in, verified and consistent poses out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from binpose_core.catalogue import ObjectModel
from binpose_core.errors import BinposeError
from binpose_core.frames import RgbdFrame
from binpose_core.geometry import FloatArray
from binpose_core.types import Detection, Hypothesis, PoseEstimate
from binpose_refinement.batch import Batch, Workshop
from binpose_refinement.calibration import Calibration
from binpose_refinement.config import Method, RefinerConfig
from binpose_refinement.covariance import covariance_of
from binpose_refinement.icp import Alignment, Schedule, align
from binpose_refinement.improvement import Improvement, Mover
from binpose_refinement.methods import make_mover
from binpose_refinement.observation import Observation, observe
from binpose_refinement.suppression import Claims, Crowding, PoseComparer
from binpose_refinement.verification import FEATURES, Evidence, handmade_score, measure, supported, tolerance_of

if TYPE_CHECKING:
    from binpose_refinement.network import RefinementNetwork

COARSE, POLISH, VERIFY = 0, 1, 2
FEWEST_MASK_PX = 4  # masks with fewer pixels tell no pose


class Candidate(NamedTuple):
    """A verified hypothesis, for fitting a calibration: features (F,) in the order of FEATURES."""

    object_id: str
    T_cam_obj: FloatArray
    features: FloatArray
    detection: int


@dataclass(frozen=True, eq=False)
class Verified:
    """Polished hypotheses: features (B, F), score (B,), and the information (B, 6, 6) about their poses."""

    batch: Batch
    features: FloatArray
    score: FloatArray
    evidence: Evidence
    information: FloatArray


class IcpRefiner:
    """Expands, aligns, verifies and reconciles the pose hypotheses of a frame.

    Args:
        objects: the parts by id, in the order of the model bundle.
        config: all settings; its `method` says what follows ICP.
        calibration: turns the evidence into probabilities.
        mover: follows ICP instead of what the config names.

    Raises:
        BinposeError: for no objects, for a calibration of others, and for a method that needs more than a name.
    """

    def __init__(
        self,
        objects: Mapping[str, ObjectModel],
        config: RefinerConfig | None = None,
        calibration: Calibration | None = None,
        mover: Mover | None = None,
    ) -> None:
        if not objects:
            raise BinposeError(
                "IcpRefiner got no objects; expected at least one ObjectModel: add one with `binpose add`."
            )
        self.config = config or RefinerConfig()
        self.calibration = calibration
        c = self.config
        self._workshop = Workshop(objects, (c.coarse_faces, c.polish_faces, c.verify_faces))
        self._index = {name: i for i, name in enumerate(objects)}
        self._sorted = np.argsort(np.argsort(list(objects)))  # place of each object among the sorted names
        if calibration is not None and calibration.parts != len(objects):
            raise BinposeError(
                f"A calibration for {calibration.parts} objects and {len(objects)} objects; expected those that it was "
                "fitted with; use the objects of the model bundle."
            )
        self._comparer, self._crowding = PoseComparer(objects), Crowding(objects)
        self.mover = mover if mover is not None else make_mover(c.method, self._workshop)

    def __call__(
        self, frame: RgbdFrame, detections: Sequence[Detection], poses: Sequence[PoseEstimate]
    ) -> list[PoseEstimate]:
        """Verified poses, best first, without duplicates.

        Args:
            frame: what the camera saw.
            detections: of that frame.
            poses: estimates with their `hypotheses` and the `detection` (one of `detections`) they came from.

        Returns:
            At most one estimate per pose that came in. Their `residuals` hold the features of
            `verification.FEATURES`; one that could not be judged has score 0 and a reason there.

        Raises:
            BinposeError: for an object id the refiner does not know.
        """
        verified, rejected = self._verify(frame, detections, poses)
        accepted = self._reconcile(verified, frame)
        estimates = [self._estimate(verified, i, detections) for i in accepted]
        estimates += [_unjudged(pose, reason) for pose, reason in rejected]
        return [e for e in sorted(estimates, key=lambda e: -e.score) if e.score >= self.config.min_score]

    def using(self, method: Method) -> "IcpRefiner":
        """The same refiner with another `RefinerConfig.method`.

        Raises:
            BinposeError: for the network, whose weights a name does not tell.
        """
        objects = dict(zip(self._workshop.ids, self._workshop.objects, strict=True))
        return IcpRefiner(objects, replace(self.config, method=method), self.calibration)

    def using_network(self, network: "RefinementNetwork") -> "IcpRefiner":
        """The same refiner with a refinement network after ICP.

        Raises:
            BinposeError: for a part that the network does not know.
        """
        from binpose_refinement.network_mover import NetworkMover  # torch, which nothing else here needs

        objects = dict(zip(self._workshop.ids, self._workshop.objects, strict=True))
        mover = NetworkMover(network, self._workshop)
        return IcpRefiner(objects, replace(self.config, method="network"), self.calibration, mover)

    def candidates(
        self, frame: RgbdFrame, detections: Sequence[Detection], poses: Sequence[PoseEstimate]
    ) -> list[Candidate]:
        """All polished hypotheses with their features, to be labelled against the truth for `fit_calibration`."""
        verified, _ = self._verify(frame, detections, poses)
        batch, ids = verified.batch, self._workshop.ids
        return [
            Candidate(ids[batch.part[i]], batch.T_cam_obj[i], verified.features[i], int(batch.owner[i]))
            for i in range(len(batch))
        ]

    def _verify(
        self, frame: RgbdFrame, detections: Sequence[Detection], poses: Sequence[PoseEstimate]
    ) -> tuple[Verified, list[tuple[PoseEstimate, str]]]:
        """The funnel: expand, align all coarsely, polish the best different ones, measure the evidence."""
        c, workshop = self.config, self._workshop
        owners = [_owner(pose, i, detections) for i, pose in enumerate(poses)]
        batch = self._collect(poses, owners)
        reasons = workshop.unusable(batch, frame.camera)
        small = np.array([detection.mask.sum() < FEWEST_MASK_PX for detection in detections], bool)
        reasons[small[batch.owner] & (reasons == "")] = "mask_too_small"
        judged = set(batch.owner[reasons == ""].tolist())
        rejected = [
            (pose, _reason(reasons[batch.owner == owner]))
            for pose, owner in zip(poses, owners, strict=True)
            if owner not in judged
        ]
        batch = batch.take(reasons == "")
        observation = observe(frame, detections, c.noise_floor_m)
        tolerance = tolerance_of(observation, c.tolerance_m, c.tolerance_sigmas)
        batch, information = self._funnel(observation, batch, tolerance)
        usable = workshop.unusable(batch, frame.camera) == ""
        batch, information = batch.take(usable), information[usable]
        gone = judged - set(batch.owner.tolist())
        rejected += [(pose, "lost_in_refinement") for pose, owner in zip(poses, owners, strict=True) if owner in gone]
        evidence = measure(workshop, observation, batch, VERIFY, c.verify_px, tolerance)
        features = self._complete(batch, evidence.features, detections)
        verified = Verified(
            batch, features, self._score(features, batch), evidence, information / observation.noise_m**2
        )
        return verified, rejected

    def _collect(self, poses: Sequence[PoseEstimate], owners: Sequence[int]) -> Batch:
        rows = [
            (owner, self._part(h.object_id), h.T_cam_obj, h.score)
            for owner, pose in zip(owners, poses, strict=True)
            for h in (pose.hypotheses or (Hypothesis(pose.object_id, pose.T_cam_obj, pose.score),))
        ]
        owner, part, T, confidence = zip(*rows, strict=True) if rows else ((), (), (), ())
        return Batch(
            np.array(owner, np.int64), np.array(part, np.int64), np.array(T, np.float64).reshape(-1, 4, 4),
            np.nan_to_num(np.array(confidence, np.float64)),
        )  # fmt: skip

    def _part(self, object_id: str) -> int:
        if object_id not in self._index:
            raise BinposeError(
                f"A hypothesis of object {object_id!r}; the refiner knows {', '.join(self._index)}; "
                "give it that object's model, or use the model bundle that belongs to the estimator."
            )
        return self._index[object_id]

    def _funnel(self, observation: Observation, batch: Batch, tolerance: float) -> tuple[Batch, FloatArray]:
        """The best different poses of each detection, aligned, and their information matrices (B, 6, 6)."""
        if not observation.has_depth or not len(batch):
            return batch, np.zeros((len(batch), 6, 6))
        c = self.config
        end_m = max(c.gate_end_m, 3 * observation.noise_m)
        coarse = Schedule(c.coarse_px, COARSE, c.coarse_rounds, c.gate_start, 0.04, end_m, 0.3, 2 * tolerance)
        narrow = replace(coarse, rounds=c.narrow_rounds, gate_start=0.8 * c.gate_start)
        polish = Schedule(c.polish_px, POLISH, c.polish_rounds, 0.05, 0.0, end_m, 0.1, tolerance)
        finish = Schedule(c.polish_px, POLISH, c.finish_rounds, 0.0, 0.0, end_m, 0.02, tolerance)
        batch = batch.take(self._comparer.distinct(batch, batch.confidence, c.same_start, len(batch)))
        # Two renderings tell which hypotheses deserve the six that many of them need.
        batch = self._best(batch, align(self._workshop, observation, batch, coarse), c.keep_coarse)
        batch = self._best(batch, align(self._workshop, observation, batch, narrow))
        aligned = align(self._workshop, observation, batch, polish)
        expanded = self._expand(batch.moved(aligned.T_cam_obj), aligned.agreement)
        looked = align(self._workshop, observation, expanded, replace(finish, rounds=0))
        batch = self._best(
            batch.moved(aligned.T_cam_obj).joined(expanded),
            Alignment(
                *(np.concatenate(pair) for pair in zip(vars(aligned).values(), vars(looked).values(), strict=True))
            ),
        )
        aligned = align(self._workshop, observation, batch, finish)
        batch, information = batch.moved(aligned.T_cam_obj), aligned.information
        if self.mover is None:
            return batch, information
        improve = Improvement(self._workshop, self.mover, c.keep_moved, VERIFY, c.verify_px)
        return improve(observation, batch, information, tolerance)

    def _expand(self, batch: Batch, agreement: FloatArray) -> Batch:
        """The best pose of each detection under the near-symmetries of its part."""
        order = np.lexsort((-agreement, batch.owner))
        _, first = np.unique(batch.owner[order], return_index=True)
        near = [self._workshop.objects[p].symmetries.near[: self.config.expand_limit] for p in batch.part]
        source = np.repeat(order[first], [len(near[i]) for i in order[first]]).astype(np.int64)
        motions = np.concatenate([np.zeros((0, 4, 4)), *(near[i] for i in order[first])])
        return batch.take(source).turned(motions)

    def _best(self, batch: Batch, aligned: Alignment, keep: int | None = None) -> Batch:
        batch = batch.moved(aligned.T_cam_obj)
        c = self.config
        return batch.take(self._comparer.distinct(batch, aligned.agreement, c.same_pose, keep or c.keep_best))

    def _complete(self, batch: Batch, measured: FloatArray, detections: Sequence[Detection]) -> FloatArray:
        """Append what the networks said and the lead over the detection's other poses: (B, F)."""
        hand = handmade_score(measured)
        score = np.array([d.score for d in detections])
        first = np.array([self._index.get(d.object_id, -1) for d in detections])
        other = (first[batch.owner] != batch.part) if len(batch) else np.zeros(0)
        columns = (batch.confidence, score[batch.owner] if len(batch) else np.zeros(0), other, _lead(hand, batch.owner))
        return np.column_stack([measured, *columns])

    def _score(self, features: FloatArray, batch: Batch) -> FloatArray:
        if self.calibration is None:
            score = handmade_score(features)
        else:
            score = self.calibration(features, self._sorted[batch.part])
        return np.where(supported(features), score, 0.0)

    def _reconcile(self, verified: Verified, frame: RgbdFrame) -> list[int]:
        """Greedy: the best-scored pose takes its pixels and its space; one detection gives one part."""
        c, batch = self.config, verified.batch
        claims = Claims(frame.camera.height, frame.camera.width)
        accepted: list[int] = []
        for i in np.argsort(-verified.score, kind="stable"):
            if any(batch.owner[i] == batch.owner[j] for j in accepted):
                continue
            pixels, window = verified.evidence.explained[i], verified.evidence.windows[i]
            if claims.share(pixels, window) > c.claimed_share:
                continue
            if any(self._intrusion(batch, i, j) > c.intrusion_share for j in accepted):
                continue
            claims.claim(pixels, window)
            accepted.append(int(i))
        return accepted

    def _intrusion(self, batch: Batch, i: int, j: int) -> float:
        return self._crowding.intrusion(batch.part[i], batch.T_cam_obj[i], batch.part[j], batch.T_cam_obj[j])

    def _estimate(self, verified: Verified, i: int, detections: Sequence[Detection]) -> PoseEstimate:
        batch, ids = verified.batch, self._workshop.ids
        residuals = {name: float(value) for name, value in zip(FEATURES, verified.features[i], strict=True)}
        if not supported(verified.features[i : i + 1])[0]:
            residuals["no_overlap"] = 1.0
        same = np.flatnonzero(batch.owner == batch.owner[i])
        same = same[np.argsort(-verified.score[same], kind="stable")]
        same = np.concatenate([[i], same[same != i]]).astype(np.int64)
        return PoseEstimate(
            ids[batch.part[i]],
            batch.T_cam_obj[i],
            float(verified.score[i]),
            detection=detections[batch.owner[i]],
            covariance=covariance_of(
                verified.information[i],
                batch.T_cam_obj[i],
                self._workshop.center_m[batch.part[i]],
                float(self._workshop.diameter_m[batch.part[i]]),
            ),
            hypotheses=tuple(
                Hypothesis(ids[batch.part[j]], batch.T_cam_obj[j], float(verified.score[j])) for j in same
            ),
            residuals=residuals,
        )


def _owner(pose: PoseEstimate, index: int, detections: Sequence[Detection]) -> int:
    """The place of a pose's detection among the detections."""
    if pose.detection is None and index < len(detections):
        return index
    for i, detection in enumerate(detections):
        if detection is pose.detection:
            return i
    raise BinposeError(
        f"Pose {index} belongs to a detection that is not among the {len(detections)} given; "
        "pass the detections from which the poses were estimated."
    )


def _lead(score: FloatArray, owner: npt.NDArray[np.int64]) -> FloatArray:
    """(B,) each score minus the best other score of the same detection (minus 0 where it is the only one)."""
    lead = score.copy()
    for group in np.unique(owner):
        mine = np.flatnonzero(owner == group)
        ranked = np.sort(score[mine])[::-1]
        if len(mine) > 1:
            lead[mine] -= np.where(score[mine] == ranked[0], ranked[1], ranked[0])
    return lead


def _reason(reasons: npt.NDArray[np.object_]) -> str:
    return str(reasons[0]) if len(reasons) else "no_hypothesis"


def _unjudged(pose: PoseEstimate, reason: str) -> PoseEstimate:
    return PoseEstimate(
        pose.object_id,
        pose.T_cam_obj,
        0.0,
        detection=pose.detection,
        hypotheses=pose.hypotheses,
        residuals={reason: 1.0},
    )
