"""The refiner: hypotheses in, verified and consistent poses out."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BinposeError
from binpose_core.base.finite import finite_or_zero
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Candidate, Detection, PoseEstimate
from binpose_core.geometry.transforms import FloatArray
from binpose_core.parts.catalogue import ObjectModel
from binpose_core.stages import StoredStage
from binpose_refinement.calibration import Calibration
from binpose_refinement.coarse_to_fine import VERIFY, CoarseToFine
from binpose_refinement.collection import CollectedHypotheses, collect_hypotheses, lost_detections, rejected_pose
from binpose_refinement.config import Method, RefinerConfig
from binpose_refinement.consistency import with_depth_agreement
from binpose_refinement.hypothesis_batch import HypothesisBatch, PartRenderer
from binpose_refinement.kind_mixture import kind_mixture_evidence
from binpose_refinement.methods import make_optimizer
from binpose_refinement.observation import observe
from binpose_refinement.pose_optimizer import PoseOptimizer
from binpose_refinement.suppression import CollisionCheck, PoseComparer
from binpose_refinement.verification import MEASURED, Evidence, explains_mask, heuristic_score, measure, tolerance_of
from binpose_refinement.verified import Verified

if TYPE_CHECKING:
    from binpose_refinement.network import RefinementNetwork


class IcpRefiner:
    """Expands, aligns, verifies and reconciles the pose hypotheses of a frame.

    Args:
        objects: the parts by id, in the order of the model bundle.
        config: all settings; its `method` says what follows ICP.
        calibration: turns the evidence into probabilities.
        network: what the method "network" follows ICP with; other methods only keep it.
        optimizer: follows ICP instead of what the config names.
        backend: draws; one of `render_backends.BACKENDS`, see `render_backends.backend_for`.

    Raises:
        BinposeError: for no objects, for a network of others, and for the method "network" without one.
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
            frame: what the camera saw.
            detections: of that frame.
            poses: estimates with their `hypotheses` and the place of their detection in `detections`.

        Returns:
            At most one estimate per pose that came in. Their `residuals` hold the features of
            `verification.FEATURES`, where there is depth `consistency.DEPTH_AGREEMENT`, and `out_of_distribution`: 1
            where the evidence is worse than the calibration has seen it for right poses. What could not be judged, or
            cannot be there beside better parts, is as it came, with score 0 and a reason there; one that is not finite
            is put, unturned, where its detection lies.

        Raises:
            BinposeError: for an object id the refiner does not know.
        """
        verified, collected, lost = self._verify(frame, detections, poses)
        accepted, suppressed = verified.select_jointly(self._collision_check, frame.camera, self.config)
        estimates = [verified.estimate(i, self._part_renderer) for i in accepted]
        estimates = with_depth_agreement(frame, estimates, self._part_renderer, VERIFY)
        estimates += [
            rejected_pose(*rejected) for rejected in (*collected.rejected, *collected.with_reasons(lost | suppressed))
        ]
        return [e for e in sorted(estimates, key=lambda e: -e.score) if e.score >= self.config.min_score]

    def using(
        self,
        method: Method | None = None,
        network: "RefinementNetwork | None" = None,
        calibration: Calibration | None = None,
    ) -> "IcpRefiner":
        """The same refiner with another `RefinerConfig.method`, refinement network or calibration.

        Raises:
            BinposeError: for the method "network" where there is none, and for parts that it does not know.
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
        """All hypotheses with their features, to be labelled against the truth for `fit_calibration`.

        Args:
            frame: what the camera saw.
            detections: of that frame.
            poses: as for `__call__`.
            refine: whether the hypotheses are aligned and selected first; otherwise all are measured where they are.
        """
        return self._verify(frame, detections, poses, refine)[0].candidates(self._part_renderer.ids)

    def to_tensors(self) -> StoredStage:
        """Tensors `calibration.*` and `refinement/*`, and entries of the header's config."""
        from binpose_refinement.stored_refiner import refiner_to_tensors

        return refiner_to_tensors(self)

    def _verify(
        self,
        frame: RgbdFrame,
        detections: Sequence[Detection],
        poses: Sequence[PoseEstimate],
        refine: bool = True,
    ) -> tuple[Verified, CollectedHypotheses, dict[int, str]]:
        """Hypotheses through the coarse_to_fine, with the evidence about them; and why detections have none left."""
        c, part_renderer = self.config, self._part_renderer
        collected = collect_hypotheses(part_renderer, frame.camera, detections, poses, c.gate_start)
        observation = observe(frame, detections, c.noise_floor_m)
        tolerance = tolerance_of(observation, c.tolerance_m, c.tolerance_sigmas)
        batch = collected.batch
        information: FloatArray = np.zeros((len(batch), 6, 6))
        if refine:
            batch, information = self._coarse_to_fine(observation, batch, tolerance)
        drawable = part_renderer.unusable(batch, frame.camera) == ""
        batch, information = batch.take(drawable), information[drawable]
        lost = lost_detections(collected.batch, batch, "lost_in_refinement")
        evidence = measure(part_renderer, observation, batch, VERIFY, c.verify_px, tolerance, self._rivals)
        features = self._complete(batch, evidence, detections)
        score, outside = self._score(features)
        verified = Verified(batch, features, score, outside, evidence, information / observation.noise_m**2)
        return verified, collected, lost

    def _rivals(self, batch: HypothesisBatch) -> npt.NDArray[np.int64]:
        return self._comparer.rivals(batch, self.config.rival_pose)

    def _complete(self, batch: HypothesisBatch, evidence: Evidence, detections: Sequence[Detection]) -> FloatArray:
        """Append what the networks said, the lead over rivals and the company in the frame: (B, F)."""
        measured = evidence.features
        heuristic, places = heuristic_score(measured), {name: i for i, name in enumerate(self._part_renderer.ids)}
        score = finite_or_zero([d.score for d in detections])
        first = np.array([places.get(d.object_id, -1) for d in detections])
        other = (first[batch.owner] != batch.part) if len(batch) else np.zeros(0)
        detected = score[batch.owner] if len(batch) else np.zeros(0)
        company = kind_mixture_evidence(
            batch, heuristic, measured[:, MEASURED.index("kind")], len(self._part_renderer.ids)
        )
        return np.column_stack([measured, batch.confidence, detected, other, evidence.lead, company])

    def _score(self, features: FloatArray) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
        """Scores (B,), and whether the evidence (B,) lies outside of what they were fitted on."""
        if self.calibration is None:
            score, outside = heuristic_score(features), np.zeros(len(features), np.bool_)
        else:
            score, outside = self.calibration(features), self.calibration.out_of_distribution(features)
        return np.where(explains_mask(features), score, 0.0), outside
