"""Which parts a command works with: those of the user's catalogue, or those that binpose makes itself."""

from collections.abc import Sequence
from pathlib import Path

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


def library_objects() -> list[ObjectModel]:
    """The parts of `binpose_simulation.parts` as objects, numbered from 1."""
    from binpose_simulation.parts import PART_NAMES, make_part

    return [make_object(make_part(name), name, number) for number, name in enumerate(PART_NAMES, start=1)]
