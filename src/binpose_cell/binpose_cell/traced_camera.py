"""The camera of a path-traced cell: fixed materials and lamps, and depth from a matched stereo pair."""

from binpose_cell.cell_camera import CellCamera
from binpose_cell.filled_bin import FilledBin
from binpose_core.base.errors import BinposeError
from binpose_simulation.path_traced.config import PathTracedConfig
from binpose_simulation.path_traced.path_tracer import PathTracer
from binpose_simulation.scene import SceneConfig


def traced_camera(
    filled: FilledBin, config: PathTracedConfig, noise_seed: int, scene: SceneConfig | None = None
) -> CellCamera:
    """The camera of the cell `config.cell` above a bin.

    All bins of a cell have the same camera, viewpoint, materials and lamps.

    Args:
        filled: the bin.
        config: of the path tracer.
        noise_seed: of the noise in the images of this bin.
        scene: ranges of the camera; by default those of `CellCamera`.

    Raises:
        BinposeError: for a configuration without a cell. `view` also raises it if Mitsuba is not installed.
    """
    if config.cell is None:
        raise BinposeError("PathTracedConfig.cell is None; expected the seed of a cell; give one, such as 0.")
    return CellCamera(filled, config.cell, scene=scene, render=PathTracer(config), noise_seed=noise_seed)
