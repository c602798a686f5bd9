import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.geometry.transforms import from_rotation_translation, random_rotation
from binpose_core.parts.grasps import GraspSet
from binpose_grasping.grasp_file import FORMAT, read_grasps, write_grasps

GOOD: dict[str, Any] = {"position_m": [0, 0, 0.01], "quat_xyzw": [1, 0, 0, 0], "width_m": 0.02}


def write(path: Path, *entries: Any, **changes: Any) -> Path:
    path.write_text(json.dumps({"format": FORMAT, "object_id": "cog", "grasps": list(entries)} | changes))
    return path


def test_what_is_written_is_read_again(tmp_path: Path, rng: np.random.Generator) -> None:
    T = from_rotation_translation(random_rotation(rng, (5,)), rng.uniform(-0.05, 0.05, (5, 3)))
    width = rng.uniform(0, 0.08, 5)
    half = T[:, :3, 1] * width[:, None] / 2
    contacts = np.stack([T[:, :3, 3] - half, T[:, :3, 3] + half], 1)
    tool = np.array([0, 0, 1, 0, 1], np.uint8)
    grasps = GraspSet(T, width, rng.random(5), rng.random(5), contacts, tool)
    write_grasps(tmp_path / "g.json", "cog", grasps)
    again = read_grasps(tmp_path / "g.json", "cog")
    for name in ("T_obj_hand", "width_m", "quality", "success", "contacts_m", "tool"):
        np.testing.assert_allclose(getattr(again, name), getattr(grasps, name), atol=1e-9)


def test_width_of_suction_quality_and_success_are_optional(tmp_path: Path) -> None:
    suction = {"position_m": [0, 0, 0.01], "quat_xyzw": [1, 0, 0, 0], "tool": "suction"}
    grasps = read_grasps(write(tmp_path / "g.json", GOOD, suction), "cog")
    assert grasps.tool.tolist() == [0, 1] and grasps.quality.tolist() == [1, 1] and grasps.width_m[1] == 0
    np.testing.assert_allclose(grasps.T_obj_hand[0], [[1, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 0.01], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        (7, "Grasp 1 in {path} is no object; expected position_m, quat_xyzw and width_m; correct the file."),
        ({**GOOD, "wdth": 1}, "Grasp 1 in {path} has the unknown key 'wdth'; expected only"),
        ({**GOOD, "width_m": -1}, "Grasp 1 in {path} has width_m -1; expected a number from 0 to 1; correct the file."),
        ({**GOOD, "width_m": True}, "has width_m True; expected a number from 0 to 1"),
        ({**GOOD, "width_m": float("nan")}, "has width_m nan; expected a number from 0 to 1"),
        ({**GOOD, "quat_xyzw": [1, 1, 0, 0]}, "has a quat_xyzw of length 1.41; expected length 1"),
        ({**GOOD, "quat_xyzw": [1, 0, 0]}, "has quat_xyzw [1, 0, 0]; expected 4 numbers"),
        ({**GOOD, "position_m": [0, 0, 12.0]}, "has position_m [0, 0, 12.0]; expected 3 numbers between -2 and 2"),
        ({**GOOD, "position_m": "abc"}, "has position_m 'abc'; expected 3 numbers"),
        ({**GOOD, "tool": "magnet"}, "has the tool 'magnet'; expected parallel or suction"),
        ({"position_m": [0, 0, 0], "quat_xyzw": [1, 0, 0, 0]}, "has width_m None; expected a number from 0 to 1"),
    ],
)
def test_a_damaged_grasp_is_named(tmp_path: Path, entry: Any, sentence: str) -> None:
    path = write(tmp_path / "g.json", GOOD, entry)
    with pytest.raises(BinposeError) as caught:
        read_grasps(path, "cog")
    assert sentence.format(path=path) in str(caught.value)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "g.json"
    with pytest.raises(BinposeError, match="has the format 'other'; expected 'binpose_grasps/1'"):
        read_grasps(write(path, GOOD, format="other"), "cog")
    with pytest.raises(BinposeError, match="holds grasps of 'nut'; expected 'cog'"):
        read_grasps(write(path, GOOD, object_id="nut"), "cog")
    with pytest.raises(BinposeError, match="has no list of grasps; expected 1 to 10000"):
        read_grasps(write(path), "cog")
    path.write_text('{"format": "binpose_gra')
    with pytest.raises(BinposeError, match="is no valid JSON"):
        read_grasps(path, "cog")
    with pytest.raises(BinposeError, match="No file"):
        read_grasps(tmp_path / "none.json", "cog")
