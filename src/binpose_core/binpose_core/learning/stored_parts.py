"""The parts of a stored model: the tensors of a stage, the objects, and errors that say what is wrong with a header."""

from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from typing import TypeVar

from binpose_core.base.errors import BinposeError, ModelRefused
from binpose_core.learning.model_store import SHORT, StoredModel
from binpose_core.parts.objects import ObjectModel, objects_from_tensors

Part = TypeVar("Part")


def without_prefix(prefix: str, tensors: Mapping[str, Part]) -> dict[str, Part]:
    """The tensors whose names begin with `prefix`, without it."""
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def stored_objects(stored: StoredModel) -> dict[str, ObjectModel]:
    """The objects of a stored model by id; call it inside `assemble`, which explains a damaged header."""
    tensors = without_prefix("object/", stored.tensors)
    return {part.id: part for part in objects_from_tensors(tensors, stored.header["objects"])}


def assemble(stored: StoredModel, build: Callable[[], Part]) -> Part:
    """What `build` makes of a stored model.

    Raises:
        BinposeError: when the header lacks an entry, or has one that this version of binpose cannot use; it names the
            version that wrote the model.
    """
    writer, reader = stored.header.get("binpose", "of an unknown version"), own_version()
    versions = f"it was written by binpose {writer}, and this is binpose {reader}"
    try:
        return build()
    except BinposeError as error:
        raise error if writer == reader else error.with_note(f"Note: {versions}.") from error
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise ModelRefused(
            f"The header of version {stored.version[:SHORT]} does not describe a model ({error!r}); {versions}; "
            "restore the header, use the version that wrote it, or train the model again.",
            stored.version,
        ) from error


def own_version() -> str:
    """The installed version of binpose."""
    try:
        return installed_version("binpose")
    except PackageNotFoundError:  # a checkout that is not installed
        return "of an unknown version"
