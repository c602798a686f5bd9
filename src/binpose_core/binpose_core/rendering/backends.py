"""The interface of the rendering backends, and the modules that implement it."""

from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BinposeError
from binpose_core.geometry.transforms import FloatArray
from binpose_core.rendering.packed_meshes import PackedMeshes

NOTHING = -1
# Backends that search in float32 compute the depth from the face's plane where both agree to this fraction. A ray that
# is nearly parallel to the plane has an ill-conditioned intersection: there the depth of the search is better.
PLANE_TRUST = 1e-4

BACKENDS = {
    "numba": "binpose_core.rendering.numba_backend:NumbaBackend",
    "reference": "binpose_core.rendering.reference_rasterizer:ReferenceBackend",
    "warp": "binpose_core.rendering.warp_raycaster:WarpBackend",
    "pytorch3d": "binpose_core.rendering.pytorch3d_rasterizer:Pytorch3dBackend",
}
"""Modules of the backends by the names that `make_backend` accepts."""
ON_DEVICES = ("warp", "pytorch3d")
"""Backends that can render on a given device: "warp:cuda:1"."""
_PROVIDERS = {
    "warp": "warp-lang, which `pip install 'binpose[gpu]'` brings",
    "pytorch3d": "PyTorch3D, which has no wheel; build it as in https://github.com/facebookresearch/pytorch3d",
}


@dataclass(frozen=True, eq=False)
class Images:
    """I images of one size, of N instances of meshes; all arrays contiguous.

    mesh_ids: (N,) int64. T_cam_obj: (N, 4, 4) float64, metres.
    first_instance: (I + 1,) int64; image i shows the instances first_instance[i]..first_instance[i + 1] - 1.
    intrinsics: (I, 4) float64, fx, fy, cx, cy in pixels; pixel (u, v) samples the image at (u, v).
    height, width: in pixels. near_m: distance of the near plane, > 0.
    """

    mesh_ids: npt.NDArray[np.int64]
    T_cam_obj: npt.NDArray[np.float64]
    first_instance: npt.NDArray[np.int64]
    intrinsics: npt.NDArray[np.float64]
    height: int
    width: int
    near_m: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """I, height, width."""
        return len(self.intrinsics), self.height, self.width


@dataclass(frozen=True, eq=False)
class Drawn:
    """Per pixel, all (I, h, w): the nearest surface of either orientation.

    depth_m: float32 along the optical axis, 0 = background.
    instance_ids: int32 index of the instance among all N, -1 = background.
    face_ids: int32 index of the face in its mesh, -1 = background.
    """

    depth_m: npt.NDArray[np.float32]
    instance_ids: npt.NDArray[np.int32]
    face_ids: npt.NDArray[np.int32]

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> "Drawn":
        """Background everywhere."""
        return cls(np.zeros(shape, np.float32), np.full(shape, NOTHING, np.int32), np.full(shape, NOTHING, np.int32))


class Backend(Protocol):
    """Renders a fixed set of meshes."""

    def draw(self, images: Images) -> Drawn:
        """The nearest surface under every pixel."""
        ...


def make_backend(name: str, meshes: PackedMeshes) -> Backend:
    """A backend by its name in `BACKENDS`, with an optional device for those `ON_DEVICES`: "warp:cuda:1".

    Raises:
        BinposeError: for an unknown name or device, or if a required library is missing.
    """
    kind, _, device = name.partition(":")
    if kind not in BACKENDS:
        raise BinposeError(f"No rendering backend {kind!r}; known: {', '.join(BACKENDS)}. Choose one of these.")
    if device and kind not in ON_DEVICES:
        raise BinposeError(
            f"The rendering backend {name!r} has a device; {kind} draws on the CPU: leave the device out."
        )
    module, _, maker = BACKENDS[kind].partition(":")
    try:
        make = getattr(import_module(module), maker)
        backend: Backend = make(meshes, device) if device else make(meshes)
    except ImportError as error:
        raise BinposeError(
            f"The rendering backend {kind!r} needs {_PROVIDERS.get(kind, 'a library that is missing')} ({error})."
        ) from error
    return backend


def backend_for(device: str) -> str:
    """The name of the backend for the device of the networks: cpu, cuda, cuda:1.

    On a GPU that is Warp, if it is installed. Otherwise it is the z-buffer, which is several times faster on a CPU.
    """
    if device == "cpu":
        return "numba"
    try:
        import_module("warp")
    except ImportError:
        return "numba"
    return f"warp:{device}"


def checked_images(
    meshes: PackedMeshes,
    mesh_ids: npt.NDArray[np.integer],
    T_cam_obj: FloatArray,
    first_instance: npt.NDArray[np.integer],
    intrinsics: FloatArray,
    size: tuple[int, int],
    near_m: float,
) -> Images:
    """Convert arrays of any number type to `Images` of size (height, width); intrinsics (4,) apply to every image.

    Raises:
        BinposeError: for an invalid mesh id, a wrong shape, or a near plane that is not in front of the camera.
    """
    ids = np.ascontiguousarray(mesh_ids, np.int64).reshape(-1)
    if ids.size and not 0 <= ids.min() <= ids.max() < len(meshes):
        raise BinposeError(
            f"Mesh ids {ids.min()}..{ids.max()} to render; expected 0..{len(meshes) - 1}, "
            "indices of the renderer's meshes."
        )
    poses, count = np.ascontiguousarray(T_cam_obj, np.float64), len(first_instance) - 1
    if poses.shape != (len(ids), 4, 4):
        raise BinposeError(f"Poses of shape {poses.shape} for {len(ids)} mesh ids; expected ({len(ids)}, 4, 4).")
    if np.shape(intrinsics) not in ((4,), (count, 4)):
        raise BinposeError(
            f"Intrinsics of shape {np.shape(intrinsics)} for {count} images; expected ({count}, 4) or (4,): "
            "fx, fy, cx, cy in pixels."
        )
    if not near_m > 0:
        raise BinposeError(f"A near plane at {near_m} m; expected a distance in front of the camera, above 0.")
    cameras = np.ascontiguousarray(np.broadcast_to(intrinsics, (count, 4)), np.float64)
    return Images(ids, poses, np.ascontiguousarray(first_instance, np.int64), cameras, *size, near_m)
