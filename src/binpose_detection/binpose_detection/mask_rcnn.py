"""Mask R-CNN (He et al., 2017) of torchvision as another detector: on colour alone, as in Chen et al., 2022.

torchvision is an optional package; only building the network needs it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from binpose_core.base.errors import BinposeError
from binpose_core.base.precision import channels_last
from binpose_core.frames.prepared_frame import AnyFrame, prepared
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection
from binpose_core.frames.working_view import WorkingView
from binpose_core.learning.weights import load_arrays, to_arrays
from binpose_detection.segmenter import DetectorConfig, mask_in_frame

BACKBONES = ("resnet18", "resnet34", "resnet50", "resnet101")
NORM_GROUPS = 32
OVERLAP_STRIDE = 2
SAMPLED_REGIONS = 128
"""Per window in training; torchvision's 512 are for images with six times as many pixels."""


@dataclass(frozen=True)
class MaskRcnnConfig(DetectorConfig):
    """What the network is made of and how its output is read, beside what every detector's weights belong to.

    backbone: one of `BACKBONES`. Nothing is downloaded: all weights begin at random, so that the deeper ones need
        hours on a GPU where the votes' network needs minutes.
    anchor_px: sides of the anchor boxes, one per level of the feature pyramid.
    center_behind_m: per object, how far behind the median depth of its visible surface its centre lies; () = 0. The
        training measures it.
    min_score: of a detection. mask_threshold: of a pixel on it. min_pixels: the fewest of them, in the working view.
    box_overlap: intersection over union from which boxes of one class are the same. mask_overlap: the same of masks of
        any class: the best one is kept, and another class among them is its alternative.
    max_instances: the most that the network gives, alternatives included. proposals: the most regions that it looks at.
    alternative_share: another class is named where its score is at least this share of the best one's.
    """

    backbone: str = "resnet18"
    anchor_px: tuple[int, int, int, int, int] = (16, 32, 64, 128, 256)
    center_behind_m: tuple[float, ...] = ()
    min_score: float = 0.3
    mask_threshold: float = 0.5
    min_pixels: int = 32
    box_overlap: float = 0.5
    mask_overlap: float = 0.6
    max_instances: int = 100
    proposals: int = 300
    alternative_share: float = 0.15

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.backbone not in BACKBONES:
            raise BinposeError(f"backbone must be one of {', '.join(BACKBONES)}, got {self.backbone!r}.")
        if len(self.anchor_px) != 5 or min(self.anchor_px) < 1:
            raise BinposeError(f"anchor_px must be five lengths of at least 1, got {self.anchor_px}.")
        if len(self.center_behind_m) not in (0, len(self.objects)):
            raise BinposeError(f"center_behind_m must be one length per object, got {len(self.center_behind_m)}.")
        for name in ("min_score", "mask_threshold", "box_overlap", "mask_overlap", "alternative_share"):
            if not 0 < getattr(self, name) < 1:
                raise BinposeError(f"{name} must be in (0, 1), got {getattr(self, name)}.")
        for name in ("min_pixels", "max_instances", "proposals"):
            if getattr(self, name) < 1:
                raise BinposeError(f"{name} must be >= 1, got {getattr(self, name)}.")


@dataclass(frozen=True)
class Instances:
    """What the network finds in a working view: classes (N,) 1..C, scores (N,), masks (N, h, w) bool."""

    classes: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    masks: npt.NDArray[np.bool_]


class MaskRcnnSegmenter:
    """frame -> detections, best first; a drop-in for `Segmenter`.

    Mask R-CNN has no votes for the part's centre. The centre of the mask's box stands for it. With true masks of
    simulated bins its median error was 1 to 4 % of the diameter for free parts and 4 to 5 % for those half covered (the
    mask's centroid: up to 7 and 9 %). It lies on the visible side of a covered part, 9 to 27 % off where less than half
    is seen. Its depth is the median under the mask plus the part's usual depth behind its surface (`center_behind_m`),
    which ignores how the part lies: 2 to 4 mm of spread for parts of 30 to 80 mm.

    Args:
        network: `build_mask_rcnn`'s, trained; put into evaluation mode.
        config: belongs to the weights.
    """

    def __init__(self, network: torch.nn.Module, config: MaskRcnnConfig, device: str = "cpu") -> None:
        self.config = config
        self.device = torch.device(device)
        self.network = channels_last(network.to(self.device).eval())

    def __call__(self, frame: AnyFrame) -> list[Detection]:
        """All instances in the frame, best first; an empty list where there is none."""
        given = prepared(frame)
        view = self.config.view(given)
        return self.detections(view, self.instances(view), given.frame)

    @torch.inference_mode()
    def instances(self, view: WorkingView) -> Instances:
        """Run the network."""
        found = self.network([network_image(view.color).to(self.device)])[0]
        masks = found["masks"][:, 0] > self.config.mask_threshold
        return Instances(found["labels"].cpu().numpy(), found["scores"].cpu().numpy(), masks.cpu().numpy())

    def detections(self, view: WorkingView, instances: Instances, frame: RgbdFrame) -> list[Detection]:
        """Keep the best of those that overlap and cut out one detection per instance."""
        overlap = mask_overlaps(instances.masks)
        free = instances.masks.sum((1, 2)) >= self.config.min_pixels
        found = []
        for best in np.argsort(-instances.scores, kind="stable"):
            if free[best] and instances.scores[best] >= self.config.min_score:
                same = free & (overlap[best] > self.config.mask_overlap)
                free[same] = False
                found.append(self._detection(int(best), np.flatnonzero(same), instances, view, frame))
        return [detection for detection in found if detection is not None]

    def _detection(
        self, best: int, same: npt.NDArray[np.int64], instances: Instances, view: WorkingView, frame: RgbdFrame
    ) -> Detection | None:
        rows, columns = np.nonzero(instances.masks[best])
        box, mask = mask_in_frame(rows, columns, 1, view, frame)
        if mask.size == 0:
            return None  # in the padding
        center = np.array([columns.min() + columns.max(), rows.min() + rows.max()]) / 2
        u, v = view.to_frame_px(center)
        index = int(instances.classes[best]) - 1
        return Detection(
            object_id=self.config.objects[index],
            score=float(np.clip(instances.scores[best], 0, 1)),
            bbox_xyxy=box,
            mask=mask,
            center_px=(float(u), float(v)),
            center_depth_m=self._center_depth_m(view.depth_m[rows, columns], index),
            alternatives=self._alternatives(best, same, instances),
        )

    def _center_depth_m(self, depth_m: npt.NDArray[np.float32], index: int) -> float:
        valid = depth_m[depth_m > 0]
        behind = self.config.center_behind_m[index] if self.config.center_behind_m else 0.0
        return float(np.median(valid)) + behind if len(valid) >= 4 else float("nan")

    def _alternatives(
        self, best: int, same: npt.NDArray[np.int64], instances: Instances
    ) -> tuple[tuple[str, float], ...]:
        """The likeliest other class among instances (M,) that are the same as the best one."""
        least = self.config.alternative_share * instances.scores[best]
        others = [i for i in same if instances.classes[i] != instances.classes[best] and instances.scores[i] > least]
        others.sort(key=lambda i: -instances.scores[i])
        return tuple((self.config.objects[instances.classes[i] - 1], float(instances.scores[i])) for i in others[:1])

    def to_tensors(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """The weights by name and the configuration as plain JSON data, which names this backend."""
        return to_arrays(self.network), {"backend": "mask_rcnn", **asdict(self.config)}

    @classmethod
    def from_tensors(
        cls, tensors: Mapping[str, npt.NDArray[Any]], config: Mapping[str, Any], device: str = "cpu"
    ) -> "MaskRcnnSegmenter":
        """The inverse of `to_tensors`.

        Raises:
            BinposeError: if the weights do not fit the configuration, or torchvision cannot be used.
        """
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in config.items()
        }
        values.pop("backend", None)
        settings = MaskRcnnConfig(**values)
        network = build_mask_rcnn(settings)
        load_arrays(network, tensors, "Mask R-CNN")
        return cls(network, settings, device)


def network_image(color: npt.NDArray[np.uint8]) -> torch.Tensor:
    """Colour (h, w, 3) uint8 as the network takes it: (3, h, w) float32 in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(color)).permute(2, 0, 1).float() / 255


def mask_overlaps(masks: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Intersection over union (N, N) of masks (N, h, w), of every second pixel."""
    sampled = masks[:, ::OVERLAP_STRIDE, ::OVERLAP_STRIDE]
    flat = sampled.reshape(len(masks), sampled.shape[1] * sampled.shape[2]).astype(np.float32)
    both = flat @ flat.T
    area = flat.sum(1)
    overlap = both / np.maximum(area[:, None] + area - both, 1)
    np.fill_diagonal(overlap, 1)
    return overlap


def build_mask_rcnn(config: MaskRcnnConfig) -> torch.nn.Module:
    """An untrained network for the objects of `config`; images (3, h, w) are taken at their own size.

    Group normalisation (Wu and He, 2018) instead of torchvision's frozen batch normalisation, which rests on downloaded
    weights: it is what trains from scratch with few images in a batch (He et al., 2019).

    Raises:
        BinposeError: if torchvision cannot be used.
    """
    detection = import_torchvision()
    backbone = detection.backbone_utils.resnet_fpn_backbone(
        backbone_name=config.backbone,
        weights=None,
        norm_layer=partial(torch.nn.GroupNorm, NORM_GROUPS),
        trainable_layers=5,
    )
    anchors = detection.anchor_utils.AnchorGenerator([(side,) for side in config.anchor_px], [(0.5, 1.0, 2.0)] * 5)
    network = detection.MaskRCNN(
        backbone,
        num_classes=len(config.objects) + 1,
        rpn_anchor_generator=anchors,
        rpn_pre_nms_top_n_train=2 * config.proposals,
        rpn_pre_nms_top_n_test=2 * config.proposals,
        rpn_post_nms_top_n_train=2 * config.proposals,
        rpn_post_nms_top_n_test=config.proposals,
        box_batch_size_per_image=SAMPLED_REGIONS,
        box_score_thresh=config.min_score * config.alternative_share,
        box_nms_thresh=config.box_overlap,
        box_detections_per_img=config.max_instances,
    )
    network.transform.resize = _as_it_is  # the working view has the size that the anchors are made for
    return network


def _as_it_is(image: torch.Tensor, target: Any = None) -> tuple[torch.Tensor, Any]:
    return image, target


def import_torchvision() -> ModuleType:
    """The module `models.detection` of torchvision.

    Raises:
        BinposeError: if it is not installed, or was built for another torch.
    """
    try:
        from torchvision.models import detection
    except (ImportError, RuntimeError, OSError) as error:
        # A build for another torch fails with a RuntimeError, as its compiled operators are missing.
        raise BinposeError(
            f"The detector mask_rcnn needs torchvision, which cannot be imported here ({error}); expected its build "
            f"for torch {torch.__version__}; install both from one index (`pip install torchvision`, or the extra "
            "`torchvision`), or use the detector votes."
        ) from error
    return detection
