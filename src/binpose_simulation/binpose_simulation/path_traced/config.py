"""Settings of path-traced views."""

from dataclasses import dataclass, field
from typing import Literal

from binpose_core.base.errors import BinposeError
from binpose_core.base.settings import FRACTION, check_bounds, setting
from binpose_simulation.materials import MaterialConfig
from binpose_simulation.path_traced.backend import VARIANTS
from binpose_simulation.photograph import PhotographConfig
from binpose_simulation.viewpoint import check_range


@dataclass(frozen=True)
class RoomConfig:
    """Ranges of the lights around a bin.

    panels: number of area lights above the bin; panel_m: their sides; height_m: above the table.
    room_level: brightness of the room's walls, relative to a white sheet under the panels.
    housing: whether the camera has a dark housing that shiny parts mirror.
    """

    panels: tuple[int, int] = (1, 3)
    panel_m: tuple[float, float] = (0.15, 1.2)
    height_m: tuple[float, float] = (0.9, 2.4)
    room_level: tuple[float, float] = (0.05, 0.35)
    housing: bool = True

    def __post_init__(self) -> None:
        name = type(self).__name__
        check_range(name, "panels", self.panels, 1, 20)
        check_range(name, "panel_m", self.panel_m, 0.01, 10.0)
        check_range(name, "height_m", self.height_m, 0.3, 20.0)
        check_range(name, "room_level", self.room_level, 1e-4, 10.0)


@dataclass(frozen=True)
class StereoConfig:
    """An active stereo camera: two infrared images with projected dots, matched by OpenCV.

    baseline_m: distance of the two infrared cameras. offset_m: colour camera from the left infrared camera, along x.
    wider: tangent of half the infrared cameras' field of view, relative to the colour camera's.
    samples, max_depth: paths per pixel of an infrared image, and their length.
    ambient: infrared light of the room and its lamps, as a fraction of the visible light.
    dots: pixels of the projector with a dot, as a fraction; dot_px: their standard deviation.
    dots_level: brightness of the dots at 1 m, relative to a white sheet under the lamps.
    exposure: brightness that 3 % of the pixels exceed, 1 = saturation.
    full_well: photo-electrons of a saturated pixel; read_noise: standard deviation of the readout, in electrons.
    near, far: range of distances that is searched, relative to the nearest and the farthest corner of the bins.
    window_px: side of the matching window. uniqueness: least margin of the best match, in percent.
    contrast: least contrast within a window, as a fraction of full scale.
    speckle_px: regions with fewer pixels are removed.
    """

    baseline_m: float = setting(0.075, bounds=(0.005, 1.0))
    offset_m: float = setting(0.015, bounds=(-1.0, 1.0))
    wider: float = setting(1.15, bounds=(1.0, 3.0))
    samples: int = setting(4, bounds=(1, 4096))
    max_depth: int = setting(3, bounds=(2, 32))
    ambient: float = setting(0.15, bounds=(0.0, 10.0))
    dots: float = setting(0.1, bounds=(0.001, 0.5))
    dot_px: float = setting(0.7, bounds=(0.2, 5.0))
    dots_level: float = setting(6.0, bounds=(0.01, 1000.0))
    exposure: float = setting(0.7, bounds=(0.05, 5.0))
    full_well: float = setting(6000.0, bounds=(100.0, 1e6))
    read_noise: float = setting(8.0, bounds=(0.0, 1000.0))
    near: float = setting(0.85, bounds=(0.1, 1.0))
    far: float = setting(1.3, bounds=(1.0, 10.0))
    window_px: int = setting(7, bounds=(3, 21))
    uniqueness: int = setting(8, bounds=(0, 100))
    contrast: float = setting(0.02, bounds=FRACTION)
    speckle_px: int = setting(60, bounds=(0, 100000))

    def __post_init__(self) -> None:
        check_bounds(self)
        if self.window_px % 2 == 0:
            raise BinposeError(f"StereoConfig.window_px must be odd, got {self.window_px}.")


@dataclass(frozen=True)
class PathTracedConfig:
    """Settings of path-traced views.

    cell: seed of what one cell has all the time: materials of each type, bin, lamps, room and camera; None = new ones
        for each view.
    samples: paths per pixel of the colour image; max_depth: their length in segments.
    denoise: whether the noise of the paths is removed before that of the camera is added.
    materials: of the parts.
    variant: of Mitsuba: llvm_ad_rgb compiles for this processor and needs an LLVM of the system, scalar_rgb suits small
        images; auto takes the first where it can.
    """

    cell: int | None = None
    samples: int = setting(8, bounds=(1, 65536))
    max_depth: int = setting(6, bounds=(1, 64))
    denoise: bool = True
    variant: Literal["auto", "llvm_ad_rgb", "scalar_rgb"] = "auto"
    materials: MaterialConfig = field(
        default_factory=lambda: MaterialConfig(metal_share=0.85, painted_share=0.05, rubber_share=0.0, label_share=0.0)
    )
    room: RoomConfig = field(default_factory=RoomConfig)
    stereo: StereoConfig = field(default_factory=StereoConfig)
    photograph: PhotographConfig = field(
        default_factory=lambda: PhotographConfig(
            blur_px=(0.4, 0.8), exposure=(0.7, 1.3), mosaic_share=1.0, jpeg_share=1.0, mono_share=0.0
        )
    )

    def __post_init__(self) -> None:
        check_bounds(self)
        if self.cell is not None and self.cell < 0:
            raise BinposeError(f"PathTracedConfig.cell must be >= 0, got {self.cell}.")
        if self.variant not in VARIANTS:
            raise BinposeError(
                f"PathTracedConfig.variant is {self.variant!r}; expected one of {', '.join(VARIANTS)}; choose one."
            )
