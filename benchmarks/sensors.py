"""Properties of the simulated depth sensors, in comparison with real frames.

    python benchmarks/sensors.py [--real ../shared/data/pipes_d435] [--frames 24] [--out runs/sensors]

With a data set, the bins contain its parts and have its camera, otherwise those of `--model`. Figures are measured in
the same way on both, without ground truth: see `depth_figures`.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import tyro

from binpose_core.datasets.bop import BopDataset
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.meshes.mesh_files import load_mesh
from binpose_core.parts.catalogue import ObjectModel, make_object
from binpose_pipeline.bundle import load_bundle
from binpose_simulation.content_config import ContentConfig
from binpose_simulation.pile import Pile
from binpose_simulation.prepared_parts import as_prepared
from binpose_simulation.scene import SceneConfig, SimulatedView, render_view, simulate_pile
from binpose_simulation.sensor import SENSOR_KINDS, SensorConfig
from binpose_simulation.viewpoint import ViewpointConfig
from common import heading, table
from depth_figures import DepthFigures, hull, measure

SEED = 313_131
MARGIN = 0.02
"""Margin of the region of a simulated frame around the bin's rim: recordings are cropped to a bin too."""


@dataclass(frozen=True)
class Arguments:
    """real: a data set with depth. frames: simulated per kind; views: of each pile. out: folder for images."""

    model: str = "demo"
    real: Path | None = None
    frames: int = 24
    views: int = 3
    out: Path | None = None


def main(arguments: Arguments) -> None:
    """Measure and print the table."""
    heading("Depth sensors: simulated bins" + (f" and {arguments.real}" if arguments.real else ""))
    recorded = real_frames(arguments.real) if arguments.real else []
    objects = real_objects(arguments.real) if arguments.real else load_bundle(arguments.model).objects
    config = _scene(recorded)
    parts = as_prepared(objects, config.content)
    number = -(-arguments.frames // arguments.views)
    piles = [simulate_pile(np.random.default_rng([SEED, 0, i]), parts, config) for i in range(number)]
    rows = []
    if recorded:
        regions = [hull(frame.depth_m > 0) for frame in recorded]
        each = [measure([frame], [region]) for frame, region in zip(recorded, regions, strict=True)]
        rows.append(_row("**recorded**", measure(recorded, regions), each))
        _show(arguments.out, "recorded", recorded, regions)
    for kind in SENSOR_KINDS:
        views = _views(piles, replace(config, sensor=SensorConfig.only(kind)), arguments.views, recorded)
        frames = [view.frame for view in views]
        regions = [_region(pile, view) for pile, view in zip(np.repeat(piles, arguments.views), views, strict=True)]
        each = [measure([frame], [region]) for frame, region in zip(frames, regions, strict=True)]
        rows.append(_row(kind, measure(frames, regions), each))
        _show(arguments.out, kind, frames, regions)
    header = ["sensor", "distance, m", "noise, mm", "noise, px of b = 50 mm", "correlation, px", "edge, px"]
    table([*header, "edges <= 2 px", "holes", "hole, px", "step, mm"], rows)
    print("In brackets the 10th to the 90th percentile of single frames.")


def real_frames(root: Path) -> list[RgbdFrame]:
    """All frames with depth of a data set."""
    data = BopDataset(root)
    frames = [frame.read() for split in data.splits() for frame in data.frames(split)]
    return [frame for frame in frames if frame.depth_m is not None]


def real_objects(root: Path) -> dict[str, ObjectModel]:
    """The parts of a data set."""
    models = BopDataset(root).models.values()
    return {
        model.object_id: make_object(load_mesh(model.path, "mm"), model.object_id, model.obj_id) for model in models
    }


def _scene(recorded: list[RgbdFrame]) -> SceneConfig:
    """Settings of mixed bins, at the distances of the recording if there is one."""
    content = ContentConfig(parts=(8, 16), row_share=0.0, distractor_share=0.0)
    if not recorded:
        return SceneConfig(content=content)
    medians = [float(np.median(frame.depth_m[frame.depth_m > 0])) for frame in recorded]
    near, far = min(medians), max(medians)
    gsd_m = near / recorded[0].camera.fx, far / recorded[0].camera.fx
    viewpoint = ViewpointConfig(gsd_m=gsd_m, tilt_rad=0.3, steep_share=0.0, aim=0.2)
    return SceneConfig(content=content, viewpoint=viewpoint)


def _views(piles: list[Pile], config: SceneConfig, number: int, recorded: list[RgbdFrame]) -> list[SimulatedView]:
    cameras = [replace(frame.camera, distortion=()) for frame in recorded] or [None]
    return [
        render_view(pile, np.random.default_rng([SEED, 1, i, k]), config, cameras[i % len(cameras)])
        for i, pile in enumerate(piles)
        for k in range(number)
    ]


def _region(pile: Pile, view: SimulatedView) -> np.ndarray:
    """(H, W) the bin's outline in the image."""
    low, high = pile.bin_boxes[0, 0] - MARGIN, pile.bin_boxes[0, 1] + MARGIN
    corners = np.array([[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (0.0, high[2])])
    pixels = view.frame.camera.project(corners @ view.T_cam_world[:3, :3].T + view.T_cam_world[:3, 3])
    filled = np.zeros(view.depth_clean_m.shape, np.uint8)
    cv2.fillConvexPoly(filled, cv2.convexHull(pixels.round().astype(np.int32)), 1)
    return filled.astype(bool)


def _row(name: str, all_frames: DepthFigures, each: list[DepthFigures]) -> list[str]:
    def spread(attribute: str, unit: float, digits: int) -> str:
        values = np.array([getattr(figures, attribute) for figures in each]) / unit
        low, high = np.nanpercentile(values, [10, 90])
        return f"{getattr(all_frames, attribute) / unit:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"

    return [
        name,
        spread("distance_m", 1, 2),
        spread("noise_m", 1e-3, 2),
        spread("noise_px", 1, 3),
        spread("correlation_px", 1, 1),
        spread("edge_px", 1, 1),
        spread("sharp", 0.01, 0) + " %",
        spread("holes", 0.01, 0) + " %",
        spread("hole_px", 1, 1),
        spread("step_m", 1e-3, 2),
    ]


def _show(out: Path | None, name: str, frames: list[RgbdFrame], regions: list[np.ndarray]) -> None:
    """Six depth images side by side, in false colours from near to far, with black holes."""
    if out is None:
        return
    out.mkdir(parents=True, exist_ok=True)
    tiles = []
    for frame, region in list(zip(frames, regions, strict=True))[:: max(len(frames) // 6, 1)][:6]:
        depth = np.where(region, frame.depth_m, 0)
        low, high = np.percentile(depth[depth > 0], [1, 99])
        shade = (np.clip((depth - low) / (high - low), 0, 1) * 255).astype(np.uint8)
        tile = cv2.applyColorMap(shade, cv2.COLORMAP_TURBO)
        tile[depth == 0] = 0
        rows, columns = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
        tile = tile[rows[0] : rows[-1], columns[0] : columns[-1]]
        tiles.append(cv2.resize(tile, (480, 400), interpolation=cv2.INTER_NEAREST))
    cv2.imwrite(str(out / f"{name}.png"), np.vstack([np.hstack(tiles[i : i + 3]) for i in range(0, len(tiles) - 2, 3)]))


if __name__ == "__main__":
    main(tyro.cli(Arguments))
