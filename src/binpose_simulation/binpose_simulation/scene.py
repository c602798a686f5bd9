"""Rendered views of a pile with their ground truth."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BinposeError
from binpose_core.base.settings import FRACTION, check_bounds, setting
from binpose_core.frames.camera import Camera
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import LabelledView, PoseEstimate
from binpose_core.geometry.transforms import FloatArray
from binpose_core.parts.catalogue import ObjectModel
from binpose_core.rendering.renderer import SceneRendering
from binpose_core.rendering.silhouettes import silhouettes
from binpose_simulation import pile as piles
from binpose_simulation.appearance import AppearanceConfig, shade
from binpose_simulation.content_config import ContentConfig
from binpose_simulation.gbuffer import GBuffer, Table, gbuffer
from binpose_simulation.pile import Pile
from binpose_simulation.prepared_parts import PreparedPart
from binpose_simulation.sensor import SensorConfig
from binpose_simulation.sensor_input import SensorInput
from binpose_simulation.view_set_config import ViewSetConfig
from binpose_simulation.viewpoint import ViewpointConfig, random_camera, random_viewpoint, rounded


@dataclass(frozen=True)
class SceneConfig:
    """All random settings of a simulated view.

    views_per_pile: views of one settled pile, each with new camera, light, materials and sensor.
    breadboard_share: probability of a table with a grid of round holes.
    view_set: where one camera takes all views of a pile, which then share light and sensor; None = unrelated views.
    """

    content: ContentConfig = field(default_factory=ContentConfig)
    viewpoint: ViewpointConfig = field(default_factory=ViewpointConfig)
    appearance: AppearanceConfig = field(default_factory=AppearanceConfig)
    sensor: SensorConfig = field(default_factory=SensorConfig)
    views_per_pile: int = 4
    breadboard_share: float = setting(0.4, bounds=FRACTION)
    view_set: ViewSetConfig | None = None

    def with_view_set(self, view_set: ViewSetConfig) -> "SceneConfig":
        """The same settings with a set of views of each pile."""
        return replace(self, view_set=view_set, views_per_pile=view_set.views)

    def __post_init__(self) -> None:
        if self.views_per_pile < 1:
            raise BinposeError(f"SceneConfig.views_per_pile must be >= 1, got {self.views_per_pile}.")
        if self.view_set is not None and self.view_set.views != self.views_per_pile:
            raise BinposeError(
                f"SceneConfig with {self.views_per_pile} views per pile and a view set of {self.view_set.views}; "
                "expected the same number: use `with_view_set`."
            )
        check_bounds(self)


@dataclass(frozen=True, eq=False, kw_only=True)
class SimulatedView(LabelledView):
    """A frame and its ground truth for all parts in the image, including fully occluded ones.

    The visible fraction is relative to all pixels of the part's silhouette, including those outside of the image; the
    sensor is one of `sensor.SENSOR_KINDS`.

    visible_px: (N,) int64, pixels of the part that are visible.
    T_cam_world: (4, 4), world: z up, z = 0 the inner floor of the bin, its centre the origin.
    depth_clean_m: (H, W) float32, true depth without the sensor model, 0 = nothing in range.
    """

    visible_px: npt.NDArray[np.int64]
    T_cam_world: FloatArray
    depth_clean_m: npt.NDArray[np.float32]


def visible_truth(view: SimulatedView) -> list[PoseEstimate]:
    """The true poses in a view; their score is the visible fraction."""
    return [
        PoseEstimate(object_id, T, float(visible))
        for object_id, T, visible in zip(view.object_ids, view.T_cam_obj, view.visible_fraction, strict=True)
    ]


def simulate_pile(
    rng: np.random.Generator, objects: Mapping[str, ObjectModel] | Mapping[str, PreparedPart], config: SceneConfig
) -> Pile:
    """Draw bins and content at random and settle the parts; see `binpose_simulation.pile`."""
    return piles.simulate_pile(rng, objects, config.content)


class ViewRenderer(Protocol):
    """Renders a view of a pile as `render_view` does; another one changes colour and depth, never the labels."""

    def __call__(
        self,
        pile: Pile,
        rng: np.random.Generator,
        config: SceneConfig,
        camera: Camera | None = None,
        T_cam_world: FloatArray | None = None,
        look: np.random.Generator | None = None,
    ) -> SimulatedView:
        """The view; the arguments are those of `render_view`."""


@dataclass(frozen=True, eq=False)
class PlacedView:
    """A pile in front of a camera, before light and sensor.

    T_cam_obj: (M, 4, 4) of all bodies of the pile. rendering, surfaces: what the camera sees of them, and the table.
    """

    pile: Pile
    camera: Camera
    T_cam_world: FloatArray
    T_cam_obj: FloatArray
    table: Table
    rendering: SceneRendering
    surfaces: GBuffer

    def with_truth(self, frame: RgbdFrame, sensor: str) -> SimulatedView:
        """A frame of this view with the ground truth."""
        return _with_truth(
            self.pile, frame, self.T_cam_obj, self.T_cam_world, self.surfaces.depth_m, self.rendering.instance_ids,
            sensor,
        )  # fmt: skip


def place_view(
    pile: Pile,
    rng: np.random.Generator,
    config: SceneConfig,
    camera: Camera | None,
    T_cam_world: FloatArray | None,
    look: np.random.Generator,
) -> PlacedView:
    """Draw camera and viewpoint unless they are given, and the table; render which surface each pixel shows."""
    camera = camera or random_camera(rng, config.viewpoint)
    T_cam_world = _viewpoint(pile, rng, config, camera) if T_cam_world is None else T_cam_world
    T_cam_obj = rounded(T_cam_world @ pile.T_world_obj)
    table = _random_table(pile, look, config)
    rendering = pile.renderer.scene(pile.mesh_ids, T_cam_obj, camera)
    surfaces = gbuffer(rendering, pile.smooth, pile.mesh_ids, T_cam_obj, camera, T_cam_world, table)
    return PlacedView(pile, camera, T_cam_world, T_cam_obj, table, rendering, surfaces)


def render_view(
    pile: Pile,
    rng: np.random.Generator,
    config: SceneConfig,
    camera: Camera | None = None,
    T_cam_world: FloatArray | None = None,
    look: np.random.Generator | None = None,
) -> SimulatedView:
    """One view of a pile with new lights, materials and sensor; camera and viewpoint are random unless given.

    Appearance and sensor have separate random generators: another kind of sensor changes nothing else. With equal
    generators `look`, views of one pile show the same materials, lights and table.
    """
    rng_look, rng_sensor = rng.spawn(2)
    rng_look = rng_look if look is None else look
    placed = place_view(pile, rng, config, camera, T_cam_world, rng_look)
    surfaces, camera, T_cam_world = placed.surfaces, placed.camera, placed.T_cam_world
    kind, sensor = config.sensor.draw(rng_sensor)
    projector_m = rounded(sensor.optics.projector_m(T_cam_world))
    shading = shade(rng_look, config.appearance, pile, surfaces, camera, T_cam_world, projector_m, placed.table)
    scene = SensorInput(
        surfaces.depth_m, surfaces.normals, camera, shading.signal, shading.stray, shading.projector_lit,
        placed.rendering.instance_ids >= 0,
    )  # fmt: skip
    return placed.with_truth(RgbdFrame(shading.color, sensor.apply(rng_sensor, scene), camera), kind)


def _viewpoint(pile: Pile, rng: np.random.Generator, config: SceneConfig, camera: Camera) -> FloatArray:
    low, high = pile.bin_boxes[rng.integers(len(pile.bin_boxes))]
    target = np.array([*(low + high)[:2] / 2, 0.3 * high[2]])
    # if all parts fell beside the bin, the viewpoint aims at where they would lie
    typical_m = float(np.median(pile.diameters_m)) if len(pile.diameters_m) else float((high - low)[:2].min() / 4)
    return random_viewpoint(rng, config.viewpoint, camera, target, (high - low)[:2] / 2, typical_m, high[2])


def _random_table(pile: Pile, rng: np.random.Generator, config: SceneConfig) -> Table:
    low, high = pile.bin_boxes[:, 0].min(0), pile.bin_boxes[:, 1].max(0)
    margin = rng.exponential(0.5, 2) + 0.02
    radius = rng.uniform(0.002, 0.011) if rng.random() < config.breadboard_share else 0.0
    return Table(
        z_m=float(low[2]),
        center_m=tuple(((low + high) / 2)[:2] + rng.uniform(-1, 1, 2) * margin * 0.8),
        half_size_m=tuple((high - low)[:2] / 2 + margin),
        floor_z_m=float(low[2] - rng.uniform(0.2, 1.0)),
        hole_pitch_m=float(radius * rng.uniform(2.6, 7.0)) or 0.025,
        hole_radius_m=float(radius),
        hole_depth_m=float(rng.uniform(0.3, 4.0) * radius),
    )


def _with_truth(
    pile: Pile,
    frame: RgbdFrame,
    T_cam_obj: FloatArray,
    T_cam_world: FloatArray,
    depth_clean_m: npt.NDArray[np.float32],
    instance_ids: npt.NDArray[np.int32],
    sensor: str,
) -> SimulatedView:
    number = len(pile.object_ids)
    whole = silhouettes(pile.renderer, pile.mesh_ids[:number].tolist(), T_cam_obj[:number], frame.camera)
    visible = np.bincount(instance_ids[instance_ids >= 0].ravel(), minlength=number)[:number]
    image = np.ones(instance_ids.shape, bool)
    kept = np.array([i for i in range(number) if whole[i].count(image)], np.int64)
    renumbered = np.full(len(pile.mesh_ids) + 1, -1, np.int16)
    renumbered[kept] = np.arange(len(kept))
    return SimulatedView(
        frame=frame,
        object_ids=tuple(pile.object_ids[i] for i in kept),
        T_cam_obj=T_cam_obj[kept],
        instance_ids=renumbered[instance_ids],
        visible_fraction=np.array([whole[i].visible_fraction(int(visible[i])) for i in kept], np.float64),
        visible_px=visible[kept],
        T_cam_world=T_cam_world,
        depth_clean_m=depth_clean_m,
        sensor=sensor,
    )
