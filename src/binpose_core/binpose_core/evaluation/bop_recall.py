"""The BOP challenge's average recall of localised parts, by VSD, MSSD and MSPD.

For each part that counts one estimate may be given, those with the highest scores; they are matched anew at
every threshold, and the recalls of all thresholds are averaged. Source: Hodan et al., BOP challenge 2020 on
6D object localization, ECCVW 2020, section 2.2; eval_bop19_pose.py of bop_toolkit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import UnknownObject
from binpose_core.evaluation import metrics
from binpose_core.evaluation.matching import NOBODY, GroundTruth, match
from binpose_core.evaluation.pose_errors import PartErrors
from binpose_core.frames.camera import Camera
from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import FloatArray
from binpose_core.parts.catalogue import ObjectModel
from binpose_core.rendering.renderer import Renderer

BOP_MIN_VISIBLE_FRACTION = 0.1
BOP_IMAGE_WIDTH_PX = 640


@dataclass(frozen=True)
class BopScore:
    """Average recalls in [0, 1] over n_parts; vsd is None where a frame has no depth, and left out of `average`."""

    n_parts: int
    vsd: float | None
    mssd: float
    mspd: float

    @property
    def average(self) -> float:
        """BOP's AR: the mean of the recalls."""
        return float(np.mean([value for value in (self.vsd, self.mssd, self.mspd) if value is not None]))


class BopRecall:
    """Collects frames; `score` sums them up.

    Args:
        objects: the parts by id.
    """

    def __init__(self, objects: Mapping[str, ObjectModel]) -> None:
        self._errors = {id: PartErrors(model) for id, model in objects.items()}
        self._renderers = {id: Renderer([model.mesh]) for id, model in objects.items()}
        self._n_parts = 0
        self._found = {"vsd": 0.0, "mssd": 0.0, "mspd": 0.0}
        self._has_depth = True

    def add(
        self,
        parts: Sequence[GroundTruth],
        estimates: Sequence[PoseEstimate],
        camera: Camera,
        depth_m: npt.NDArray[np.float32] | None = None,
    ) -> None:
        """Match the estimates of a frame at all thresholds.

        Args:
            parts: the known ones; those ignored or visible by less than a tenth do not count.
            estimates: in any order.
            camera: of the frame.
            depth_m: (H, W) observed; VSD needs it.

        Raises:
            BinposeError: for a part of an unknown object.
        """
        counted = _counted(parts)
        self._n_parts += len(counted)
        self._has_depth &= depth_m is not None
        for object_id in {part.object_id for part in counted}:
            T_gt = np.stack([part.T_cam_obj for part in counted if part.object_id == object_id])
            ranked = sorted((e for e in estimates if e.object_id == object_id), key=lambda e: -e.score)[: len(T_gt)]
            if ranked:
                self._add_object(object_id, np.stack([e.T_cam_obj for e in ranked]), T_gt, camera, depth_m)

    def miss(self, parts: Sequence[GroundTruth]) -> None:
        """A frame that could not be read: its parts count as missed by every measure, VSD too."""
        self._n_parts += len(_counted(parts))

    def score(self) -> BopScore:
        """The average recalls so far; NaN before any part."""
        recalls = {name: found / self._n_parts if self._n_parts else np.nan for name, found in self._found.items()}
        return BopScore(self._n_parts, recalls["vsd"] if self._has_depth else None, recalls["mssd"], recalls["mspd"])

    def _add_object(
        self,
        object_id: str,
        T_est: FloatArray,
        T_gt: FloatArray,
        camera: Camera,
        depth_m: npt.NDArray[np.float32] | None,
    ) -> None:
        if object_id not in self._errors:
            raise UnknownObject(
                f"A known part is {object_id!r}, but only {', '.join(self._errors) or 'no object'} is in the "
                "catalogue; add it or leave it out.",
                [object_id],
                self._errors,
            )
        part = self._errors[object_id]
        limit_m = max(metrics.BOP_FRACTIONS) * part.diameter_m
        mssd = part.matrix("mssd", T_est, T_gt, limit_m) / part.diameter_m
        px_per_px = camera.width / BOP_IMAGE_WIDTH_PX
        mspd = np.array([[part.mspd(est, gt, camera) for gt in T_gt] for est in T_est]) / px_per_px
        self._found["mssd"] += mean_found(mssd, metrics.BOP_FRACTIONS)
        self._found["mspd"] += mean_found(mspd, metrics.BOP_MSPD_PX)
        if depth_m is not None:
            vsd = self._vsd(object_id, T_est, T_gt, camera, depth_m)
            self._found["vsd"] += float(np.mean([mean_found(errors, metrics.BOP_FRACTIONS) for errors in vsd]))

    def _vsd(
        self, object_id: str, T_est: FloatArray, T_gt: FloatArray, camera: Camera, depth_m: npt.NDArray[np.float32]
    ) -> FloatArray:
        """Errors (T, E, G) for BOP's tolerances tau; 1 where the renderings do not meet."""
        taus_m = np.array(metrics.BOP_FRACTIONS) * self._errors[object_id].diameter_m
        true = [self._depth(object_id, pose, camera) for pose in T_gt]
        errors = np.ones((len(taus_m), len(T_est), len(T_gt)))
        for row, pose in enumerate(T_est):
            estimated = self._depth(object_id, pose, camera)
            for column, rendered in enumerate(true):
                if ((estimated > 0) & (rendered > 0)).any():
                    errors[:, row, column] = metrics.vsd(estimated, rendered, depth_m, camera, taus_m)
        return errors

    def _depth(self, object_id: str, T_cam_obj: FloatArray, camera: Camera) -> npt.NDArray[np.float32]:
        """(H, W) depth in metres of the part alone, 0 = background."""
        renderer, size = self._renderers[object_id], (camera.height, camera.width)
        return renderer.crops(np.zeros(1, dtype=int), T_cam_obj[None], camera.intrinsics, *size).depth_m[0]


def _counted(parts: Sequence[GroundTruth]) -> list[GroundTruth]:
    return [part for part in parts if not part.ignored and not part.visible_fraction < BOP_MIN_VISIBLE_FRACTION]


def mean_found(errors: FloatArray, thresholds: Sequence[float]) -> float:
    """How many parts are found on the average over the thresholds, by estimates ranked best first.

    Args:
        errors: (E, G).
        thresholds: of the errors.
    """
    ranking = -np.arange(len(errors), dtype=np.float64)
    return float(np.mean([(match(errors, ranking, threshold) != NOBODY).sum() for threshold in thresholds]))
