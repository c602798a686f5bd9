"""The settings of the node `simulated_cell`, and the cell that they describe. Knows no ROS."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from binpose_cell.cell_camera import SENSOR, CellCamera
from binpose_cell.config import PickingConfig
from binpose_cell.filled_bin import fill_bin
from binpose_cell.gripped_parts import gripped_parts
from binpose_cell.pick_world import OnStep
from binpose_cell.picking_cell import PickingCell
from binpose_core.base.errors import BinposeError, UnknownObject
from binpose_core.base.settings import check_bounds, setting
from binpose_core.geometry.transforms import FloatArray
from binpose_core.parts.objects import ObjectModel
from binpose_simulation.prepared_parts import PreparedPart
from binpose_simulation.sensor import SENSOR_KINDS


@dataclass(frozen=True)
class CellNodeSettings:
    """Parameters of the simulated cell.

    model: folder of a model store; its parts fill the bin.
    parts: types of the parts in the bin; the first one of the model when empty.
    number: number of parts.
    seed: of the bin, the light, the camera and the noise; `~/reset` pours parts with the next one.
    sensor: kind of the depth sensor.
    rate_hz: images per second while the cell waits for grasps.
    picking: begin to pick when the node is activated; otherwise `~/start` or `~/step` does.
    frame_id: coordinate frame of the camera.
    base_frame: coordinate frame of the arm's base.
    bin_frame: coordinate frame of the bin: middle of its floor, z up.
    depth_encoding: of the depth images: 32FC1 (metres) or 16UC1 (millimetres).
    autostart: configure and activate without a lifecycle manager.
    physics: bin, arm, how picks are executed, and what counts as success.
    """

    model: str = ""
    parts: tuple[str, ...] = ()
    number: int = setting(8, bounds=(1, 60))
    seed: int = setting(21, bounds=(0, 2**31 - 1))
    sensor: str = SENSOR
    rate_hz: float = setting(2.0, bounds=(0.01, 200.0), live=True)
    picking: bool = True
    frame_id: str = "camera_color_optical_frame"
    base_frame: str = "base"
    bin_frame: str = "bin"
    depth_encoding: str = "32FC1"
    autostart: bool = True
    physics: PickingConfig = field(default_factory=PickingConfig)

    def __post_init__(self) -> None:
        check_bounds(self)
        if self.sensor not in SENSOR_KINDS:
            raise BinposeError(f"sensor is {self.sensor!r}; expected one of {', '.join(SENSOR_KINDS)}.")
        names = (self.frame_id, self.base_frame, self.bin_frame)
        if not all(names) or len(set(names)) < len(names):
            raise BinposeError(
                f"frame_id, base_frame and bin_frame are {', '.join(map(repr, names))}; expected three different names."
            )

    def prepared(self, objects: Mapping[str, ObjectModel]) -> dict[str, PreparedPart]:
        """The chosen parts with the shapes for the physics; minutes the first time.

        Raises:
            BinposeError: for a part that the model does not have.
        """
        names = self.parts or tuple(objects)[:1]
        if unknown := [name for name in names if name not in objects]:
            raise UnknownObject(
                f"parts has {unknown[0]!r}; expected some of {', '.join(objects)}; choose parts of the model.",
                unknown,
                objects,
            )
        return gripped_parts({name: objects[name] for name in names})

    def cell(
        self,
        parts: Mapping[str, PreparedPart],
        seed: int,
        before: PickingCell | None = None,
        on_step: OnStep | None = None,
    ) -> PickingCell:
        """A cell with new parts, whose types take turns.

        Args:
            parts: by id.
            seed: of the parts' poses.
            before: a cell whose bin, camera and light stay the same.
            on_step: called after each step of the physics.
        """
        names = list(parts)
        wanted = [names[number % len(names)] for number in range(self.number)]
        spec = None if before is None else before.bin_spec
        filled = fill_bin(np.random.default_rng(seed), parts, wanted, spec=spec)
        camera = CellCamera(filled, self.seed, self.sensor)
        return PickingCell(filled, camera, config=self.physics, on_step=on_step)

    def frames(self, cell: PickingCell) -> dict[str, FloatArray]:
        """T_base_frame (4, 4) of the camera and of the bin, by the names of their frames."""
        T_base_bin = self.physics.bin.matrix
        return {self.bin_frame: T_base_bin, self.frame_id: T_base_bin @ cell.T_world_cam}
