"""What colour is worth to render-and-compare: the roll of a round part that only its paint tells.

    python benchmarks/refinement_colors.py [--trials 24]

A can, painted in another hue all round (smooth) or in four fields (fields), alone above a floor with its true mask;
1 mm of depth noise, 5 % dropout, 4 gray levels of colour noise, and light from one side that dims it by up to half.
Starts are 10 degrees and 10 mm off and rolled at random. The same can without paint, and with a colour weight of zero,
tells what the term brings and costs.
"""

import time
from dataclasses import dataclass, replace

import numpy as np
import trimesh
import tyro

from binpose_core.base.threads import available_cpus, limit_threads
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection
from binpose_core.geometry.transforms import FloatArray, exp_so3, from_rotation_translation, random_rotation
from binpose_core.meshes.mesh import Mesh
from binpose_core.parts.catalogue import ObjectModel, make_object
from binpose_core.rendering.renderer import Renderer
from binpose_refinement.descent_config import DescentConfig
from binpose_refinement.hypothesis_batch import HypothesisBatch, PartRenderer
from binpose_refinement.observation import Observation, observe
from binpose_refinement.render_and_compare import Descent
from common import heading, spread, table
from recovery_scenes import CAMERA, DROPOUT, FLOOR_M, NOISE_M, perturbed
from scenes import TUNING_SEED

SEED = TUNING_SEED + 1
COLOR_NOISE = 4.0
AXIS = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class Arguments:
    """trials: of each paint."""

    trials: int = 24


def main(arguments: Arguments) -> None:
    """Measure and print the table."""
    limit_threads(available_cpus())
    heading("What colour is worth to render-and-compare: the roll of a painted can")
    rows = []
    for paint in ("smooth", "fields"):
        can = painted_can(paint)
        trials = [trial(can, np.random.default_rng((SEED, i))) for i in range(arguments.trials)]
        bare = replace(can, mesh=replace(can.mesh, colors=None))
        for name, model, config in (
            ("no paint on the model", bare, DescentConfig()),
            ("paint, weight 0", can, DescentConfig(color=0.0)),
            ("paint", can, DescentConfig()),
        ):
            descent = Descent(PartRenderer({"can": model}, ()), config)
            rows.append([paint, name, *measured(descent, trials)])
    table(["paint", "model", "median roll off", "under 5 degrees", "median axis and place off, mm", "ms"], rows)


def painted_can(paint: str) -> ObjectModel:
    """40 mm across and 70 mm high, in fine triangles."""
    mesh = trimesh.creation.cylinder(radius=0.02, height=0.07, sections=96).subdivide()
    angle = np.arctan2(mesh.vertices[:, 1], mesh.vertices[:, 0])
    angle = angle if paint == "smooth" else np.pi / 2 * np.floor(angle / (np.pi / 2))
    colors = 130 + 90 * np.stack([np.cos(angle), np.sin(angle), np.cos(angle + 2)], -1)
    return make_object(
        Mesh(mesh.vertices.astype(np.float32), mesh.faces.astype(np.int32), colors.astype(np.uint8)), "can"
    )


def trial(can: ObjectModel, rng: np.random.Generator) -> tuple[Observation, FloatArray, FloatArray]:
    """What was seen, the truth and the start."""
    T = from_rotation_translation(random_rotation(rng), [*rng.uniform(-0.1, 0.1, 2), rng.uniform(0.45, 0.6)])
    scene = Renderer([can.mesh]).scene(np.zeros(1, np.int64), T[None], CAMERA)
    mask = scene.depth_m > 0
    assert can.mesh.colors is not None
    paint = can.mesh.colors[can.mesh.faces].mean(1)[np.maximum(scene.face_ids, 0)]
    light = 0.75 + 0.25 * scene.normals @ np.array([np.cos(a := rng.uniform(0, 2 * np.pi)), np.sin(a), 0.0])
    color = np.where(mask[..., None], paint * light[..., None], 60) + rng.normal(0, COLOR_NOISE, (*mask.shape, 3))
    depth = np.where(mask, scene.depth_m, FLOOR_M) + rng.normal(0, NOISE_M, mask.shape)
    depth = np.where(rng.random(mask.shape) < DROPOUT, 0, depth).astype(np.float32)
    frame = RgbdFrame(np.clip(color, 0, 255).astype(np.uint8), depth, CAMERA)
    roll = from_rotation_translation(exp_so3(rng.uniform(-np.pi, np.pi) * AXIS), np.zeros(3))
    return observe(frame, [Detection.from_mask("can", 0.9, mask)], 2e-4), T, perturbed(rng, can, T, 10.0, 0.01) @ roll


def measured(descent: Descent, trials: list[tuple[Observation, FloatArray, FloatArray]]) -> list[str]:
    """A row: how far the roll is off, how often hardly, how far the can is off else, and the time."""
    rolls, places, times = [], [], []
    for seen, truth, start in trials:
        batch = HypothesisBatch(np.zeros(1, np.int64), np.zeros(1, np.int64), start[None], np.ones(1))
        for _ in range(2):  # the first one converts the colours, compiles and warms up
            began = time.process_time()
            found = descent(seen, batch).T_cam_obj[0]
        times.append(1e3 * (time.process_time() - began))
        R = truth[:3, :3].T @ found[:3, :3]
        rolls.append(np.rad2deg(abs(np.arctan2(R[1, 0] - R[0, 1], R[0, 0] + R[1, 1]))))
        ends = np.array([[0, 0, z, 1.0] for z in (-0.035, 0.035)]).T
        places.append(1e3 * np.linalg.norm(((found - truth) @ ends)[:3], axis=0).mean())
    rolls_deg = np.array(rolls)
    return [
        f"{np.median(rolls_deg):.1f} degrees", f"{np.mean(rolls_deg < 5):.0%}", f"{np.median(places):.2f}",
        spread(np.array(times)),
    ]  # fmt: skip


if __name__ == "__main__":
    main(tyro.cli(Arguments))
