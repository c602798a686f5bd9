"""The detectors that a stored model can hold, by the name that its header gives."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy.typing as npt

from binpose_core.base.errors import ModelRefused
from binpose_core.learning.model_store import StoredModel
from binpose_core.learning.stored_parts import without_prefix
from binpose_detection.mask_rcnn import MaskRcnnSegmenter
from binpose_detection.segmenter import VoteSegmenter

Backend = Literal["votes", "mask_rcnn"]

BACKENDS: dict[str, type[VoteSegmenter] | type[MaskRcnnSegmenter]] = {
    "votes": VoteSegmenter,
    "mask_rcnn": MaskRcnnSegmenter,
}


def stored_segmenter(stored: StoredModel, device: str = "cpu") -> VoteSegmenter | MaskRcnnSegmenter:
    """The detector that a model was saved with; raises as `segmenter_from_tensors` does."""
    tensors = without_prefix("segmenter/", stored.tensors)
    return segmenter_from_tensors(tensors, stored.header["config"]["segmenter"], device)


def segmenter_from_tensors(
    tensors: Mapping[str, npt.NDArray[Any]], config: Mapping[str, Any], device: str = "cpu"
) -> VoteSegmenter | MaskRcnnSegmenter:
    """The detector that `to_tensors` stored; `config["backend"]` names it, votes where it is not there.

    Raises:
        BinposeError: for an unknown backend, one whose library is missing, or weights that do not fit.
    """
    settings = dict(config)
    backend = settings.pop("backend", "votes")
    settings.pop("distance_m", None)  # earlier versions stored it; now it is the frame's
    if backend not in BACKENDS:
        raise ModelRefused(
            f"The model's detector is {backend!r}; expected {' or '.join(BACKENDS)}; use the version of binpose that "
            "wrote it."
        )
    return BACKENDS[backend].from_tensors(tensors, settings, device)
