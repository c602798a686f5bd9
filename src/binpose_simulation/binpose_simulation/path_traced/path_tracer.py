"""Renders views of a pile as `binpose_simulation.scene.render_view` does, by path tracing."""

from dataclasses import dataclass, field, replace

import numpy as np

from binpose_core.frames.camera import Camera
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.geometry.transforms import FloatArray, inverse, transform
from binpose_simulation.lit_scene import EXTRA
from binpose_simulation.path_traced.backend import use_variant
from binpose_simulation.path_traced.config import PathTracedConfig
from binpose_simulation.path_traced.photo import Guides, traced_light
from binpose_simulation.path_traced.stereo import stereo_camera, stereo_depth
from binpose_simulation.path_traced.traced_scene import TracedCell, material_of, traced_scene
from binpose_simulation.photograph import photograph
from binpose_simulation.pile import Pile
from binpose_simulation.scene import PlacedView, SceneConfig, SimulatedView, place_view

SENSOR = "path_traced_stereo"


@dataclass(frozen=True)
class PathTracer:
    """A `binpose_simulation.scene.ViewRenderer`; see `PathTracedConfig`.

    Labels and viewpoints equal those of `render_view` for equal generators. The table has no holes.
    """

    config: PathTracedConfig = field(default_factory=PathTracedConfig)

    def __call__(
        self,
        pile: Pile,
        rng: np.random.Generator,
        config: SceneConfig,
        camera: Camera | None = None,
        T_cam_world: FloatArray | None = None,
        look: np.random.Generator | None = None,
    ) -> SimulatedView:
        """The view; the arguments are those of `render_view`.

        Raises:
            BinposeError: if Mitsuba is not installed.
        """
        use_variant(self.config.variant)
        rng_look, rng_sensor = rng.spawn(2)
        rng_look = rng_look if look is None else look
        seed = int(rng_look.integers(2**31)) if self.config.cell is None else self.config.cell
        cell, plain = TracedCell(seed), replace(config, breadboard_share=0.0)
        placed = place_view(pile, rng, plain, camera, T_cam_world, rng_look)
        scene = traced_scene(pile, cell, rng_look, self.config, placed.T_cam_world, placed.table)
        T_world_cam = inverse(placed.T_cam_world)
        guides = self._guides(placed, cell)
        light = traced_light(scene.load(1.0, {}), placed.camera, T_world_cam, guides, self.config, _seed(rng_sensor))
        metered = placed.surfaces.surface_ids >= 0
        color = photograph(cell.rng("camera"), self.config.photograph, light, metered, noise=rng_sensor)
        stereo = self.config.stereo
        depth_m = stereo_depth(
            scene, stereo_camera(placed.camera, T_world_cam, stereo), placed.camera,
            self._range_m(pile, placed.T_cam_world), stereo, rng_sensor, cell.rng("dots"),
        )  # fmt: skip
        return placed.with_truth(RgbdFrame(color, depth_m, placed.camera), SENSOR)

    def _guides(self, placed: PlacedView, cell: TracedCell) -> Guides:
        """Normals of the surfaces, and the colours of their materials; the table's texture is left out."""
        surfaces, groups = placed.surfaces, placed.pile.groups
        colors = np.full((len(groups) + EXTRA, 3), 0.5, np.float32)
        for number, group in enumerate(groups):
            colors[number] = material_of(group, cell, self.config)[1][:3]
        return Guides(colors[surfaces.surface_ids], surfaces.normals)

    def _range_m(self, pile: Pile, T_cam_world: FloatArray) -> tuple[float, float]:
        """The depths that the stereo camera searches: those of the bins' corners, and some more."""
        low, high = pile.bin_boxes[:, 0].min(0), pile.bin_boxes[:, 1].max(0)
        corners = np.array([[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
        depths = transform(T_cam_world, corners)[:, 2]
        nearest = max(float(depths.min()), 0.05)
        return self.config.stereo.near * nearest, self.config.stereo.far * max(float(depths.max()), nearest)


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))
