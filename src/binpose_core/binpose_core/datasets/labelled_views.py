"""Labelled views of a BOP data set, for training or for evaluation."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BinposeError
from binpose_core.datasets.bop import BopDataset, BopFrame
from binpose_core.datasets.label_use import check_labels_may_train
from binpose_core.frames.types import BACKGROUND, LabelledView

Purpose = Literal["training", "evaluation"]


def labelled_views(
    dataset: BopDataset, split: str | None = None, purpose: Purpose = "training"
) -> Iterator[LabelledView]:
    """The frames of a split with all their annotated parts.

    Args:
        dataset: with scene_gt.json and mask_visib/.
        split: its name; None for the only one.
        purpose: a data set whose labels are for evaluation only gives none for training.

    Raises:
        BinposeError: for labels that may not be used so, before a frame is read; for files that are missing or damaged.
    """
    if purpose == "training":
        check_labels_may_train(dataset.root)
    frames = tuple(dataset.frames(dataset.choose_split(split)))
    return (labelled_view(frame) for frame in frames)


def labelled_view(frame: BopFrame) -> LabelledView:
    """A frame with its annotated parts; `labelled_views` checks what their labels may be used for.

    Raises:
        BinposeError: for a frame without annotations, or files that are missing or damaged.
    """
    image, truths = frame.read(), frame.ground_truth()
    dataset = frame.scene.dataset
    masks = frame.masks()
    fractions = np.array([truth.visible_fraction for truth in truths], np.float64)
    entry = frame.scene.cameras.get(frame.image_id)
    sensor = entry.get("sensor", "") if isinstance(entry, dict) else ""
    return LabelledView(
        frame=image,
        object_ids=tuple(dataset.model(truth.obj_id).object_id for truth in truths),
        T_cam_obj=np.array([truth.T_cam_obj for truth in truths], np.float64).reshape(-1, 4, 4),
        instance_ids=_instance_ids(frame, masks, (image.camera.height, image.camera.width)),
        visible_fraction=np.where(np.isnan(fractions), (masks.any((1, 2)) if len(masks) else fractions), fractions),
        sensor=str(sensor),
    )


def _instance_ids(frame: BopFrame, masks: npt.NDArray[np.bool_], shape: tuple[int, int]) -> npt.NDArray[np.int16]:
    """(H, W) index of the part that each pixel shows, from masks (N, H, W)."""
    ids = np.full(shape, BACKGROUND, np.int16)
    if len(masks) and masks.shape[1:] != shape:
        raise BinposeError(
            f"Frame {frame.name} of {shape[1]}x{shape[0]} pixels has masks of {masks.shape[2]}x{masks.shape[1]}; "
            "expected equal sizes; write the masks again."
        )
    for number, mask in enumerate(masks):
        ids[mask] = number
    return ids
