"""Crops of detections in frames without known poses, for losses that need no labels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from binpose_core.base.errors import BinposeError
from binpose_core.frames.label_image import label_image
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.working_view import make_working_view
from binpose_core.learning.batches import on_device
from binpose_core.parts.catalogue import ObjectModel
from binpose_estimator.candidates import center_of
from binpose_estimator.crop_pool import Detect
from binpose_estimator.crops import CropInputs, Crops, concatenate, extract_crops, network_input
from binpose_estimator.estimator import EstimatorConfig


@dataclass(frozen=True)
class UnlabelledBatch:
    """What the network sees of B crops, and the classes (B,) int64 that the detector gives them."""

    inputs: CropInputs
    classes: torch.Tensor


DrawUnlabelled = Callable[[torch.device], UnlabelledBatch]
"""Gives the next batch, on a device."""


class UnlabelledCrops:
    """Crops of detections, drawn in random order and turned by quarters.

    Args:
        frames: read once each, until there are `most` crops.
        detect: the detector.
        objects: the parts by id.
        config: of the pose network.
        batch_size: crops that a call gives.
        most: largest number of crops that are kept.
        seed: of the order.

    Raises:
        BinposeError: if nothing is detected.
    """

    def __init__(
        self,
        frames: Sequence[RgbdFrame],
        detect: Detect,
        objects: Mapping[str, ObjectModel],
        config: EstimatorConfig,
        batch_size: int,
        most: int = 20_000,
        seed: int = 0,
    ) -> None:
        crops: list[Crops] = []
        classes: list[npt.NDArray[np.int64]] = []
        for frame in frames:
            found = _crops_of(frame, detect, objects, config)
            if found is not None:
                crops.append(found[0])
                classes.append(found[1])
            if sum(map(len, classes)) >= most:
                break
        if not crops:
            raise BinposeError(
                f"The detector finds no {' or '.join(config.objects)} in {len(frames)} frames; expected detections for "
                "losses without labels; add frames, or switch these losses off."
            )
        self._crops, self._classes = concatenate(crops), np.concatenate(classes)
        self._rng, self._batch_size = np.random.default_rng(seed), batch_size

    def __len__(self) -> int:
        return len(self._classes)

    def __call__(self, device: torch.device) -> UnlabelledBatch:
        """The next batch."""
        index = self._rng.integers(len(self), size=self._batch_size)
        inputs = network_input(self._crops[index].turned(int(self._rng.integers(4))))
        return on_device(UnlabelledBatch(inputs, torch.from_numpy(self._classes[index])), device)


def _crops_of(
    frame: RgbdFrame, detect: Detect, objects: Mapping[str, ObjectModel], config: EstimatorConfig
) -> tuple[Crops, npt.NDArray[np.int64]] | None:
    """Crops of a frame's detections of the network's parts, and their classes; None where there is none."""
    detections = [found for found in detect(frame) if found.object_id in config.objects]
    if not detections:
        return None
    names = [found.object_id for found in detections]
    diameters = np.array([objects[name].diameter_m for name in names])
    centers = np.array([center_of(d, frame, size) for d, size in zip(detections, diameters, strict=True)])
    working = make_working_view(frame, config.gsd_m, config.max_pixels)
    order = np.arange(len(detections), dtype=np.int32)
    labels = working.labels(label_image(detections, *working.frame_shape, order=range(len(detections))))
    crops = extract_crops(working, config.preset.content, labels, order, centers, diameters)
    return crops, np.array([config.objects.index(name) for name in names], np.int64)
