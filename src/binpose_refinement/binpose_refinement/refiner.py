"""The refiner: aligns, verifies, scores and selects pose hypotheses."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BinposeError, ModelRefused
from binpose_core.base.finite import finite_or_zero
from binpose_core.frames.layers import layers_of, rival_detections
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Candidate, Detection, PoseEstimate
from binpose_core.geometry.transforms import FloatArray
from binpose_core.parts.catalogue import ObjectModel
from binpose_core.stages import StoredStage
from binpose_refinement.calibration import Calibration
from binpose_refinement.coarse_to_fine import VERIFY, CoarseToFine
from binpose_refinement.collection import collect_hypotheses, lost_detections, owner_of, rejected_pose
from binpose_refinement.config import Method, RefinerConfig
from binpose_refinement.consistency import with_depth_agreement
from binpose_refinement.explained import explained_pixels
from binpose_refinement.hypothesis_batch import HypothesisBatch, PartRenderer
from binpose_refinement.kind_mixture import kind_mixture_evidence
from binpose_refinement.methods import make_optimizer
from binpose_refinement.observation import observe
from binpose_refinement.pool import HypothesisPool
from binpose_refinement.pose_optimizer import PoseOptimizer
from binpose_refinement.scene_choice import Intrusion, choose_jointly
from binpose_refinement.suppression import CollisionCheck, PoseComparer
from binpose_refinement.verification import MEASURED, explains_mask, heuristic_score, measure, tolerance_of
from binpose_refinement.verified import Verified

if TYPE_CHECKING:
    from binpose_refinement.network import RefinementNetwork


class IcpRefiner:
    """Expands, aligns and verifies the pose hypotheses of a frame, and selects a consistent set.

    Args:
        objects: the parts by id, in the order of the model bundle.
        config: all settings; its `method` names the optimizer that follows ICP.
        calibration: maps the evidence to probabilities.
        network: used by the method "network"; other methods only store it.
        optimizer: replaces the optimizer that the config names.
        backend: of the rendering; one of `render_backends.BACKENDS`, see `render_backends.backend_for`.

    Raises:
        BinposeError: for no objects, for a calibration or a network of other parts, and for the method "network"
            without a network.
    """

    def __init__(
        self,
        objects: Mapping[str, ObjectModel],
        config: RefinerConfig | None = None,
        calibration: Calibration | None = None,
        network: "RefinementNetwork | None" = None,
        optimizer: PoseOptimizer | None = None,
        backend: str = "numba",
    ) -> None:
        if not objects:
            raise BinposeError(
                "IcpRefiner got no objects; expected at least one ObjectModel: add one with `binpose add`."
            )
        self.config = c = config or RefinerConfig()
        if calibration is not None and calibration.parts not in (0, len(objects)):
            raise ModelRefused(
                f"The calibration is of {calibration.parts} parts; expected the {len(objects)} of the refiner "
                f"({', '.join(objects)}); fit it again with `binpose calibrate`."
            )
        self.calibration, self.network = calibration, network
        self._part_renderer = PartRenderer(objects, (c.coarse_faces, c.polish_faces, c.verify_faces), backend)
        self._collision_check = CollisionCheck(objects)
        self.optimizer = optimizer if optimizer is not None else make_optimizer(c.method, self._part_renderer, network)
        self._comparer = PoseComparer(objects)
        self._coarse_to_fine = CoarseToFine(self._part_renderer, self._comparer, c, self.optimizer)

    def __call__(
        self, frame: RgbdFrame, detections: Sequence[Detection], poses: Sequence[PoseEstimate]
    ) -> list[PoseEstimate]:
        """Verified poses, best first, without duplicates.

        Args:
            frame: the images.
            detections: of that frame.
            poses: estimates with their `hypotheses` and the index of their detection in `detections`.

        Returns:
            At most one estimate per input pose. Their `residuals` hold the features of `verification.FEATURES`,
            `consistency.DEPTH_AGREEMENT` where there is depth, and `out_of_distribution`: 1 where the evidence is worse
            than in nearly all right samples of the calibration. A pose that cannot be verified, or that conflicts with
            better parts, is returned unchanged with score 0 and the reason among its residuals. A pose that is not
            finite is placed, unrotated, at its detection.

        Raises:
            BinposeError: for an object id that the refiner does not know.
        """
        return self.choose(frame, self.verify(frame, detections, poses))

    def verify(
        self,
        frame: RgbdFrame,
        detections: Sequence[Detection],
        poses: Sequence[PoseEstimate],
        before: HypothesisPool | None = None,
        refine: bool = True,
    ) -> HypothesisPool:
        """Align and measure the hypotheses of poses, and add them to those of earlier looks at the frame.

        Args:
            frame: the images.
            detections: of that frame; first those of `before`.
            poses: as for `__call__`, of the later detections where `before` is given.
            before: what earlier looks found.
            refine: whether the hypotheses are aligned; otherwise their given poses are measured.

        Raises:
            BinposeError: for an object id that the refiner does not know.
        """
        known = [] if before is None else list(range(len(before.detections)))
        layers = layers_of(detections, range(len(known), len(detections)), rival_detections(detections))
        base = layers[0] if layers else []
        owned = [replace(pose, detection_index=owner_of(pose, i, detections)) for i, pose in enumerate(poses)]
        look = 0 if before is None else int(before.look.max(initial=-1)) + 1
        pools = [] if before is None else [before]
        for layer in layers or [[]]:
            order = [*known, *(base[::-1] if layer is not base else []), *layer[::-1]]
            members = set(layer)
            own = [pose for pose in owned if pose.detection_index in members]
            pools.append(self._verify_layer(frame, detections, own, order, layer, look, refine))
        return reduce(HypothesisPool.joined, pools)

    def _verify_layer(
        self,
        frame: RgbdFrame,
        detections: Sequence[Detection],
        poses: Sequence[PoseEstimate],
        order: Sequence[int],
        layer: Sequence[int],
        look: int,
        refine: bool,
    ) -> HypothesisPool:
        """The pool of detections that do not overlap; `order` is that in which masks are drawn."""
        c, part_renderer = self.config, self._part_renderer
        collected = collect_hypotheses(part_renderer, frame.camera, detections, poses, c.gate_start)
        observation = observe(frame, detections, c.noise_floor_m, order=order, needed_of=layer)
        tolerance = tolerance_of(observation, c.tolerance_m, c.tolerance_sigmas)
        batch = collected.batch
        information: FloatArray = np.zeros((len(batch), 6, 6))
        if refine:
            batch, information = self._coarse_to_fine(observation, batch, tolerance)
        drawable = part_renderer.unusable(batch, frame.camera) == ""
        batch, information = batch.take(drawable), information[drawable]
        evidence = measure(part_renderer, observation, batch, VERIFY, c.verify_px, tolerance, self._rivals)
        return HypothesisPool(
            tuple(detections),
            batch,
            evidence,
            information / observation.noise_m**2,
            np.full(len(batch), look),
            tuple(zip(collected.poses, collected.owners, strict=True)),
            tuple(collected.rejected),
            lost_detections(collected.batch, batch, "lost_in_refinement"),
        )

    def choose(self, frame: RgbdFrame, pool: HypothesisPool) -> list[PoseEstimate]:
        """The poses that explain the frame best together, as from `__call__`."""
        verified = self._scored(pool)
        choice = choose_jointly(
            pool, verified.score, explains_mask(verified.features), self._intrusion(pool.batch), self.config
        )
        final = verified.score[choice.rows]
        if self.calibration is not None:
            final = self.calibration.of_scene(final, choice.evidence)
        estimates = verified.estimates(choice, final, self._part_renderer, self._comparer, self.config.rival_pose)
        estimates = with_depth_agreement(frame, estimates, self._part_renderer, VERIFY)
        estimates += [rejected_pose(*rejected) for rejected in pool.unverified(choice.rejected)]
        return [e for e in sorted(estimates, key=lambda e: -e.score) if e.score >= self.config.min_score]

    def explained(self, frame: RgbdFrame, poses: Sequence[PoseEstimate]) -> npt.NDArray[np.bool_]:
        """(H, W) pixels that poses with at least `RefinerConfig.explained_score` explain, see `explained_pixels`.

        Args:
            frame: the images.
            poses: from `choose`.
        """
        clear = [pose for pose in poses if pose.score >= self.config.explained_score and pose.score > 0]
        return explained_pixels(frame, clear, self._part_renderer, VERIFY, self.config.explained_m)

    def using(
        self,
        method: Method | None = None,
        network: "RefinementNetwork | None" = None,
        calibration: Calibration | None = None,
    ) -> "IcpRefiner":
        """The same refiner with another `RefinerConfig.method`, refinement network or calibration.

        Raises:
            BinposeError: for the method "network" without a network, or with one that was not trained on all parts.
        """
        objects = dict(zip(self._part_renderer.ids, self._part_renderer.objects, strict=True))
        config = replace(self.config, method=method or self.config.method)
        calibration, network = calibration or self.calibration, network or self.network
        return IcpRefiner(objects, config, calibration, network, backend=self._part_renderer.backend)

    def candidates(
        self,
        frame: RgbdFrame,
        detections: Sequence[Detection],
        poses: Sequence[PoseEstimate],
        refine: bool = True,
    ) -> list[Candidate]:
        """All hypotheses with their features, to be labelled with ground truth for `fit_calibration`.

        Args:
            frame: the images.
            detections: of that frame.
            poses: as for `__call__`.
            refine: whether the hypotheses are aligned and selected first; otherwise their given poses are measured.
        """
        pool = self.verify(frame, detections, poses, refine=refine)
        return self._scored(pool).candidates(self._part_renderer.ids)

    def to_tensors(self) -> StoredStage:
        """Tensors `calibration.*` and `refinement/*`, and entries of the header's config."""
        from binpose_refinement.stored_refiner import refiner_to_tensors

        return refiner_to_tensors(self)

    def _scored(self, pool: HypothesisPool) -> Verified:
        """The pool with all features and the score of each hypothesis by itself."""
        features = self._complete(pool)
        return Verified(pool, features, *self._score(features, pool.batch.part), self.calibration is not None)

    def _intrusion(self, batch: HypothesisBatch) -> Intrusion:
        centers, diameter_m = self._part_renderer.centers_cam(batch), self._part_renderer.diameter_m[batch.part]

        def between(i: int, j: int) -> float:
            if np.linalg.norm(centers[i] - centers[j]) > 0.5 * (diameter_m[i] + diameter_m[j]):
                return 0.0
            one, other = ((int(batch.part[k]), batch.T_cam_obj[k]) for k in (i, j))
            return self._collision_check.intrusion(*one, *other)

        return between

    def _rivals(self, batch: HypothesisBatch) -> npt.NDArray[np.int64]:
        return self._comparer.rivals(batch, self.config.rival_pose)

    def _complete(self, pool: HypothesisPool) -> FloatArray:
        """Append the scores of the networks, the lead over rivals and the evidence of other detections: (B, F)."""
        batch, measured, detections = pool.batch, pool.evidence.features, pool.detections
        heuristic, places = heuristic_score(measured), {name: i for i, name in enumerate(self._part_renderer.ids)}
        score = finite_or_zero([d.score for d in detections])
        first = np.array([places.get(d.object_id, -1) for d in detections])
        other = (first[batch.owner] != batch.part) if len(batch) else np.zeros(0)
        detected = score[batch.owner] if len(batch) else np.zeros(0)
        company = kind_mixture_evidence(
            batch,
            heuristic,
            measured[:, MEASURED.index("kind")],
            len(self._part_renderer.ids),
            rival_detections(detections),
        )
        return np.column_stack([measured, batch.confidence, detected, other, pool.evidence.lead, company])

    def probability(self, object_ids: Sequence[str], features: FloatArray) -> FloatArray:
        """(B,) that poses of these B objects with features (B, F) are right; without a calibration, they only rank."""
        part = np.array([self._part_renderer.ids.index(name) for name in object_ids], np.int64)
        return self._score(features, part)[0]

    def _score(self, features: FloatArray, part: npt.NDArray[np.int64]) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
        """Scores (B,), and whether the evidence (B,) is out of the calibration's distribution."""
        if self.calibration is None:
            score, outside = heuristic_score(features), np.zeros(len(features), np.bool_)
        else:
            score, outside = self.calibration(features, part), self.calibration.out_of_distribution(features)
        return np.where(explains_mask(features), score, 0.0), outside
