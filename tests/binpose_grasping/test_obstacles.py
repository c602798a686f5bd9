from dataclasses import replace

import numpy as np
from scipy.spatial import cKDTree

from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import inverse, transform
from binpose_core.meshes.closest import distance_reference
from binpose_core.parts.objects import ObjectModel
from binpose_grasping.obstacles import Obstacles, observed_points, thinned

from .conftest import CAMERA, TABLE_M, on_table, seen

OWN_M, GRID_M, REACH_M = 0.003, 0.002, 0.1


def test_a_part_is_no_obstacle_to_itself_and_its_surroundings_are(bar: ObjectModel, cube: ObjectModel) -> None:
    T = [on_table(bar), on_table(cube, 0.07)]
    poses = [PoseEstimate("bar", T[0], 1.0)]
    obstacles = Obstacles(seen([bar, cube], T), poses, {"bar": bar}, OWN_M, GRID_M, REACH_M)
    points = obstacles.observed(0)
    assert distance_reference(bar.mesh, transform(inverse(T[0]), points)).min() > OWN_M - 1e-6
    assert (np.abs(points[:, 2] - TABLE_M) < 1e-4).any()
    top = np.abs(points[:, 2] - (TABLE_M - 0.03)) < 1e-4
    assert top.any() and distance_reference(cube.mesh, transform(inverse(T[1]), points[top])).max() < 1e-4
    beside = {tuple(point) for point in obstacles.observed_near(0)}
    assert 100 < len(beside) < len(points) and beside < {tuple(point) for point in points}


def test_hidden_sides_of_the_other_parts_are_known(bar: ObjectModel, cube: ObjectModel) -> None:
    T = [on_table(bar), on_table(cube, 0.07)]
    poses = [PoseEstimate(part.id, pose, 1.0) for part, pose in zip((bar, cube), T, strict=True)]
    points = Obstacles(seen([bar, cube], T), poses, {"bar": bar, "cube": cube}, OWN_M, GRID_M, REACH_M).other_parts(0)
    assert distance_reference(cube.mesh, transform(inverse(T[1]), points)).max() < 1e-6
    assert np.ptp(points, axis=0).min() > 0.029


def test_what_lies_behind_a_surface_is_hidden_but_for_the_part_itself(bar: ObjectModel, cube: ObjectModel) -> None:
    T = [on_table(bar), on_table(cube, 0.07)]
    poses = [PoseEstimate(part.id, pose, 1.0) for part, pose in zip((bar, cube), T, strict=True)]
    obstacles = Obstacles(seen([bar, cube], T), poses, {"bar": bar, "cube": cube}, OWN_M, GRID_M, REACH_M)
    in_bar, in_cube = (pose[:3, 3] for pose in T)
    above, below = np.array([0.03, 0.05, TABLE_M - 0.01]), np.array([0.03, 0.05, TABLE_M + 0.01])
    outside, behind = np.array([9.0, 0.0, 1.0]), np.array([0.0, 0.0, -1.0])
    points = np.stack([in_bar, in_cube, above, below, outside, behind])
    assert obstacles.hidden(0, points).tolist() == [False, True, False, True, False, False]
    assert obstacles.hidden(1, points).tolist() == [True, False, False, True, False, False]


def test_of_each_cell_one_point_is_kept(rng: np.random.Generator) -> None:
    points = rng.uniform(0, 0.05, (5000, 3))
    kept = thinned(points, 0.01)
    assert 100 < len(kept) <= 216
    assert len(np.unique(np.floor((kept - points.min(axis=0)) / 0.01), axis=0)) == len(kept)
    np.testing.assert_array_equal(thinned(kept, 1e-9), kept)
    assert thinned(points[:0], 0.01).shape == (0, 3)


def test_observed_points_are_as_far_apart_as_asked_for(bar: ObjectModel) -> None:
    frame = seen([bar], [on_table(bar)])
    assert frame.depth_m is not None
    fine, coarse = (observed_points(frame.depth_m, CAMERA, grid_m) for grid_m in (0.001, 0.004))
    assert len(fine) > 10 * len(coarse)
    whole = CAMERA.backproject(frame.depth_m).reshape(-1, 3)
    assert cKDTree(whole).query(coarse)[0].max() < 1e-6
    assert np.median(cKDTree(coarse).query(coarse, k=2)[0][:, 1]) <= 0.004
    assert len(observed_points(np.zeros((480, 640), np.float32), CAMERA, 0.001)) == 0


def test_a_part_is_covered_by_what_lies_on_it(bar: ObjectModel, cube: ObjectModel) -> None:
    up = np.array([0.0, 0.0, -1.0])
    below, beside = on_table(bar), on_table(cube, 0.1)
    on_top = on_table(cube, 0.02)
    on_top[2, 3] -= bar.box_size_m[2]

    def covered(T_cube: np.ndarray, known: bool) -> float:
        poses = [PoseEstimate("bar", below, 1.0), *([PoseEstimate("cube", T_cube, 1.0)] if known else [])]
        frame = seen([bar, cube], [below, T_cube])
        return Obstacles(frame, poses, {"bar": bar, "cube": cube}, OWN_M, GRID_M, REACH_M).covered(0, up)

    assert covered(beside, known=True) == covered(beside, known=False) == 0
    assert 0.2 < covered(on_top, known=True) < 0.7
    assert 0.2 < covered(on_top, known=False) < 0.7


def test_places_without_depth_and_outside_of_the_image_are_unseen(bar: ObjectModel) -> None:
    T = on_table(bar)
    frame = seen([bar], [T])
    assert frame.depth_m is not None
    depth_m = frame.depth_m.copy()
    depth_m[:, 320:] = 0
    poses = [PoseEstimate("bar", T, 1.0)]
    obstacles = Obstacles(replace(frame, depth_m=depth_m), poses, {"bar": bar}, OWN_M, GRID_M, REACH_M)
    points = np.array([[-0.1, 0.0, 0.4], [0.1, 0.0, 0.4], [-9.0, 0.0, 0.4]])
    assert obstacles.unseen(points).tolist() == [False, True, True]
