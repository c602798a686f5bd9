"""Two standard methods for the pose of a masked part in a depth image: OpenCV's PPF and Open3D's FPFH with RANSAC.

Both are set up favourably: clouds of even density, normals from neighbourhoods of several pixels, models without inner
faces, and several candidates that are all aligned by ICP from the scene to the model. The opposite direction would
attract the hidden back of the model to the visible front. The candidate that explains most of the scene is chosen.
Their settings are the best of the grid in `tune_peers.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BinposeError
from binpose_core.base.threads import available_cpus
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.geometry.transforms import FloatArray, inverse
from binpose_core.parts.catalogue import ObjectModel

MM = 1e3
FEWEST_POINTS = 12


class MaskedPart(NamedTuple):
    """Input of every method for a part: its id, and its visible pixels (H, W) bool."""

    object_id: str
    mask: npt.NDArray[np.bool_]


Method = Callable[[RgbdFrame, Sequence[MaskedPart]], list[FloatArray | None]]
"""Computes the poses (4, 4) of a frame's parts, None for a part without one."""


@dataclass(frozen=True)
class PpfConfig:
    """Settings of `OpencvPpf`; lengths are fractions of the part's diameter.

    sampling: distance of the model's points and step of the pair distances. angles: steps of a full turn.
    scene_sampling: distance of the scene's points. references: fraction of them that vote for poses.
    same_position, same_angle_rad: poses closer than this are averaged.
    candidates: number of poses with most votes that ICP aligns.
    """

    sampling: float = 0.06
    angles: int = 40
    scene_sampling: float = 0.05
    references: float = 0.2
    same_position: float = 0.1
    same_angle_rad: float = 0.2
    candidates: int = 10


@dataclass(frozen=True)
class FpfhConfig:
    """Settings of `Open3dFpfh`; lengths are fractions of the part's diameter.

    voxel: distance of the points. feature_voxels: radius of the features, in voxels.
    tries: runs of RANSAC; iterations: of each.
    """

    voxel: float = 0.04
    feature_voxels: float = 5.0
    tries: int = 16
    iterations: int = 50_000


class OpencvPpf:
    """Point pair features [Drost et al. 2010] and ICP, `cv2.ppf_match_3d`; one part per CPU at a time.

    Args:
        objects: by id; each is trained once.
        config: settings.

    Raises:
        BinposeError: if OpenCV was built without its contributed modules.
    """

    def __init__(self, objects: Mapping[str, ObjectModel], config: PpfConfig | None = None) -> None:
        self.config = config or PpfConfig()
        self._ppf = _surface_matching()
        self._models = {name: _with_normals(model.points * MM, model.normals) for name, model in objects.items()}
        self._diameters_mm = {name: model.diameter_m * MM for name, model in objects.items()}
        self._detectors = {name: self._trained(name) for name in objects}
        self._rankings = {name: SupportRanking(model) for name, model in objects.items()}

    def __call__(self, frame: RgbdFrame, parts: Sequence[MaskedPart]) -> list[FloatArray | None]:
        """The poses of a frame's parts."""
        with ThreadPoolExecutor(available_cpus()) as pool:
            return list(pool.map(lambda part: self.pose(frame, part), parts))

    def pose(self, frame: RgbdFrame, part: MaskedPart) -> FloatArray | None:
        """The pose of one part."""
        c, name = self.config, part.object_id
        diameter_m = self._diameters_mm[name] / MM
        cloud = observed_cloud(frame, part.mask, c.scene_sampling * diameter_m)
        if cloud is None:
            return None
        points, normals = np.asarray(cloud.points), np.asarray(cloud.normals)
        scene = _with_normals(points * MM, normals)
        # The cloud is already sampled evenly; OpenCV's own sampling divides each side of its box into 1 / 0.02 cells.
        found = self._detectors[name].match(scene, c.references, 0.02)
        votes = np.array([candidate.numVotes for candidate in found])
        poses_found = np.array([_in_metres(candidate.pose) for candidate in found]).reshape(-1, 4, 4)
        chosen = distinct(poses_found, votes, c.same_position * diameter_m, c.same_angle_rad)[: c.candidates]
        poses = [self._aligned(poses_found[i], scene, name) for i in chosen]
        return self._rankings[name].best(points, poses)

    def _trained(self, name: str) -> Any:
        c = self.config
        detector = self._ppf.PPF3DDetector(c.sampling, c.sampling, c.angles)
        model = self._models[name]
        spacing_mm = c.sampling * self._diameters_mm[name]
        detector.trainModel(np.ascontiguousarray(model[even_subset(model[:, :3], model[:, 3:], spacing_mm)]))
        return detector

    def _aligned(self, T_cam_obj: FloatArray, scene: npt.NDArray[np.float32], name: str) -> FloatArray:
        T_obj_cam = inverse(T_cam_obj)
        points = scene[:, :3] / MM @ T_obj_cam[:3, :3].T + T_obj_cam[:3, 3]
        moved = _with_normals(points * MM, scene[:, 3:] @ T_obj_cam[:3, :3].T)
        _, _, correction = self._ppf.ICP(100, 0.005, 2.5, 4).registerModelToScene(moved, self._models[name])
        return inverse(_in_metres(correction) @ T_obj_cam)


class Open3dFpfh:
    """Fast point feature histograms, RANSAC over their correspondences and point-to-plane ICP, from scene to model.

    Args:
        objects: by id; the features of each are computed once.
        config: settings.
    """

    def __init__(self, objects: Mapping[str, ObjectModel], config: FpfhConfig | None = None) -> None:
        self.config = config or FpfhConfig()
        self._diameters_m = {name: model.diameter_m for name, model in objects.items()}
        self._dense = {name: _cloud(model.points, model.normals) for name, model in objects.items()}
        self._sparse = {name: self._dense[name].voxel_down_sample(self._voxel_m(name)) for name in objects}
        self._features = {name: self._feature(cloud, self._voxel_m(name)) for name, cloud in self._sparse.items()}
        self._rankings = {name: SupportRanking(model) for name, model in objects.items()}

    def __call__(self, frame: RgbdFrame, parts: Sequence[MaskedPart]) -> list[FloatArray | None]:
        """The poses of a frame's parts."""
        return [self.pose(frame, part) for part in parts]

    def pose(self, frame: RgbdFrame, part: MaskedPart) -> FloatArray | None:
        """The pose of one part."""
        name = part.object_id
        voxel_m = self._voxel_m(name)
        cloud = observed_cloud(frame, part.mask, voxel_m)
        if cloud is None:
            return None
        features = self._feature(cloud, voxel_m)
        poses = [self._aligned(self._ransac_pose(cloud, features, name), cloud, name) for _ in range(self.config.tries)]
        return self._rankings[name].best(np.asarray(cloud.points), poses)

    def _ransac_pose(self, cloud: Any, features: Any, name: str) -> FloatArray:
        from open3d.pipelines import registration

        limit_m = 1.5 * self._voxel_m(name)
        result = registration.registration_ransac_based_on_feature_matching(
            cloud, self._sparse[name], features, self._features[name], False, limit_m,
            registration.TransformationEstimationPointToPoint(False), 3,
            [
                registration.CorrespondenceCheckerBasedOnEdgeLength(0.9),
                registration.CorrespondenceCheckerBasedOnDistance(limit_m),
            ],
            registration.RANSACConvergenceCriteria(self.config.iterations, 0.999),
        )  # fmt: skip
        return np.array(result.transformation)

    def _aligned(self, T_obj_cam: FloatArray, cloud: Any, name: str) -> FloatArray:
        from open3d.pipelines import registration

        plane = registration.TransformationEstimationPointToPlane()
        for fraction in (0.08, 0.03):
            limit_m = fraction * self._diameters_m[name]
            T_obj_cam = registration.registration_icp(
                cloud, self._dense[name], limit_m, T_obj_cam, plane
            ).transformation
        return inverse(np.array(T_obj_cam))

    def _feature(self, cloud: Any, voxel_m: float) -> Any:
        import open3d

        radius = open3d.geometry.KDTreeSearchParamHybrid(self.config.feature_voxels * voxel_m, 100)
        return open3d.pipelines.registration.compute_fpfh_feature(cloud, radius)

    def _voxel_m(self, name: str) -> float:
        return self.config.voxel * self._diameters_m[name]


class SupportRanking:
    """Ranks the poses of a part by the fraction of the scene's points that lie on it."""

    def __init__(self, model: ObjectModel) -> None:
        from scipy.spatial import cKDTree

        self._tree = cKDTree(model.points)
        self._tolerance_m = 0.03 * model.diameter_m

    def best(self, points: FloatArray, poses: Sequence[FloatArray]) -> FloatArray | None:
        """The pose supported by most points (N, 3), of equal ones the one with nearer points; None without poses."""
        return max(poses, key=lambda pose: self._support(points, pose), default=None)

    def _support(self, points: FloatArray, T_cam_obj: FloatArray) -> tuple[float, float]:
        T_obj_cam = inverse(T_cam_obj)
        distance, _ = self._tree.query(points @ T_obj_cam[:3, :3].T + T_obj_cam[:3, 3])
        near = distance < self._tolerance_m
        return float(near.mean()), -float(distance[near].mean()) if near.any() else -np.inf


def even_subset(
    points: npt.NDArray[np.floating], normals: npt.NDArray[np.floating], spacing: float
) -> npt.NDArray[np.int64]:
    """Indices of points (N, 3) with at least the given spacing on the same side of the surface."""
    kept, free = [], np.ones(len(points), bool)
    for i in range(len(points)):
        if free[i]:
            kept.append(i)
            free &= (np.linalg.norm(points - points[i], axis=1) > spacing) | (normals @ normals[i] < 0.5)
    return np.array(kept, np.int64)


def distinct(
    poses: FloatArray, votes: npt.NDArray[np.integer], same_m: float, same_rad: float
) -> npt.NDArray[np.int64]:
    """Indices of distinct poses (N, 4, 4), ordered by the votes (N,) of their neighbourhoods."""
    turn = np.einsum("aij,bij->ab", poses[:, :3, :3], poses[:, :3, :3])
    apart = np.linalg.norm(poses[:, None, :3, 3] - poses[None, :, :3, 3], axis=-1)
    same = (turn > 1 + 2 * np.cos(same_rad)) & (apart < same_m)
    chosen, free = [], np.ones(len(poses), bool)
    while free.any():
        best = int(np.argmax(np.where(free, (same & free) @ votes, -1)))
        chosen.append(best)
        free &= ~same[best]
        free[best] = False
    return np.array(chosen, np.int64)


def observed_cloud(frame: RgbdFrame, mask: npt.NDArray[np.bool_], spacing_m: float) -> Any:
    """Open3D's cloud of the mask's valid pixels, evenly sampled, normals towards the camera; None for few points."""
    import open3d

    assert frame.depth_m is not None
    rows, columns = np.nonzero(mask & (frame.depth_m > 0))
    if len(rows) < FEWEST_POINTS:
        return None
    z, camera = frame.depth_m[rows, columns].astype(np.float64), frame.camera
    x, y = (columns - camera.cx) * z / camera.fx, (rows - camera.cy) * z / camera.fy
    dense = _cloud(np.column_stack([x, y, z]))
    # The normals are those of the dense cloud, averaged in the sampling cells.
    radius_m = max(spacing_m, 3.0 * float(np.median(z)) / camera.fx)
    dense.estimate_normals(open3d.geometry.KDTreeSearchParamHybrid(radius_m, 60))
    dense.orient_normals_towards_camera_location(np.zeros(3))
    cloud = dense.voxel_down_sample(spacing_m)
    cloud.normalize_normals()
    return cloud if len(cloud.points) >= FEWEST_POINTS else None


def _cloud(points: npt.NDArray[np.floating], normals: npt.NDArray[np.floating] | None = None) -> Any:
    import open3d

    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(np.asarray(points, np.float64)))
    if normals is not None:
        cloud.normals = open3d.utility.Vector3dVector(np.asarray(normals, np.float64))
    return cloud


def _with_normals(points: npt.NDArray[np.floating], normals: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(np.hstack([points, normals]), np.float32)


def _in_metres(T_mm: npt.NDArray[np.floating]) -> FloatArray:
    """A rigid motion (4, 4) in millimetres converted to metres, with an orthonormal rotation."""
    left, _, right = np.linalg.svd(np.asarray(T_mm, np.float64)[:3, :3])
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = left @ right, np.asarray(T_mm)[:3, 3] / MM
    return pose


def _surface_matching() -> Any:
    if not hasattr(cv2, "ppf_match_3d"):
        raise BinposeError(
            f"OpenCV {cv2.__version__} lacks its contributed modules, expected cv2.ppf_match_3d; run "
            "`pip uninstall opencv-python-headless` and `pip install opencv-contrib-python-headless`, or `make bench`."
        )
    return cv2.ppf_match_3d
