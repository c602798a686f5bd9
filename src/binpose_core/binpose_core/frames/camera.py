"""The pinhole camera, optical frame: x right, y down, z forward (REP-103)."""

from dataclasses import dataclass, replace

import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.base.reasons import Reason
from binpose_core.geometry.transforms import FloatArray

DISTORTION_COUNTS = (0, 4, 5, 8, 12, 14)  # numbers of coefficients that OpenCV has


@dataclass(frozen=True)
class Camera:
    """Intrinsics in pixels; pixel (0, 0) has its centre at image coordinates (0, 0).

    `distortion` are OpenCV's coefficients (k1, k2, p1, p2, ...). Images are undistorted when they
    are read (`binpose_core.frames.rgbd_frame.undistort`); the stages work on undistorted ones.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int
    distortion: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        # A NumPy scalar would make float64 of float32 images, a float does not: equal cameras give equal poses.
        for name in ("fx", "fy", "cx", "cy"):
            object.__setattr__(self, name, float(getattr(self, name)))
        values = (self.fx, self.fy, self.cx, self.cy)
        if not all(np.isfinite(values)) or self.fx <= 0 or self.fy <= 0:
            raise BinposeError(
                f"Camera with fx={self.fx}, fy={self.fy}, cx={self.cx}, cy={self.cy}: expected "
                "finite numbers with positive focal lengths in pixels; check cam_K / camera_info.",
                Reason.UNCALIBRATED_CAMERA,
            )
        if self.width < 1 or self.height < 1:
            raise BinposeError(
                f"Camera of {self.width}x{self.height} pixels: expected at least 1x1; "
                "check the image size in the camera file."
            )
        if len(self.distortion) not in DISTORTION_COUNTS or not all(np.isfinite(self.distortion)):
            raise BinposeError(
                f"Camera with the distortion {self.distortion}: expected 4, 5, 8, 12 or 14 finite coefficients "
                "(k1, k2, p1, p2, k3, ...); check the camera file or camera info."
            )

    @property
    def K(self) -> FloatArray:
        """The calibration matrix (3, 3), float64."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], dtype=np.float64)

    @property
    def intrinsics(self) -> FloatArray:
        """(4,) fx, fy, cx, cy, float64."""
        return np.array([self.fx, self.fy, self.cx, self.cy], dtype=np.float64)

    @classmethod
    def from_K(cls, K: FloatArray, width: int, height: int, distortion: tuple[float, ...] = ()) -> "Camera":
        """A camera from its calibration matrix (3, 3), which `camera_parameters` checks where it comes from outside."""
        fx, fy, cx, cy = np.asarray(K, dtype=np.float64).reshape(3, 3)[(0, 1, 0, 1), (0, 1, 2, 2)].tolist()
        return cls(fx, fy, cx, cy, width, height, distortion)

    def project(self, points_cam: FloatArray) -> FloatArray:
        """Pixels (..., 2) of points (..., 3) in metres in front of the camera."""
        z = points_cam[..., 2]
        return np.stack([self.fx * points_cam[..., 0] / z + self.cx, self.fy * points_cam[..., 1] / z + self.cy], -1)

    def backproject(self, depth_m: FloatArray) -> FloatArray:
        """Points (H, W, 3) float32 in the camera frame of a depth image (H, W); zero stays zero."""
        u = ((np.arange(depth_m.shape[1]) - self.cx) / self.fx).astype(np.float32)
        v = ((np.arange(depth_m.shape[0]) - self.cy) / self.fy).astype(np.float32)
        return np.stack([depth_m * u[None, :], depth_m * v[:, None], depth_m], axis=-1)

    def resized(self, width: int, height: int) -> "Camera":
        """The same view sampled with another number of pixels (cv2.resize's pixel convention)."""
        sx, sy = width / self.width, height / self.height
        return replace(
            self,
            fx=self.fx * sx,
            fy=self.fy * sy,
            cx=(self.cx + 0.5) * sx - 0.5,
            cy=(self.cy + 0.5) * sy - 0.5,
            width=width,
            height=height,
        )

    def cropped(self, x0: int, y0: int, width: int, height: int) -> "Camera":
        """The camera of the image window that starts at pixel (x0, y0)."""
        return replace(self, cx=self.cx - x0, cy=self.cy - y0, width=width, height=height)
