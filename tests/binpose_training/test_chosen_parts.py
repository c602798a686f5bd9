"""Which parts a command works with."""

from pathlib import Path

import pytest
import trimesh

from binpose_core.base.errors import BinposeError
from binpose_core.parts.catalogue import Catalogue, ObjectModel
from binpose_training.chosen_parts import chosen_objects, with_added_parts


def test_a_name_that_is_not_in_the_catalogue_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BinposeError, match=r"cog.*binpose add"):
        chosen_objects(["cog"], tmp_path / "objects")


def test_parts_are_added_after_those_of_the_model(tmp_path: Path, objects: tuple[ObjectModel, ...]) -> None:
    """By their names and their numbers in BOP data sets, both of which must be new."""
    known, catalogue = {part.id: part for part in objects}, Catalogue(tmp_path / "objects")
    trimesh.creation.box((50, 30, 20)).export(tmp_path / "box.stl")
    for name, number in (("third", 3), ("twin", objects[0].bop_id), (objects[0].id, 9)):
        catalogue.add(tmp_path / "box.stl", name, "mm", bop_id=number)
    chosen = with_added_parts(known, ["third"], tmp_path / "objects")
    assert [part.id for part in chosen] == [*known, "third"] and chosen[0] is objects[0]
    with pytest.raises(BinposeError, match=f"'twin' has the BOP number {objects[0].bop_id}, as '{objects[0].id}'"):
        with_added_parts(known, ["twin"], tmp_path / "objects")
    with pytest.raises(BinposeError, match=f"knows the part {objects[0].id} already; expected one that is new"):
        with_added_parts(known, [objects[0].id], tmp_path / "objects")
