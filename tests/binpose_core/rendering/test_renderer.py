"""What a rendering holds, and what is refused. tests/binpose_core/rendering/test_backends.py compares what is drawn."""

import numpy as np
import pytest
import trimesh

from binpose_core.base.errors import BinposeError
from binpose_core.frames.camera import Camera
from binpose_core.geometry.transforms import exp_so3, from_rotation_translation, random_rotation, transform
from binpose_core.meshes.mesh import Mesh
from binpose_core.rendering.renderer import GRAY, Renderer

HEIGHT, WIDTH = 40, 48
INTRINSICS = np.array([60.0, 57.0, 23.3, 20.7])


def as_mesh(mesh: trimesh.Trimesh) -> Mesh:
    return Mesh(np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.int32))


def without_faces(mesh: Mesh, kept: np.ndarray) -> Mesh:
    return Mesh(mesh.vertices, mesh.faces[kept])


BOX = as_mesh(trimesh.creation.box((0.08, 0.05, 0.03)))
TORUS = as_mesh(trimesh.creation.torus(0.04, 0.012, major_sections=24, minor_sections=12))
SPHERE = as_mesh(trimesh.creation.icosphere(subdivisions=4, radius=0.05))  # 5120 faces
OPEN = without_faces(as_mesh(trimesh.creation.cylinder(0.03, 0.08, sections=24)), np.arange(0, 96, 3) % 96)
FLIPPED = Mesh(TORUS.vertices, np.where(np.arange(len(TORUS.faces))[:, None] % 2, TORUS.faces[:, ::-1], TORUS.faces))
INSIDE = [0.0, 0.0, 0.22]


def poses(place: list[float], count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return from_rotation_translation(random_rotation(rng, (count,)), place + rng.normal(0, 0.004, (count, 3)))


def test_nothing_behind_the_camera_is_drawn() -> None:
    T_cam_obj = poses([0.0, 0.0, -0.2], 4, seed=1)
    rendering = Renderer([BOX]).crops(np.zeros(4, int), T_cam_obj, INTRINSICS, HEIGHT, WIDTH)
    assert not rendering.mask.any() and not rendering.depth_m.any()


def test_nothing_is_drawn_nearer_than_the_near_plane() -> None:
    T_cam_obj = poses([0.0, 0.0, 0.05], 6, seed=2)
    rendering = Renderer([SPHERE]).crops(np.zeros(6, int), T_cam_obj, INTRINSICS, HEIGHT, WIDTH, near_m=0.03)
    assert rendering.depth_m[rendering.mask].min() >= 0.03 - 1e-7


def test_the_winding_does_not_matter() -> None:
    T_cam_obj = poses(INSIDE, 3, seed=3)
    renderer = Renderer([TORUS, FLIPPED])
    one, other = (renderer.crops(np.full(3, i), T_cam_obj, INTRINSICS, HEIGHT, WIDTH).depth_m for i in (0, 1))
    np.testing.assert_allclose(one, other, atol=1e-7)


def test_a_face_seen_from_its_edge_stays_within_its_own_depths(rng: np.random.Generator) -> None:
    """A plane through the camera's centre projects onto a line; pixels on it can have no depth beyond the face's."""
    count, intrinsics = 1000, np.array([60.0, 60.0, 24.0, 20.0])
    pixels = rng.integers(0, HEIGHT, (count, 2, 2))
    rays = np.concatenate([(pixels - intrinsics[2:]) / intrinsics[:2], np.ones((count, 2, 1))], -1)
    share, depths = rng.uniform(0, 1, (count, 3, 1)), rng.uniform(0.1, 2, (count, 3, 1))
    corners = (share * rays[:, :1] + (1 - share) * rays[:, 1:]) * depths
    renderer = Renderer([Mesh(triangle, np.array([[0, 1, 2]], np.int32)) for triangle in corners])
    poses_at_origin = np.repeat(np.eye(4)[None], count, axis=0)
    drawn = renderer.crops(np.arange(count), poses_at_origin, intrinsics, HEIGHT, WIDTH).depth_m
    low, high = depths.min(1)[..., None], depths.max(1)[..., None]
    assert ((drawn == 0) | ((drawn > 0.999 * low) & (drawn < 1.001 * high))).all()


@pytest.fixture(scope="module")
def pile() -> tuple[Renderer, np.ndarray, np.ndarray, Camera]:
    """Eight parts through and before each other, one of them behind the camera, one across the border."""
    rng = np.random.default_rng(5)
    mesh_ids = np.array([0, 1, 2, 0, 1, 2, 1, 0])
    places = rng.normal([0, 0, 0.25], 0.03, (8, 3))
    places[6], places[7] = [0, 0, -0.2], [0.1, 0, 0.2]
    camera = Camera(*INTRINSICS, WIDTH, HEIGHT)
    T_cam_obj = from_rotation_translation(random_rotation(rng, (8,)), places)
    return Renderer([BOX, TORUS, OPEN]), mesh_ids, T_cam_obj, camera


def test_a_scene_is_the_nearest_of_its_instances(pile) -> None:
    renderer, mesh_ids, T_cam_obj, camera = pile
    scene = renderer.scene(mesh_ids, T_cam_obj, camera)
    alone = renderer.crops(mesh_ids, T_cam_obj, camera.intrinsics, HEIGHT, WIDTH)
    depths = np.where(alone.mask, alone.depth_m, np.inf)
    nearest = depths.argmin(0)
    visible = alone.mask.any(0)
    np.testing.assert_array_equal(scene.depth_m, np.where(visible, depths.min(0), 0))
    np.testing.assert_array_equal(scene.instance_ids, np.where(visible, nearest, -1))
    faces = np.take_along_axis(alone.face_ids, nearest[None], 0)[0]
    np.testing.assert_array_equal(scene.face_ids, np.where(visible, faces, -1))
    assert len(np.unique(scene.instance_ids)) > 5 and 6 not in scene.instance_ids


def test_a_face_id_names_the_face_under_the_pixel(pile) -> None:
    renderer, mesh_ids, T_cam_obj, camera = pile
    scene = renderer.scene(mesh_ids, T_cam_obj, camera)
    points = camera.backproject(scene.depth_m)
    for row, column in np.argwhere(scene.instance_ids >= 0)[::7]:
        instance = scene.instance_ids[row, column]
        mesh = renderer.meshes[mesh_ids[instance]]
        face = scene.face_ids[row, column]
        corners = transform(T_cam_obj[instance], mesh.vertices[mesh.faces[face]].astype(np.float64))
        nearest = trimesh.triangles.closest_point(corners[None], points[row, column][None].astype(float))
        assert np.linalg.norm(nearest - points[row, column]) < 1e-6


def test_normals_are_unit_and_face_the_camera(pile) -> None:
    renderer, mesh_ids, T_cam_obj, camera = pile
    scene = renderer.scene(mesh_ids, T_cam_obj, camera)
    alone = renderer.crops(mesh_ids, T_cam_obj, camera.intrinsics, HEIGHT, WIDTH)
    for depth_m, normals in [
        (scene.depth_m, scene.normals),
        *zip(alone.depth_m, alone.normals, strict=True),
    ]:
        drawn = depth_m > 0
        np.testing.assert_allclose(np.linalg.norm(normals[drawn], axis=-1), 1, atol=1e-5)
        assert ((normals * camera.backproject(depth_m)).sum(-1)[drawn] <= 1e-7).all()
        assert not normals[~drawn].any()


def test_normals_are_those_of_the_faces(pile) -> None:
    renderer, mesh_ids, T_cam_obj, camera = pile
    scene = renderer.scene(mesh_ids, T_cam_obj, camera)
    normals = scene.normals
    for instance in np.unique(scene.instance_ids[scene.instance_ids >= 0]):
        own = scene.instance_ids == instance
        faces = renderer.face_normals[mesh_ids[instance]][scene.face_ids[own]]
        cosine = (normals[own] * (faces @ T_cam_obj[instance, :3, :3].T)).sum(-1)
        np.testing.assert_allclose(np.abs(cosine), 1, atol=1e-5)


def test_object_coordinates_invert_the_projection() -> None:
    T_cam_obj = poses(INSIDE, 3, seed=6)
    rendering = Renderer([SPHERE]).crops(np.zeros(3, int), T_cam_obj, INTRINSICS, HEIGHT, WIDTH)
    points = rendering.object_coordinates
    camera = Camera(*INTRINSICS, WIDTH, HEIGHT)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    for own, T, mask in zip(points, T_cam_obj, rendering.mask, strict=True):
        pixels = camera.project(transform(T, own[mask].astype(np.float64)))
        np.testing.assert_allclose(pixels, np.stack([columns, rows], -1)[mask], atol=1e-3)
        assert not own[~mask].any()
    # They lie on the part: a sphere of 50 mm, whose facets sink in by some hundredths of a millimetre.
    np.testing.assert_allclose(np.linalg.norm(points[rendering.mask], axis=-1), 0.05, atol=2e-4)


def test_object_coordinates_of_a_scene_are_in_the_frame_of_the_part_seen(pile) -> None:
    renderer, mesh_ids, T_cam_obj, camera = pile
    scene = renderer.scene(mesh_ids, T_cam_obj, camera)
    points_cam = camera.backproject(scene.depth_m).astype(np.float64)
    for instance in np.unique(scene.instance_ids[scene.mask]):
        own = scene.instance_ids == instance
        moved = transform(T_cam_obj[instance], scene.object_coordinates[own].astype(np.float64))
        np.testing.assert_allclose(moved, points_cam[own], atol=1e-6)
    assert not scene.object_coordinates[~scene.mask].any()


def test_shading_is_brightest_where_the_surface_faces_the_camera(pile) -> None:
    renderer, mesh_ids, T_cam_obj, camera = pile
    scene = renderer.scene(mesh_ids, T_cam_obj, camera)
    colors = np.random.default_rng(9).integers(100, 256, (len(mesh_ids), 3))
    rgb = scene.shaded(colors)
    assert rgb.shape == (HEIGHT, WIDTH, 3) and rgb.dtype == np.uint8 and not rgb[~scene.mask].any()
    rays = camera.backproject(np.ones((HEIGHT, WIDTH), np.float32))
    facing = -(scene.normals * rays).sum(-1) / np.linalg.norm(rays, axis=-1)
    share = rgb[scene.mask] / colors[scene.instance_ids[scene.mask]]  # the same for red, green and blue
    order = facing[scene.mask].argsort()
    assert (np.diff(share[order].mean(-1)) > -0.02).all() and share.max() <= 1.01
    assert np.ptp(share, axis=-1).max() < 0.02
    alone = renderer.crops(mesh_ids, T_cam_obj, camera.intrinsics, HEIGHT, WIDTH)
    assert alone.shaded(GRAY).max() <= max(GRAY) and alone.shaded().shape == (8, HEIGHT, WIDTH, 3)


def test_each_crop_has_its_own_camera() -> None:
    """Moving the principal point by whole pixels moves the image by them."""
    T_cam_obj = np.repeat(poses(INSIDE, 1, seed=7), 2, axis=0)
    intrinsics = np.tile(INTRINSICS, (2, 1))
    intrinsics[1, 2:] += [5, -3]
    depth_m = Renderer([TORUS]).crops(np.zeros(2, int), T_cam_obj, intrinsics, HEIGHT, WIDTH).depth_m
    np.testing.assert_allclose(depth_m[0, 3:, :-5], depth_m[1, :-3, 5:], atol=1e-7)


def test_an_empty_scene_is_empty() -> None:
    camera = Camera(*INTRINSICS, WIDTH, HEIGHT)
    none, no_poses = np.zeros(0, int), np.zeros((0, 4, 4))
    for renderer in (Renderer([BOX]), Renderer([])):
        scene = renderer.scene(none, no_poses, camera)
        assert scene.depth_m.shape == (HEIGHT, WIDTH) and not scene.depth_m.any()
        assert (scene.instance_ids == -1).all() and (scene.face_ids == -1).all()
        assert not scene.normals.any()
        assert renderer.crops(none, no_poses, INTRINSICS, HEIGHT, WIDTH).depth_m.shape == (0, HEIGHT, WIDTH)


@pytest.mark.parametrize("wrong", [-1, 2])
def test_an_unknown_mesh_id_is_refused(wrong: int) -> None:
    renderer = Renderer([BOX, TORUS])
    T_cam_obj = np.repeat(np.eye(4)[None], 2, axis=0)
    with pytest.raises(BinposeError, match=r"expected 0\.\.1"):
        renderer.crops(np.array([0, wrong]), T_cam_obj, INTRINSICS, HEIGHT, WIDTH)
    with pytest.raises(BinposeError, match=r"expected 0\.\.1"):
        renderer.scene(np.array([0, wrong]), T_cam_obj, Camera(*INTRINSICS, WIDTH, HEIGHT))


@pytest.mark.parametrize(
    ("T_cam_obj", "intrinsics", "near_m", "message"),
    [
        (np.eye(4), INTRINSICS, 0.01, r"Poses of shape \(4, 4\) for 2 mesh ids; expected \(2, 4, 4\)"),
        (np.stack([np.eye(4)] * 2), np.ones((3, 4)), 0.01, r"Intrinsics of shape \(3, 4\) for 2 images"),
        (np.stack([np.eye(4)] * 2), INTRINSICS, 0.0, "near plane at 0.0 m"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(T_cam_obj, intrinsics, near_m, message) -> None:
    with pytest.raises(BinposeError, match=message):
        Renderer([BOX]).crops(np.zeros(2, int), T_cam_obj, intrinsics, HEIGHT, WIDTH, near_m)


def test_a_turned_camera_sees_the_part_turned() -> None:
    """Half a turn about the optical axis turns an image about its principal point."""
    intrinsics = np.array([60.0, 60.0, (WIDTH - 1) / 2, (HEIGHT - 1) / 2])
    T_cam_obj = poses(INSIDE, 1, seed=8)
    turn = from_rotation_translation(exp_so3(np.array([0, 0, np.pi])), np.zeros(3))
    pair = np.concatenate([T_cam_obj, turn @ T_cam_obj])
    depth_m = Renderer([TORUS]).crops(np.zeros(2, int), pair, intrinsics, HEIGHT, WIDTH).depth_m
    np.testing.assert_allclose(depth_m[0], depth_m[1, ::-1, ::-1], atol=1e-7)
