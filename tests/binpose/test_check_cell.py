"""The command of the cell check: its table, its exit status, and what it refuses."""

from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from binpose.cli import main
from binpose.commands.check_cell import CheckCell, cell_table
from binpose_core.frames.camera import Camera
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_grasping.bin_alignment import BinAlignment
from binpose_grasping.cell import CellConfig, Placement
from binpose_grasping.cell_check import CellCheck, FrameCheck


def frame_check(determined: tuple[bool, bool, bool], below_m: float | None) -> FrameCheck:
    offset = np.array([0.0123, -0.004, 0.001])
    found = BinAlignment(np.eye(4), offset, 0.01, 0.0, np.array(determined), 4321, 0.0005)
    return FrameCheck("000007", found, below_m, below_m)


def test_the_table_has_millimetres_where_planes_determine_them() -> None:
    frames = [frame_check((True, False, True), 0.0021), frame_check((False, False, False), None)]
    console = Console(width=120, record=True, file=StringIO())
    console.print(cell_table(CellCheck(frames, np.zeros(3), None, 0.003)))
    first, second = (line.split() for line in console.export_text().splitlines() if "000007" in line)
    assert first == ["000007", "+12.3", "-", "+1.0", "0.57", "4321", "2.1", "2.1"]
    assert second == ["000007", "-", "-", "-", "-", "4321", "-", "-"]


def test_frames_are_spread_and_a_fixed_camera_is_where_the_settings_place_it() -> None:
    def source(number: int) -> SimpleNamespace:
        image = np.zeros((4, 4), np.uint8)
        frame = RgbdFrame(image, np.ones((4, 4), np.float32), Camera(4.0, 4.0, 2.0, 2.0, 4, 4), name=str(number))
        return SimpleNamespace(name=str(number), read=lambda: frame)

    cell = CellConfig(camera=Placement(x_m=0.5, z_m=0.9))
    command = CheckCell(path=Path(), model=Path(), frames=3, cell=cell)
    views = command._views([source(number) for number in range(7)])
    assert [view.name for view in views] == ["0", "3", "6"]
    np.testing.assert_allclose(views[0].T_world_cam, cell.camera.matrix)


def test_no_frames_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-cell", str(tmp_path), "--model", "demo", "--frames", "0"]) == 2
    assert "--frames is 0; expected at least 1" in capsys.readouterr().err
