"""Models in memory: load one beside the one in use, check it, and swap by one assignment."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from binpose_core.base.errors import BinposeError, ModelMismatch, ModelRefused
from binpose_core.learning.model_store import SHORT, ModelStore, StoredModel
from binpose_core.learning.stored_parts import assemble, stored_objects
from binpose_core.parts.objects import ObjectModel

Stage = TypeVar("Stage")


@dataclass(frozen=True, eq=False)
class ModelBundle(Generic[Stage]):
    """One version of a model, ready to use. Immutable: a caller that holds it uses one version to the end.

    stage: a single stage, or the pipeline of all. objects: by id.
    version: sha256 of the weights, empty before it is saved; parent: the version it was trained from.
    store: folder that it was loaded from.
    number: counts the models that a process has used, from 1; VisionInfo's database_version.
    golden: its score on the store's golden frames, or None where there are none.
    config: of each stage, as plain JSON data. metrics: measured when it was saved.
    settings: that the stage was built with, where they are not the model's own.
    """

    stage: Stage
    objects: Mapping[str, ObjectModel]
    version: str = ""
    parent: str | None = None
    store: Path = Path()
    number: int = 1
    golden: float | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    settings: Any = None

    @property
    def location(self) -> str:
        """The file of the weights, which identifies the version."""
        return str(self.store / f"weights-{self.version[:SHORT]}.safetensors")


Bundle = TypeVar("Bundle", bound=ModelBundle[Any])


class Unanswered(BinposeError):
    """A node that was asked to hold a model did not answer: another time it may."""


class ModelSlot(Generic[Stage]):
    """The model in use, the one before it, and one that was loaded to be used next."""

    def __init__(self) -> None:
        self._held: tuple[ModelBundle[Stage], ...] = ()
        self._offered: ModelBundle[Stage] | None = None

    @property
    def current(self) -> ModelBundle[Stage] | None:
        """The model in use."""
        held = self._held
        return held[0] if held else None

    @property
    def previous(self) -> ModelBundle[Stage] | None:
        """The model before."""
        held = self._held
        return held[1] if len(held) > 1 else None

    def earlier(self) -> ModelBundle[Stage]:
        """The model before.

        Raises:
            BinposeError: when there is none.
        """
        if self.previous is None:
            raise BinposeError("There is no earlier model to roll back to; expected one swap since the node's start.")
        return self.previous

    def held(self) -> tuple[ModelBundle[Stage], ...]:
        """All of them, the one in use first."""
        offered = self._offered
        return self._held if offered is None else (*self._held, offered)

    def find(self, version: str) -> ModelBundle[Stage]:
        """The model whose version begins with `version`; the one in use for an empty one.

        Raises:
            BinposeError: when none of those held is it.
        """
        held = self.held()
        if not held:
            raise BinposeError("This node holds no model yet; expected one; configure the node first.")
        for model in held:
            if model.version.startswith(version):
                return model
        known = ", ".join(model.version[:SHORT] for model in held)
        raise ModelMismatch(
            f"A result of model {version}, but this node holds {known}; expected one of these; load that version here "
            "too with ~/load_model.",
            version,
            [model.version for model in held],
        )

    def exchange(self, model: ModelBundle[Stage]) -> None:
        """Put a model in use; the one that was in use stays, to be put back and for results that still name it.

        A model that is held already is only renewed and put first.
        """
        self._held = (model, *(held for held in self._held if held.version != model.version))[:2]
        if self._offered is not None and self._offered.version == model.version:
            self._offered = None

    def offer(self, model: ModelBundle[Stage]) -> None:
        """Hold a model that is to be used next, instead of the last such one; the others stay."""
        self._offered = model

    def clear(self) -> None:
        """Forget all."""
        self._held, self._offered = (), None


@dataclass(frozen=True)
class Checks(Generic[Stage]):
    """What a model must pass before it is put in use.

    objects: parts that it must know.
    warm_up: runs the stage once; what it raises refuses the model.
    score: the stage's score on golden frames, higher is better; None where there are none.
    """

    objects: Collection[str] = ()
    warm_up: Callable[[Stage, Mapping[str, ObjectModel]], None] = lambda stage, objects: None
    score: Callable[[Stage, Mapping[str, ObjectModel]], float | None] = lambda stage, objects: None


def load_model(
    store: Path | str,
    version: str,
    build: Callable[[StoredModel, Mapping[str, ObjectModel]], Stage],
    checks: Checks[Stage],
    bundle: Callable[..., Bundle],
    current: ModelBundle[Stage] | None = None,
) -> Bundle:
    """A model from a store, checked.

    Args:
        store: folder.
        version: of those in the store, or its first digits; the store's current one when empty.
        build: makes the stage of it.
        checks: what it must pass.
        bundle: class of the result, `ModelBundle` or one of its subclasses.
        current: the model it would replace; it may not know fewer parts, nor score worse on the same golden frames
            unless the gate has promoted it over this model.

    Raises:
        BinposeError: with the reason when it is refused.
    """
    stored = ModelStore(store).load(version or None)
    check_finite(stored)
    objects = assemble(stored, lambda: stored_objects(stored))
    wanted = list(checks.objects) or list(current.objects if current else ())
    check_known(wanted, list(objects), stored.version)
    stage = assemble(stored, lambda: build(stored, objects))
    config, metrics = assemble(stored, lambda: (dict(stored.header["config"]), dict(stored.header.get("metrics", {}))))
    checks.warm_up(stage, objects)
    golden = checks.score(stage, objects)
    before = None if golden is None or current is None else checks.score(current.stage, current.objects)
    proven = current is not None and ModelStore(store).promoted_over(stored.version, current.version)
    if golden is not None and before is not None and golden < before and not proven:
        raise ModelRefused(
            f"Model {stored.version[:SHORT]} scores {golden:.3f} on the golden frames, the one in use {before:.3f}; "
            "expected at least as much; train it further, or take these frames out of the store.",
            stored.version,
        )
    return bundle(
        stage, objects, stored.version, stored.parent, Path(store), golden=golden, config=config, metrics=metrics
    )


def check_finite(stored: StoredModel) -> None:
    """Refuse weights that are NaN or infinite.

    Raises:
        BinposeError: naming the first such tensor.
    """
    for name, value in stored.tensors.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise ModelRefused(
                f"Tensor {name!r} of model {stored.version[:SHORT]} holds NaN or infinity; expected finite weights; "
                "train it again.",
                stored.version,
            )


def check_known(wanted: Sequence[str], known: Sequence[str], version: str) -> None:
    """Refuse a model that lacks wanted parts.

    Raises:
        BinposeError: naming them.
    """
    if missing := [name for name in wanted if name not in known]:
        raise ModelRefused(
            f"Model {version[:SHORT]} does not know {', '.join(missing)}; it knows {', '.join(known)}; expected all "
            "parts that are in use; load a model that was trained with them.",
            version,
        )
