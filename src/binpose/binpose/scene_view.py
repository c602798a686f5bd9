"""An interactive 3D scene: estimated parts as meshes among the observed points."""

import html
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from binpose.report import Report
from binpose_core.drawing.overlays import Rgb
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import FloatArray, transform
from binpose_core.parts.catalogue import ObjectModel

MAX_POINTS = 30000
MAX_FACES = 1000


def add_scene_viewer(report: Report, scenes: Mapping[str, Sequence[dict[str, Any]]]) -> None:
    """A viewer with one tab per scene; each is a list of plotly traces from `scene_traces`.

    plotly.js is embedded once, so that the page also works offline.
    """
    from plotly.offline import get_plotlyjs

    report.add_script(get_plotlyjs())
    names = list(scenes)
    tabs = "".join(f"<button aria-pressed='false'>{html.escape(name)}</button>" for name in names)
    data = json.dumps(list(scenes.values()), separators=(",", ":")).replace("</", "<\\/")
    bar = f"<div class='tabs'>{tabs}</div>" if len(names) > 1 else ""
    report.add_html(
        f"<div class='viewer'>{bar}<div class='plot'></div><script type='application/json'>{data}</script></div>"
    )


def scene_traces(
    frame: RgbdFrame,
    poses: Sequence[PoseEstimate],
    objects: Mapping[str, ObjectModel],
    colors: Mapping[str, Rgb],
    notes: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Plotly traces of the observed points and of each estimate's mesh, millimetres, optical frame.

    Args:
        frame: the images.
        poses: the estimated parts.
        objects: by id.
        colors: by object id.
        notes: per pose, a line for the tooltip, for example its error.
    """
    traces = [] if frame.depth_m is None else [_points_trace(frame, _region(poses, objects))]
    seen: set[str] = set()
    for n, pose in enumerate(poses):
        mesh = objects[pose.object_id].lod(MAX_FACES)
        text = f"{pose.object_id}<br>score {pose.score:.2f}" + (f"<br>{notes[n]}" if n < len(notes) else "")
        vertices = 1000 * transform(pose.T_cam_obj, mesh.vertices)
        traces.append(
            {
                "type": "mesh3d",
                **dict(zip("xyz", _columns(vertices, 2), strict=True)),
                **dict(zip("ijk", mesh.faces.T.tolist(), strict=True)),
                "color": "rgb({},{},{})".format(*colors[pose.object_id]),
                "flatshading": True,
                "lighting": {"ambient": 0.55, "diffuse": 0.8, "specular": 0.15, "roughness": 0.6, "fresnel": 0.05},
                "lightposition": {"x": -30000, "y": -50000, "z": -100000},
                "name": pose.object_id,
                "legendgroup": pose.object_id,
                "showlegend": pose.object_id not in seen,
                "hovertemplate": text + "<extra></extra>",
            }
        )
        seen.add(pose.object_id)
    return traces


def _region(poses: Sequence[PoseEstimate], objects: Mapping[str, ObjectModel]) -> tuple[FloatArray, FloatArray] | None:
    """The box (low, high) in metres around the parts and their bin, None without parts."""
    if not poses:
        return None
    centers = np.array([transform(pose.T_cam_obj, objects[pose.object_id].center_m[None])[0] for pose in poses])
    margin = 0.8 * max(objects[pose.object_id].diameter_m for pose in poses)
    margin += 0.25 * float(np.ptp(centers, axis=0).max())
    return centers.min(0) - margin, centers.max(0) + margin


def _points_trace(frame: RgbdFrame, region: tuple[FloatArray, FloatArray] | None) -> dict[str, Any]:
    """The observed surface inside the region, subsampled on a regular pixel grid, in the image's colours."""
    assert frame.depth_m is not None
    points = frame.camera.backproject(frame.depth_m)
    wanted = frame.depth_m > 0
    if region is not None:
        wanted &= ((points > region[0]) & (points < region[1])).all(-1)
    step = max(1, int(np.ceil(np.sqrt(wanted.sum() / MAX_POINTS))))
    chosen = wanted[::step, ::step]
    # Images of bins are dark, and points on a dark background need more brightness than pixels.
    color = (255 * (frame.rgb[::step, ::step][chosen] / 255) ** 0.65).astype(np.uint8)
    return {
        "type": "scatter3d",
        "mode": "markers",
        **dict(zip("xyz", _columns(1000 * points[::step, ::step][chosen], 1), strict=True)),
        "marker": {"size": 1.7, "color": [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in color.tolist()]},
        "name": "observed points",
        "hoverinfo": "skip",
    }


def _columns(points: FloatArray, decimals: int) -> list[list[float]]:
    return [[round(value, decimals) for value in column] for column in points.T.tolist()]
