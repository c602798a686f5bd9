import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_grasping.config import Direction, PlannerConfig


def test_a_direction_has_any_length_but_none() -> None:
    np.testing.assert_allclose(Direction(0.0, 3.0, 4.0).unit, [0, 0.6, 0.8])
    for nothing in ((0.0, 0.0, 0.0), (float("nan"), 0.0, 1.0)):
        with pytest.raises(BinposeError, match="expected a vector that is not zero"):
            Direction(*nothing)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cone_rad", 4.0),
        ("min_probability", 1.5),
        ("pregrasp_m", -0.1),
        ("own_m", 0.0),
        ("grid_m", 0.0),
        ("tries", 0),
        ("enough", 0),
    ],
)
def test_nonsense_is_refused(field: str, value: float) -> None:
    with pytest.raises(BinposeError, match=f"PlannerConfig.{field} is {value}; expected"):
        PlannerConfig(**{field: value})


def test_an_unknown_tool_names_the_known_ones() -> None:
    with pytest.raises(BinposeError, match=r"PlannerConfig.tool is 'magnet'; expected parallel, suction, any"):
        PlannerConfig(tool="magnet")
