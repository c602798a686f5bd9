"""Which parts a command works with."""

from pathlib import Path

import pytest

from binpose_core.base.errors import BinposeError
from binpose_training.chosen_parts import chosen_objects


def test_a_name_that_is_not_in_the_catalogue_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BinposeError, match=r"cog.*binpose add"):
        chosen_objects(["cog"], tmp_path / "objects")
