"""The evidence for each pose of a frame, on which its selection as a pseudo label is based."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection, PoseEstimate
from binpose_core.parts.catalogue import ObjectModel
from binpose_refinement.consistency import DEPTH_AGREEMENT
from binpose_self_training.selection.image_distance import PerceptualFeatures, RenderedFrame, image_distance
from binpose_self_training.selection.mask_distance import mask_distance
from binpose_self_training.selection.pose_crops import PoseCropper
from binpose_self_training.selection.surface_distance import VisibleSurface, surface_distance

UNMEASURED = float("nan")


@dataclass(frozen=True)
class LabelEvidence:
    """What speaks for a pose.

    object_id: of the part.
    score: probability of the teacher.
    d_mask, d_image: distances in the image (paper 002, equations 3 and 4).
    d_g: distance of the surfaces in diameters (equation 5).
    depth_agreement: fraction of the visible surface whose depth agrees; NaN where it was not measured.
    returned: fraction of the test-time views in which the pose was found again; NaN without such views.
    other_views: of the bin's other views that report a part in this place, the fraction with the same pose; NaN without
        any.
    held: whether the gripper held the part in this pose (1) or a pick failed (0); NaN without a pick.
    """

    object_id: str
    score: float
    d_mask: float
    d_image: float
    d_g: float
    depth_agreement: float = UNMEASURED
    returned: float = UNMEASURED
    other_views: float = UNMEASURED
    held: float = UNMEASURED

    @property
    def d_a(self) -> float:
        """Distance in the image, d_mask times d_image."""
        return self.d_mask * self.d_image

    def to_json(self) -> dict[str, Any]:
        """Its values by name, d_a included; those that are not finite as None."""
        values = {**asdict(self), "d_a": self.d_a}
        return {k: v if isinstance(v, str) or np.isfinite(v) else None for k, v in values.items()}


class EvidenceMeter:
    """Measures the evidence for the poses of a frame, all in one batch.

    Args:
        objects: the parts by id.
        features: of which d_image is made.
        visible: how the visible surface is found.
        occlusion_aware: whether pixels hidden by something else are left out of all distances.
    """

    def __init__(
        self,
        objects: Mapping[str, ObjectModel],
        features: PerceptualFeatures,
        visible: VisibleSurface = "rendered",
        occlusion_aware: bool = True,
    ) -> None:
        self.objects, self.features = objects, features
        self.visible, self.occlusion_aware = visible, occlusion_aware
        self._crop = PoseCropper(objects)

    def __call__(
        self, frame: RgbdFrame, detections: Sequence[Detection], poses: Sequence[PoseEstimate]
    ) -> list[LabelEvidence]:
        """One for each pose, in their order.

        Args:
            frame: with depth.
            detections: of the frame, which `detection_index` of the poses refers to.
            poses: chosen by the refiner.
        """
        if not poses:
            return []
        crops = self._crop(frame, detections, poses)
        renderer = self._crop.part_renderer
        rendered = RenderedFrame(frame, poses, renderer.renderer, renderer.ids)
        parts = [self.objects[pose.object_id] for pose in poses]
        d_mask = mask_distance(crops, self.occlusion_aware)
        d_image = image_distance(self.features, frame, detections, poses, rendered)
        d_g = surface_distance(crops, poses, parts, self.visible, self.occlusion_aware)
        return [
            LabelEvidence(
                pose.object_id,
                pose.score,
                float(d_mask[b]),
                float(d_image[b]),
                float(d_g[b]),
                depth_agreement=pose.residuals.get(DEPTH_AGREEMENT, UNMEASURED),
            )
            for b, pose in enumerate(poses)
        ]
