"""Images per second of the renderer, beside Open3D's RaycastingScene (Embree) on the same images.

    python benchmarks/rendering.py [--repeats 15] [--backends numba warp]

Crops: one thread each, so that a ratio is one of methods; Open3D is given its rays in the object frame, whose making
does not count. Scenes: all CPUs. There Open3D is shown both ways of drawing moved parts, and the faster is its time:
object-frame rays of each part's window, then the nearest per pixel; and a scene built anew from the moved triangles.
The methods take turns, call by call, and are compared only where they draw the same image.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import manifold3d
import numba
import numpy as np
import tyro

from binpose_core.base.errors import BinposeError
from binpose_core.base.threads import available_cpus, limit_threads
from binpose_core.frames.camera import Camera
from binpose_core.geometry.transforms import FloatArray, from_rotation_translation, inverse, random_rotation, transform
from binpose_core.meshes.mesh import Mesh
from binpose_core.parts.detail import DetailLadders
from binpose_core.parts.objects import make_object
from binpose_core.parts.symmetries import Symmetries
from binpose_core.rendering.renderer import Renderer, Rendering
from binpose_simulation.parts import make_part
from common import heading, spread, table

PART = "t_pipe"
SEED = 626_262
CAMERA = Camera(600.0, 600.0, 319.5, 239.5, 640, 480)
MARGIN = 1.2
Calls = dict[str, Callable[[], Any]]


@dataclass(frozen=True)
class Arguments:
    """repeats: of each call, after two that do not count. parts: of the scene, 0 = none. backends: of the renderer."""

    repeats: int = 15
    crops: int = 64
    parts: int = 20
    backends: tuple[str, ...] = ("numba",)


def main(arguments: Arguments) -> None:
    """Measure and print the tables."""
    limit_threads(available_cpus())
    heading("Rendering")
    print(f"{arguments.repeats} calls of each method in turns after 2 that do not count; ", end="")
    print("median (10th-90th percentile); ratio: times as fast as Open3D, of medians\n")
    rows = []
    for size_px, faces in ((128, 5000), (64, 5000), (64, 20_000)):
        numba.set_num_threads(1)
        calls = crop_calls(arguments, faces, size_px)
        what = f"{arguments.crops} crops of {size_px}x{size_px}, {faces} faces, 1 thread, images/s"
        rows += rows_of(what, measured(calls, arguments.repeats), lambda t: arguments.crops / t)
    numba.set_num_threads(available_cpus())
    if arguments.parts:
        times = measured(scene_calls(arguments), arguments.repeats)
        what = f"640x480 with {arguments.parts} parts of 5000 faces and instance ids, {available_cpus()} threads, ms"
        rows += rows_of(what, times, lambda t: 1e3 * t)
    table(["what", "method", "value", "ratio"], rows)


def rows_of(
    what: str, times: Mapping[str, np.ndarray], value: Callable[[np.ndarray], np.ndarray]
) -> list[tuple[str, str, str, str]]:
    """Rows of the table; the fastest method whose name begins with Open3D has ratio 1."""
    theirs = min((np.median(t) for name, t in times.items() if name.startswith("Open3D")), default=np.nan)
    return [(what, name, spread(value(t)), f"{theirs / np.median(t):.2f}") for name, t in times.items()]


def measured(calls: Calls, repeats: int, warm_up: int = 2) -> dict[str, np.ndarray]:
    """Seconds (repeats,) of each call, taken in turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for repeat in range(warm_up + repeats):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            if repeat >= warm_up:
                times[name].append(time.perf_counter() - began)
    return {name: np.array(values) for name, values in times.items()}


def crop_calls(arguments: Arguments, faces: int, size_px: int) -> Calls:
    """Every method's call that draws the same crops, after a check that they agree."""
    mesh = part_with_faces(faces)
    T_cam_obj, intrinsics = crop_poses(mesh, arguments.crops, size_px)
    ids = np.zeros(arguments.crops, int)
    calls: Calls = {
        name: partial(Renderer([mesh], name).crops, ids, T_cam_obj, intrinsics, size_px, size_px)
        for name in arguments.backends
    }
    ladder = DetailLadders([make_object(mesh, PART, symmetries=Symmetries.none())])
    chosen = ladder.mesh_ids(ids, T_cam_obj, intrinsics)
    if chosen.any():
        mean_faces = np.mean([len(ladder.meshes[i].faces) for i in chosen])
        coarse = partial(Renderer(ladder.meshes).crops, chosen, T_cam_obj, intrinsics, size_px, size_px)
        calls[f"numba, detail by size: {mean_faces:.0f} faces"] = coarse
    calls["Open3D"] = open3d_crops(mesh, T_cam_obj, intrinsics, size_px)
    for name in arguments.backends:
        check_alike(calls[name](), calls["Open3D"]())
    return calls


def scene_calls(arguments: Arguments) -> Calls:
    """Every method's call that draws the same scene, after a check that they agree."""
    mesh = part_with_faces(5000)
    rng = np.random.default_rng(SEED)
    places = rng.uniform([-0.2, -0.15, 0.45], [0.2, 0.15, 0.55], (arguments.parts, 3))
    T_cam_obj = from_rotation_translation(random_rotation(rng, (arguments.parts,)), places)
    ids = np.zeros(arguments.parts, int)
    calls: Calls = {name: partial(Renderer([mesh], name).scene, ids, T_cam_obj, CAMERA) for name in arguments.backends}
    calls["Open3D, rays of windows"] = open3d_windows(mesh, T_cam_obj, CAMERA)
    calls["Open3D, scene built anew"] = partial(open3d_rebuilt, mesh, T_cam_obj, camera_rays(CAMERA))
    for name in arguments.backends:
        check_alike(calls[name](), calls["Open3D, rays of windows"]())
        check_alike(calls[name](), calls["Open3D, scene built anew"]())
    return calls


def part_with_faces(count: int) -> Mesh:
    """The part with about that many faces: its own, divided where edges are longer than some length."""
    mesh = make_part(PART)
    whole = manifold3d.Manifold(manifold3d.Mesh(mesh.vertices, mesh.faces.astype(np.uint32)))
    lengths = mesh.diameter_m * np.geomspace(1e-3, 1, 200)
    fewest = bisect_left(lengths, -count, key=lambda length: -whole.refine_to_length(length).num_tri())
    cut = whole.refine_to_length(lengths[min(fewest, len(lengths) - 1)]).to_mesh()
    return Mesh(np.array(cut.vert_properties[:, :3], np.float32), np.array(cut.tri_verts, np.int32))


def crop_poses(mesh: Mesh, count: int, size_px: int) -> tuple[FloatArray, FloatArray]:
    """T_cam_obj (count, 4, 4) and intrinsics (4,) of crops that the part all but fills, as refinement draws them."""
    rng, depth_m = np.random.default_rng(SEED), 0.5
    rotation, places = random_rotation(rng, (count,)), rng.normal([0, 0, depth_m], 0.001, (count, 3))
    T_cam_obj = from_rotation_translation(rotation, places - rotation @ mesh.box_center_m)
    focal = size_px * depth_m / (MARGIN * mesh.diameter_m)
    return T_cam_obj, np.array([focal, focal, (size_px - 1) / 2, (size_px - 1) / 2])


def pixel_rays(intrinsics: FloatArray, columns: FloatArray, rows: FloatArray) -> FloatArray:
    """(len(rows), len(columns), 3) with z = 1, so that a ray's parameter is the depth."""
    fx, fy, cx, cy = intrinsics
    u, v = np.meshgrid(columns, rows)
    return np.stack([(u - cx) / fx, (v - cy) / fy, np.ones(u.shape)], -1)


def camera_rays(camera: Camera) -> Any:
    """Open3D's rays (H, W, 6) from the camera."""
    rays = pixel_rays(camera.intrinsics, np.arange(camera.width), np.arange(camera.height))
    return _tensor(np.concatenate([np.zeros_like(rays), rays], -1))


def object_rays(T_cam_obj: FloatArray, rays: FloatArray) -> Any:
    """Open3D's rays (h, w, 6) in the object frame."""
    T_obj_cam = inverse(T_cam_obj)
    turned = rays @ T_obj_cam[:3, :3].T
    return np.concatenate([np.broadcast_to(T_obj_cam[:3, 3], turned.shape), turned], -1).astype(np.float32)


def open3d_crops(mesh: Mesh, T_cam_obj: FloatArray, intrinsics: FloatArray, size_px: int) -> Callable[[], Any]:
    """The call that casts rays (B, h, w) in the object frame, on one thread; gives depth and nothing else."""
    scene = _raycasting(mesh.vertices, mesh.faces, threads=1)
    grid = pixel_rays(intrinsics, np.arange(size_px), np.arange(size_px))
    rays = _tensor(np.stack([object_rays(pose, grid) for pose in T_cam_obj]))
    return lambda: (_depth(scene.cast_rays(rays, nthreads=1)), None)


def open3d_windows(mesh: Mesh, T_cam_obj: FloatArray, camera: Camera) -> Callable[[], Any]:
    """The call that casts each part's rays in its frame within its window, and keeps the nearest per pixel."""
    scene, windows = _raycasting(mesh.vertices, mesh.faces), []
    for pose in T_cam_obj:
        pixels = camera.project(transform(pose, mesh.vertices))
        low = np.maximum(np.floor(pixels.min(0)), 0).astype(int)
        high = np.minimum(np.ceil(pixels.max(0)) + 1, (camera.width, camera.height)).astype(int)
        if (low < high).all():
            grid = pixel_rays(camera.intrinsics, np.arange(low[0], high[0]), np.arange(low[1], high[1]))
            windows.append((low, high, _tensor(object_rays(pose, grid))))

    def draw() -> tuple[FloatArray, FloatArray]:
        depth = np.full((camera.height, camera.width), np.inf, np.float32)
        instances = np.full(depth.shape, -1, np.int32)
        for n, ((u0, v0), (u1, v1), rays) in enumerate(windows):
            own, t = (slice(v0, v1), slice(u0, u1)), scene.cast_rays(rays)["t_hit"].numpy()
            closer = t < depth[own]
            depth[own][closer], instances[own][closer] = t[closer], n
        return np.where(np.isfinite(depth), depth, 0), instances

    return draw


def open3d_rebuilt(mesh: Mesh, T_cam_obj: FloatArray, rays: Any) -> tuple[FloatArray, FloatArray]:
    """One scene of all parts, made of their moved triangles."""
    import open3d

    scene = open3d.t.geometry.RaycastingScene()
    for pose in T_cam_obj:
        scene.add_triangles(_tensor(transform(pose, mesh.vertices)), _tensor(mesh.faces, np.uint32))
    hits = scene.cast_rays(rays)
    return _depth(hits), hits["geometry_ids"].numpy()


def _raycasting(vertices: FloatArray, faces: np.ndarray, threads: int = 0) -> Any:
    try:
        import open3d
    except ImportError as error:
        raise BinposeError(f"Open3D is missing ({error}); `pip install open3d-cpu`, or `make bench`.") from error
    scene = open3d.t.geometry.RaycastingScene(nthreads=threads)
    scene.add_triangles(_tensor(vertices), _tensor(faces, np.uint32))
    return scene


def _tensor(values: np.ndarray, kind: Any = np.float32) -> Any:
    import open3d

    return open3d.core.Tensor(np.ascontiguousarray(values, kind))


def _depth(hits: Any) -> FloatArray:
    t = hits["t_hit"].numpy()
    return np.where(np.isfinite(t), t, 0)


def check_alike(ours: Rendering, theirs: tuple[FloatArray, FloatArray | None]) -> None:
    """Refuse to compare methods that draw different images.

    Raises:
        BinposeError: where masks, depths or instances differ.
    """
    depth, instances = theirs
    both, either = ours.mask & (depth > 0), ours.mask | (depth > 0)
    iou = both.sum() / max(either.sum(), 1)
    off_m = np.quantile(np.abs(ours.depth_m - depth)[both], 0.99) if both.any() else np.inf
    same = True if instances is None else (ours.instance_ids == instances.astype(np.int64))[both].mean() > 0.999
    if iou < 0.999 or off_m > 1e-6 or not same:
        raise BinposeError(f"The images differ: mask IoU {iou:.5f}, depth off by {off_m:.1e} m at the 99th percentile.")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
