"""How far the rendered image of a pose is from the observed one in features of a network: paper 002, equation 4."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from binpose_core.frames.label_image import label_image
from binpose_core.frames.prepared_frame import prepared
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection, PoseEstimate
from binpose_core.geometry.transforms import FloatArray, transform
from binpose_core.parts.catalogue import ObjectModel
from binpose_core.rendering.renderer import Renderer
from binpose_estimator.crops import extract_crops, network_input
from binpose_estimator.estimator import PoseEstimator
from binpose_estimator.features import tapped

WINDOW_DIAMETERS = 1.2
"""Side of the windows that `ModuleFeatures` compares, in diameters of the part."""


class PerceptualFeatures(Protocol):
    """Features of windows around poses, at several levels."""

    def __call__(
        self, frame: RgbdFrame, poses: Sequence[PoseEstimate], labels: npt.NDArray[np.int32]
    ) -> list[torch.Tensor]:
        """One tensor (B, C, h, w) per level.

        Args:
            frame: observed or rendered.
            poses: the windows' places, which depend on nothing else.
            labels: (H, W) index of the pose that each pixel belongs to, or -1.
        """
        ...


class EncoderFeatures:
    """The backbone of the model's own pose network, which is there without a download; conditioned on the part.

    Args:
        estimator: with a `backbone.stages` of several stages; of another backbone the output is the only level.
    """

    def __init__(self, estimator: PoseEstimator) -> None:
        self.estimator = estimator
        names = [name for name, _ in estimator.network.named_modules()]
        stages = [name for name in names if name.startswith("backbone.stages.") and name.count(".") == 2]
        self.levels = stages or ["backbone"]

    @torch.inference_mode()
    def __call__(
        self, frame: RgbdFrame, poses: Sequence[PoseEstimate], labels: npt.NDArray[np.int32]
    ) -> list[torch.Tensor]:
        """As the protocol says."""
        own, config = self.estimator, self.estimator.config
        view = prepared(frame).view(config.gsd_m, config.max_pixels)
        parts = [own.objects[pose.object_id] for pose in poses]
        centers = np.array([_center(pose, part) for pose, part in zip(poses, parts, strict=True)])
        diameters = np.array([part.diameter_m for part in parts])
        index = np.arange(len(poses), dtype=np.int32)
        crops = extract_crops(view, config.preset.content, view.labels(labels), index, centers, diameters)
        inputs = network_input(crops, own.device)
        with tapped(own.network, self.levels) as features:
            own.predict(inputs.x, [pose.object_id for pose in poses])
        return [torch.as_tensor(features[level]).float() for level in self.levels]


class ModuleFeatures:
    """Layers of any image network, such as a VGG with weights that a user has, as in the paper.

    Args:
        module: images (B, 3, n, n) in [0, 1] -> anything.
        layers: names of its modules, from fine to coarse.
        objects: the parts by id.
        size_px: side of the windows.
        normalise: images -> what the module wants, for example a shift by the mean of its training data.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        layers: Sequence[str],
        objects: Mapping[str, ObjectModel],
        size_px: int = 96,
        normalise: Callable[[torch.Tensor], torch.Tensor] = lambda images: images,
    ) -> None:
        self.module, self.layers, self.objects = module.eval(), tuple(layers), objects
        self.size_px, self.normalise = size_px, normalise

    @torch.inference_mode()
    def __call__(
        self, frame: RgbdFrame, poses: Sequence[PoseEstimate], labels: npt.NDArray[np.int32]
    ) -> list[torch.Tensor]:
        """As the protocol says; the labels play no part."""
        images = np.stack([self._window(frame, pose) for pose in poses])
        with tapped(self.module, self.layers) as features:
            self.module(self.normalise(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255.0))
        return [torch.as_tensor(features[layer]).float() for layer in self.layers]

    def _window(self, frame: RgbdFrame, pose: PoseEstimate) -> npt.NDArray[np.uint8]:
        part, camera = self.objects[pose.object_id], frame.camera
        center = _center(pose, part)
        u, v = camera.project(center[None])[0]
        half = 0.5 * WINDOW_DIAMETERS * part.diameter_m * camera.fx / center[2]
        steps = np.linspace(-half, half, self.size_px)
        rows = np.round(v + steps).astype(np.int64).clip(0, camera.height - 1)
        columns = np.round(u + steps).astype(np.int64).clip(0, camera.width - 1)
        return frame.rgb[np.ix_(rows, columns)]


def image_distance(
    features: PerceptualFeatures,
    frame: RgbdFrame,
    detections: Sequence[Detection],
    poses: Sequence[PoseEstimate],
    rendered: "RenderedFrame",
) -> FloatArray:
    """d_image of each pose (B,), the sum over the levels of the mean distance of normalised features.

    Args:
        features: of both images.
        frame: as observed.
        detections: whose masks are the observed ones of the poses.
        poses: of that frame.
        rendered: the same frame with the poses drawn.
    """
    if not poses:
        return np.zeros(0)
    height, width = frame.camera.height, frame.camera.width
    masks = [
        detections[pose.detection_index] if pose.detection_index is not None else _drawn(rendered, b, pose)
        for b, pose in enumerate(poses)
    ]
    owned = label_image(masks, height, width, order=range(len(masks)))
    seen = features(frame, poses, owned.astype(np.int32))
    drawn = features(rendered.frame, poses, rendered.labels)
    return np.asarray(sum(level_distance(a, b) for a, b in zip(seen, drawn, strict=True)))


def level_distance(first: torch.Tensor, second: torch.Tensor) -> FloatArray:
    """(B,) mean over the pixels of the distance of features (B, C, h, w) that have unit length per pixel."""
    first, second = (torch.nn.functional.normalize(level, dim=1, eps=1e-6) for level in (first, second))
    return np.asarray((first - second).norm(dim=1).mean((1, 2)).double().cpu().numpy())


class RenderedFrame:
    """A frame as it would be if the poses were right: their parts drawn over what was observed.

    Attributes:
        frame: the drawn one; the brightness of each part has the observed mean.
        labels: (H, W) int32, the pose in front at each pixel, or -1.
    """

    def __init__(self, frame: RgbdFrame, poses: Sequence[PoseEstimate], renderer: Renderer, ids: Sequence[str]) -> None:
        assert frame.depth_m is not None
        mesh_ids = np.array([ids.index(pose.object_id) for pose in poses], np.int64)
        scene = renderer.scene(mesh_ids, np.array([p.T_cam_obj for p in poses]).reshape(-1, 4, 4), frame.camera)
        self.labels = scene.instance_ids
        drawn, shaded = scene.mask, scene.shaded().astype(np.float32)
        color = frame.rgb.astype(np.float32)  # (H, W, 3)
        for b in range(len(poses)):
            own = self.labels == b
            if own.any():
                color[own] = shaded[own] * (color[own].mean() / max(float(shaded[own].mean()), 1.0))
        depth = np.where(drawn, scene.depth_m, frame.depth_m).astype(np.float32)
        image = color.clip(0, 255).astype(np.uint8)
        self.frame = replace(frame, color=image if frame.color.ndim == 3 else image[..., 0], depth_m=depth)


def _drawn(rendered: RenderedFrame, index: int, pose: PoseEstimate) -> Detection:
    mask = rendered.labels == index
    if not mask.any():
        mask = np.zeros_like(mask)
        mask[0, 0] = True
    return Detection.from_mask(pose.object_id, 1.0, mask)


def _center(pose: PoseEstimate, part: ObjectModel) -> FloatArray:
    return transform(pose.T_cam_obj, part.center_m[None])[0]
