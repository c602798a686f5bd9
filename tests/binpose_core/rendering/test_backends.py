"""Every backend that runs here draws what the readable one draws."""

import sys
from types import ModuleType

import numpy as np
import pytest
import trimesh

from binpose_core.base.errors import BinposeError
from binpose_core.frames.camera import Camera
from binpose_core.geometry.transforms import from_rotation_translation, random_rotation, transform
from binpose_core.meshes.mesh import Mesh, signed_volumes
from binpose_core.rendering.backends import BACKENDS, backend_for, make_backend
from binpose_core.rendering.numba_backend import LEAST_STRIP_PX, STRIPS_PER_THREAD, strips_of_rows
from binpose_core.rendering.packed_meshes import PackedMeshes
from binpose_core.rendering.renderer import NEAR_M, Renderer, Rendering

HEIGHT, WIDTH = 40, 48
INTRINSICS = np.array([60.0, 57.0, 23.3, 20.7])


def as_mesh(mesh: trimesh.Trimesh) -> Mesh:
    return Mesh(np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.int32))


def torus(around: int, across: int) -> Mesh:
    return as_mesh(trimesh.creation.torus(0.04, 0.012, major_sections=around, minor_sections=across))


BOX = as_mesh(trimesh.creation.box((0.08, 0.05, 0.03)))  # 12 faces
TORUS = torus(24, 12)
TUBE = as_mesh(trimesh.creation.cylinder(0.03, 0.08, sections=24))
MESHES = {
    "box": BOX,
    "torus": TORUS,
    "sphere": as_mesh(trimesh.creation.icosphere(subdivisions=4, radius=0.05)),  # 5120 faces
    "open": Mesh(TUBE.vertices, TUBE.faces[np.arange(len(TUBE.faces)) % 3 > 0]),
    "either winding": Mesh(
        TORUS.vertices, np.where(np.arange(len(TORUS.faces))[:, None] % 2, TORUS.faces[:, ::-1], TORUS.faces)
    ),
    "degenerate": Mesh(
        np.vstack([BOX.vertices, [[0, 0, 0.1], [0, 0, 0.2], [0, 0, 0.3]]]).astype(np.float32),
        np.vstack([[[0, 0, 0], [1, 1, 2], [8, 9, 10]], BOX.faces]).astype(np.int32),
    ),
}
PLACES = {
    "inside": [0.0, 0.0, 0.22],
    "across the border": [0.07, -0.04, 0.2],
    "across every border": [0.0, 0.0, 0.08],
    "through the near plane": [0.005, 0.0, 0.03],
    "around the camera": [0.0, 0.01, 0.0],
    "far away": [0.3, 0.2, 2.0],
}


@pytest.fixture(scope="module", params=[name for name in BACKENDS if name != "reference"])
def backend(request: pytest.FixtureRequest) -> str:
    try:
        make_backend(request.param, PackedMeshes([]))
    except BinposeError as error:
        pytest.skip(str(error))
    return request.param


def inside_out(mesh: Mesh) -> Mesh:
    return Mesh(mesh.vertices, np.ascontiguousarray(mesh.faces[:, ::-1]))


def joined(*meshes: Mesh) -> Mesh:
    starts = np.cumsum([0, *(len(m.vertices) for m in meshes)])
    faces = [m.faces + start for m, start in zip(meshes, starts, strict=False)]
    return Mesh(np.concatenate([m.vertices for m in meshes]), np.concatenate(faces).astype(np.int32))


def shifted(mesh: Mesh, *by_m: float) -> Mesh:
    return Mesh(mesh.vertices + np.array(by_m, np.float32), mesh.faces)


def poses(place: list[float], count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return from_rotation_translation(random_rotation(rng, (count,)), place + rng.normal(0, 0.004, (count, 3)))


def assert_same(drawn: Rendering, expected: Rendering) -> None:
    """Alike but for the rounding of pixels on the rim of a surface."""
    both, either = drawn.mask & expected.mask, drawn.mask | expected.mask
    assert both.sum() >= 0.999 * either.sum()
    assert (drawn.mask == (drawn.depth_m > 0)).all() and (drawn.mask == (drawn.instance_ids >= 0)).all()
    if both.any():
        assert np.quantile(np.abs(drawn.depth_m - expected.depth_m)[both], 0.99) < 1e-6
        assert (drawn.instance_ids == expected.instance_ids)[both].mean() > 0.999
        assert (drawn.face_ids == expected.face_ids)[both].mean() > 0.99


def assert_crops_alike(
    backend: str, meshes: list[Mesh], ids: np.ndarray, T_cam_obj: np.ndarray, size: tuple[int, int], camera: np.ndarray
) -> Rendering:
    """The rendering, after the comparison with that of the reference."""
    drawn, expected = (Renderer(meshes, name).crops(ids, T_cam_obj, camera, *size) for name in (backend, "reference"))
    assert_same(drawn, expected)
    return drawn


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", MESHES)
def test_draws_what_the_reference_draws(backend: str, name: str, place: str) -> None:
    mesh = MESHES[name]
    count = 1 if len(mesh.faces) > 1000 else 5
    T_cam_obj = poses(PLACES[place], count, seed=len(name) + len(place))
    drawn = assert_crops_alike(backend, [mesh], np.zeros(count, int), T_cam_obj, (HEIGHT, WIDTH), INTRINSICS)
    if place == "inside":
        assert drawn.mask.any(axis=(1, 2)).all()


def bow_tie() -> Mesh:
    """Two pyramids over an outline that cuts through itself: the smaller lobe is inside out, the volume positive."""
    outline = [[0.03, -0.03, 0], [-0.015, 0.015, 0], [-0.015, -0.015, 0], [0.03, 0.03, 0]]
    vertices = np.array([*outline, [0.01, 0, 0.02], [0.01, 0, -0.02]], np.float32)
    sides = [(0, 1), (1, 2), (2, 3), (3, 0)]
    faces = np.array([face for i, j in sides for face in ([j, i, 4], [i, j, 5])], np.int32)
    assert signed_volumes(vertices, faces).sum() > 0
    return Mesh(vertices, faces)


@pytest.mark.parametrize(
    "mesh",
    [
        bow_tie(),
        inside_out(bow_tie()),
        inside_out(TORUS),
        joined(TORUS, inside_out(shifted(BOX, 0.05, 0, 0.02))),  # a body of the wrong winding beside a right one
        joined(BOX, shifted(TORUS, 0.02, 0, 0)),  # two bodies through each other
        joined(BOX, inside_out(Mesh(BOX.vertices / 2, BOX.faces))),  # a hollow
    ],
    ids=["bow tie", "bow tie inside out", "inside out", "one of two inside out", "through each other", "hollow"],
)
def test_backs_that_can_be_seen_are_drawn(backend: str, mesh: Mesh) -> None:
    T_cam_obj = np.concatenate([poses(PLACES["inside"], 4, seed=1), poses(PLACES["around the camera"], 4, seed=2)])
    drawn = assert_crops_alike(backend, [mesh], np.zeros(8, int), T_cam_obj, (HEIGHT, WIDTH), INTRINSICS)
    assert drawn.mask[:4].any(axis=(1, 2)).all()


@pytest.mark.parametrize("mirror", [[-1, 1, 1, 1], [1, -1, 1, 1], [-1, -1, 1, 1]])
def test_a_mirrored_image_shows_the_same_side(backend: str, mirror: list[int]) -> None:
    T_cam_obj = poses(PLACES["inside"], 4, seed=3)
    drawn = assert_crops_alike(backend, [TORUS], np.zeros(4, int), T_cam_obj, (HEIGHT, WIDTH), INTRINSICS * mirror)
    assert drawn.mask.any(axis=(1, 2)).all()
    left_handed = T_cam_obj @ np.diag([1.0, 1.0, -1.0, 1.0])
    assert_crops_alike(backend, [TUBE], np.zeros(4, int), left_handed, (HEIGHT, WIDTH), INTRINSICS)


@pytest.mark.parametrize("place", ["inside", "across the border", "a tube cut open by the near plane"])
def test_a_hundred_thousand_faces(backend: str, place: str) -> None:
    """Most are smaller than a pixel; in the last place, faces that cross the near plane are seen."""
    mesh, tube = torus(250, 200), [0.0, 0.04, 0.03]
    assert len(mesh.faces) == 100_000
    T_cam_obj = poses(PLACES.get(place, tube), 1, seed=3)
    drawn = assert_crops_alike(backend, [mesh], np.zeros(1, int), T_cam_obj, (20, 24), INTRINSICS / 2)
    assert drawn.mask.sum() > 50
    inner = drawn.mask[0, 1:-1, 1:-1].sum()
    assert (drawn.mask.sum() > inner) == (place != "inside")
    z_m = transform(T_cam_obj[0], mesh.vertices)[mesh.faces[drawn.face_ids[drawn.mask]], 2]
    assert ((z_m < NEAR_M).any(1) & (z_m > NEAR_M).any(1)).any() == (place not in PLACES), (
        "faces that cross it are seen"
    )


def test_triangles_larger_and_smaller_than_a_stretch_of_pixels(backend: str) -> None:
    """From slivers of a part of a pixel to triangles over the whole image, each alone, at all places."""
    rng = np.random.default_rng(11)
    size = np.geomspace(0.001, 5, 60)[:, None, None]
    corners = rng.normal(0, 0.1, (60, 1, 3)) + size * rng.normal(0, 0.1, (60, 3, 3)) + [0, 0, 0.4]
    meshes = [Mesh(c.astype(np.float32), np.array([[0, 1, 2]], np.int32)) for c in corners]
    T_cam_obj = np.repeat(np.eye(4)[None], 60, axis=0)
    drawn = assert_crops_alike(backend, meshes, np.arange(60), T_cam_obj, (HEIGHT, WIDTH), INTRINSICS)
    assert drawn.mask.sum() > 1000


def test_many_meshes_cameras_and_images(backend: str) -> None:
    """More images than threads, each with its own mesh and camera."""
    rng = np.random.default_rng(4)
    ids = rng.integers(0, 3, 40)
    cameras = INTRINSICS * [1, 1, 0.6, 0.5] + rng.normal(0, 3, (40, 4))
    T_cam_obj = poses(PLACES["inside"], 40, seed=5)
    assert_crops_alike(backend, [BOX, TORUS, MESHES["open"]], ids, T_cam_obj, (17, 31), cameras)


@pytest.mark.parametrize("count", [1, 2, 12])
def test_a_scene_with_instances(backend: str, count: int) -> None:
    """Parts through and before each other, behind the camera, across the border and the near plane."""
    rng = np.random.default_rng(count)
    ids, places = rng.integers(0, 3, count), rng.normal([0, 0, 0.25], [0.06, 0.05, 0.04], (count, 3))
    if count >= 5:
        places[2:5] = [[0, 0, -0.2], [0.1, 0, 0.2], [0.03, 0.02, 0.02]]
    T_cam_obj, camera = from_rotation_translation(random_rotation(rng, (count,)), places), Camera(*INTRINSICS, 48, 73)
    meshes = [BOX, TORUS, MESHES["open"]]
    drawn, expected = (Renderer(meshes, name).scene(ids, T_cam_obj, camera) for name in (backend, "reference"))
    assert_same(drawn, expected)
    assert len(np.unique(drawn.instance_ids)) >= min(count, 5)


def test_a_pose_that_is_no_number_draws_nothing(backend: str) -> None:
    """And leaves its neighbours alone."""
    T_cam_obj = poses(PLACES["inside"], 4, seed=6)
    T_cam_obj[1, 0, 0], T_cam_obj[2, 2, 3] = np.nan, np.inf
    drawn = Renderer([TORUS], backend).crops(np.zeros(4, int), T_cam_obj, INTRINSICS, HEIGHT, WIDTH)
    assert drawn.mask.any(axis=(1, 2)).tolist() == [True, False, False, True]
    scene = Renderer([TORUS], backend).scene(np.zeros(4, int), T_cam_obj, Camera(*INTRINSICS, WIDTH, HEIGHT))
    assert set(np.unique(scene.instance_ids)) <= {-1, 0, 3} and np.isfinite(scene.depth_m).all()


def test_nothing_to_draw(backend: str) -> None:
    none, no_poses = np.zeros(0, int), np.zeros((0, 4, 4))
    empty = Mesh(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32))
    for meshes in ([], [BOX], [empty]):
        renderer = Renderer(meshes, backend)
        assert renderer.crops(none, no_poses, INTRINSICS, 4, 5).depth_m.shape == (0, 4, 5)
        assert not renderer.scene(none, no_poses, Camera(*INTRINSICS, 5, 4)).mask.any()
    assert not renderer.crops(np.zeros(1, int), poses([0, 0, 1], 1, 0), INTRINSICS, 4, 5).mask.any()


def test_the_nearest_in_the_list_shows_where_two_are_equally_near(backend: str) -> None:
    T_cam_obj = np.repeat(poses(PLACES["inside"], 1, seed=8), 3, axis=0)
    scene = Renderer([BOX], backend).scene(np.zeros(3, int), T_cam_obj, Camera(*INTRINSICS, WIDTH, HEIGHT))
    assert set(np.unique(scene.instance_ids)) == {-1, 0}


def test_few_large_images_are_cut_into_strips_and_many_are_not() -> None:
    assert strips_of_rows(64, 128, 2) is None and strips_of_rows(1, 480, 1) is None
    assert strips_of_rows(1, 30, 2) is None
    for threads in (2, 3, 16, 31, 64, 200):
        for height in (32, 100, 480, 2048):
            groups, strips = strips_of_rows(1, height, threads)
            assert groups * strips <= height // LEAST_STRIP_PX
            assert groups * strips >= min(threads, height // LEAST_STRIP_PX), "every thread has work, or none is left"
            assert groups <= threads and strips <= STRIPS_PER_THREAD


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(BinposeError, match="No rendering backend 'opengl'; known: numba, reference"):
        Renderer([BOX], "opengl")


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, "warp", "binpose_core.no_such_module:Backend")
    with pytest.raises(BinposeError, match=r"'warp' needs warp-lang, which `pip install 'binpose\[gpu\]'` brings"):
        Renderer([BOX], "warp")


def test_a_device_for_a_backend_without_one_is_refused() -> None:
    with pytest.raises(BinposeError, match=r"'numba:cuda' has a device; numba draws on the CPU"):
        Renderer([BOX], "numba:cuda")


def test_networks_on_a_gpu_are_drawn_for_by_warp_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "warp", ModuleType("warp"))
    assert [backend_for(device) for device in ("cpu", "cuda", "cuda:1")] == ["numba", "warp:cuda", "warp:cuda:1"]
    monkeypatch.setitem(sys.modules, "warp", None)  # as Python notes a module that is not there
    assert [backend_for(device) for device in ("cpu", "cuda", "cuda:1")] == ["numba"] * 3
