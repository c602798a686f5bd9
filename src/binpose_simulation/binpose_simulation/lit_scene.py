"""A pile with its materials, lamps and environment, and the light that reaches a camera."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binpose_core.frames.camera import Camera
from binpose_core.geometry.transforms import FloatArray, inverse
from binpose_simulation.gbuffer import GBuffer
from binpose_simulation.lighting import Lamp
from binpose_simulation.pile import Pile
from binpose_simulation.shading import reflect_light

FloatImage = npt.NDArray[np.float32]
EXTRA = 3  # rows for FLOOR, TABLE, NOTHING at the end of the material tables


@dataclass(frozen=True, eq=False)
class Light:
    """Linear light that reaches the camera, before exposure.

    color: (H, W, 3) float32, linear. signal: (H, W) float32, the projector's light, 1 = a white wall facing it.
    mirror: (H, W) float32, weight of the scene's reflection in the pixel.
    """

    color: FloatImage
    signal: FloatImage
    mirror: FloatImage


@dataclass(frozen=True, eq=False)
class LitScene:
    """A pile of M bodies with lights and materials.

    materials: (M + EXTRA, 2, materials.COLUMNS), bodies: (M + EXTRA, materials.BODY_COLUMNS) rows of all bodies, floor,
    table, nothing. lamps: the depth sensor's projector first. environment: (LEVELS, S, S, 3) light from the world's
    directions. texture: (h, w, 3) of the table, with texture_per_m pixels per metre.
    """

    pile: Pile
    materials: npt.NDArray[np.float32]
    bodies: npt.NDArray[np.float32]
    lamps: Sequence[Lamp]
    environment: npt.NDArray[np.float32]
    texture: npt.NDArray[np.float32]
    texture_per_m: float

    def seen(
        self,
        surfaces: GBuffer,
        camera: Camera,
        T_cam_world: FloatArray,
        shadows: FloatImage,
        open_sky: FloatImage,
        members: npt.NDArray[np.integer] | None = None,
    ) -> Light:
        """The light from visible surfaces.

        Args:
            surfaces: geometry buffer; its instances are indices into `members`.
            camera: of the surfaces.
            T_cam_world: (4, 4); a reflection renders the mirrored scene.
            shadows: (L, H, W) fraction of each lamp's light that reaches the surface.
            open_sky: (H, W) fraction of the ambient light that reaches the surface.
            members: indices of the pile's bodies, all by default.
        """
        members = np.arange(len(self.pile.mesh_ids)) if members is None else members
        rows = np.concatenate([members, np.arange(-EXTRA, 0)])
        T_world_obj = np.concatenate([self.pile.T_world_obj[members], np.repeat(np.eye(4)[None], EXTRA, 0)])
        T_cam_obj = T_cam_world @ T_world_obj
        points = np.array([T_cam_world[:3, :3] @ lamp.position_m + T_cam_world[:3, 3] for lamp in self.lamps])
        extents = np.array([(lamp.reach_m, lamp.size_rad) for lamp in self.lamps])
        light = Light(*(np.zeros((*surfaces.depth_m.shape, *more), np.float32) for more in ((3,), (), ())))
        reflect_light(
            surfaces.depth_m, surfaces.surface_ids, surfaces.normals, surfaces.coordinates,
            T_cam_obj.astype(np.float32), self.materials[rows], self.bodies[rows], self.environment,
            inverse(T_cam_world)[None, :3, :3].astype(np.float32),
            np.concatenate([points, extents], 1).astype(np.float32),
            np.array([lamp.rgb for lamp in self.lamps], np.float32), shadows, open_sky, self.texture,
            self.texture_per_m, camera.intrinsics.astype(np.float32), light.color, light.signal, light.mirror,
        )  # fmt: skip
        return light
