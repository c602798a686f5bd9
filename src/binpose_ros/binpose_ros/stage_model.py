"""What a node does with a stored model: how its stage is built, checked and configured."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.learning.model_store import StoredModel
from binpose_core.parts.objects import ObjectModel

Stage = TypeVar("Stage")
Objects = Mapping[str, ObjectModel]


@dataclass(frozen=True)
class StageModel(Generic[Stage]):
    """The functions of one stage. Settings are those of the node's parameters.

    build: makes the stage of a stored model and its parts.
    warm_up: runs a stage before it is used, so that kernels are compiled; the frame is the newest, or a drawn one.
    score: how well a stage does on golden frames, or None where it has no measure of its own.
    check: raises a BinposeError for settings that do not fit a model's parts.
    must_rebuild: whether a change of settings (before, after) needs the stage to be built again.
    parameters: what a stage uses, by the names of the parameters that override it.
    """

    build: Callable[[StoredModel, Objects, Any], Stage]
    warm_up: Callable[[Stage, Objects, RgbdFrame], None]
    score: Callable[[Stage, Objects, Sequence[Any], Any], float | None] = lambda *_: None
    check: Callable[[Any, Objects], None] = lambda *_: None
    must_rebuild: Callable[[Any, Any], bool] = lambda *_: False
    parameters: Callable[[Stage], Mapping[str, Any]] = lambda _: {}
