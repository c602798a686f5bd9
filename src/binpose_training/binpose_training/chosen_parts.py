"""Which parts a command works with: those of the user's catalogue, or those that binpose makes itself."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from binpose_core.base.errors import BinposeError
from binpose_core.parts.catalogue import LIBRARY, Catalogue, ObjectModel, make_object


def chosen_objects(names: Sequence[str], catalogue: Path) -> list[ObjectModel]:
    """The objects of these names; `library` stands for all parts that binpose makes by code.

    Raises:
        BinposeError: for a name that is not in the catalogue.
    """
    if tuple(names) == (LIBRARY,):
        return library_objects()
    known = Catalogue(catalogue)
    return [known.load(name) for name in names]


def with_added_parts(known: Mapping[str, ObjectModel], names: Sequence[str], catalogue: Path) -> list[ObjectModel]:
    """The parts of a model, as it stores them, and after them others of the catalogue.

    Raises:
        BinposeError: for a name that is not in the catalogue, a part that the model has, and a BOP number that it uses.
    """
    added = chosen_objects(names, catalogue)
    if same := [part.id for part in added if part.id in known]:
        raise BinposeError(
            f"The model knows the part {', '.join(same)} already; expected one that is new to it; leave it out."
        )
    numbers = {part.bop_id: part.id for part in known.values()}
    if taken := [part for part in added if part.bop_id in numbers]:
        part = taken[0]
        raise BinposeError(
            f"The part {part.id!r} has the BOP number {part.bop_id}, as {numbers[part.bop_id]!r} of the model; "
            "expected different ones; add it to the catalogue with another --bop-id."
        )
    return [*known.values(), *added]


def library_objects() -> list[ObjectModel]:
    """The parts of `binpose_simulation.parts` as objects, numbered from 1."""
    from binpose_simulation.parts import PART_NAMES, make_part

    return [make_object(make_part(name), name, number) for number, name in enumerate(PART_NAMES, start=1)]
