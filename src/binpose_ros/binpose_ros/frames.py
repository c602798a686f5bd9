"""sensor_msgs images and camera info <-> RgbdFrame and Camera."""

from typing import Any

import numpy as np

from binpose_core.camera import Camera
from binpose_core.errors import BinposeError
from binpose_core.frames import RgbdFrame, undistort
from binpose_core.reasons import Reason
from binpose_ros.images import to_color, to_depth_m
from binpose_ros.stamps import Header, from_header, to_header

# Coefficients k1, k2, p1, p2, k3, ... in OpenCV's order; others (fisheye) mean something else.
DISTORTION_MODELS = ("", "none", "plumb_bob", "rational_polynomial")


def to_camera(info: Any, rectified: bool = False) -> Camera:
    """The camera of a sensor_msgs/CameraInfo.

    Args:
        info: of the images as the camera takes them; image_proc sends it with rectified images as well.
        rectified: whether the images are rectified: then P is their matrix, and they have no distortion left.

    Raises:
        BinposeError: for an uncalibrated camera, or a distortion model other than OpenCV's.
    """
    K = np.asarray(info.p, np.float64).reshape(3, 4)[:, :3] if rectified else np.asarray(info.k, np.float64)
    K, distortion = K.reshape(3, 3), () if rectified else tuple(float(value) for value in info.d)
    if not K[0, 0]:
        raise BinposeError(
            f"The camera info of {info.header.frame_id!r} has a focal length of 0, that of an uncalibrated camera; "
            f"expected its matrix {'P' if rectified else 'K'}; calibrate the camera.",
            Reason.UNCALIBRATED_CAMERA,
        )
    if any(distortion) and info.distortion_model not in DISTORTION_MODELS:
        raise BinposeError(
            f"The camera info has the distortion model {info.distortion_model!r}; expected plumb_bob or "
            "rational_polynomial; rectify the images with image_proc, and set the parameter `rectified`.",
            Reason.UNKNOWN_DISTORTION,
        )
    return Camera.from_K(K, int(info.width), int(info.height), distortion if any(distortion) else ())


def from_camera(camera: Camera, header: Header, types: Any) -> Any:
    """A sensor_msgs/CameraInfo."""
    projection = np.hstack([camera.K, np.zeros((3, 1))])
    region = types.RegionOfInterest(x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    return types.CameraInfo(
        header=to_header(header, types),
        height=camera.height,
        width=camera.width,
        distortion_model="rational_polynomial" if len(camera.distortion) > 5 else "plumb_bob",
        d=types.doubles(camera.distortion or (0.0,) * 5),
        k=camera.K.ravel(),
        r=np.eye(3).ravel(),
        p=projection.ravel(),
        binning_x=0,
        binning_y=0,
        roi=region,
    )


def to_frame(color: Any, depth: Any | None, info: Any, rectified: bool = False) -> RgbdFrame:
    """The frame of a colour image, the depth image aligned with it and the camera info of the colour image.

    Lens distortion is removed, unless the images are `rectified` already; the stamp and the frame id are those of the
    colour image.

    Raises:
        BinposeError: when the three do not belong together, or one of them cannot be used.
    """
    header = from_header(color)
    _check_frames("colour image", header, info, depth)
    depth_m = None if depth is None else to_depth_m(depth)
    camera = to_camera(info, rectified)
    return undistort(RgbdFrame(to_color(color), depth_m, camera, header.stamp_ns, header.frame_id, header.frame_id))


def to_depth_frame(depth: Any, info: Any, header: Header, rectified: bool = False) -> RgbdFrame:
    """The frame of a depth image for stages that look at no colour: it is black.

    Args:
        depth: the depth image, aligned with the colour image.
        info: the camera info of the colour image.
        header: of the poses that were found in the colour image; the frame's own.
        rectified: see `to_camera`.

    Raises:
        BinposeError: when they do not belong together, or one of them cannot be used.
    """
    _check_frames("array of poses", header, info, depth)
    depth_m = to_depth_m(depth)
    black = np.zeros(depth_m.shape, np.uint8)
    camera = to_camera(info, rectified)
    return undistort(RgbdFrame(black, depth_m, camera, header.stamp_ns, header.frame_id, header.frame_id))


def _check_frames(what: str, header: Header, info: Any, depth: Any | None) -> None:
    for other, message in (("camera info", info), ("depth image", depth)):
        if message is not None and message.header.frame_id != header.frame_id:
            raise BinposeError(
                f"The {other} is of frame {message.header.frame_id!r}, the {what} of {header.frame_id!r}; "
                "expected one frame; take the depth that is aligned to colour, and the colour camera's info.",
                Reason.FRAME_MISMATCH,
            )


def header_of(frame: RgbdFrame) -> Header:
    """The header that every output of this frame carries."""
    return Header(frame.stamp_ns, frame.frame_id)
