"""sensor_msgs images and camera info <-> RgbdFrame and Camera."""

from typing import Any

import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.base.reasons import Reason
from binpose_core.frames.camera import Camera
from binpose_core.frames.camera_parameters import CheckedCamera, Window, check_camera
from binpose_core.frames.rgbd_frame import RgbdFrame, undistort
from binpose_ros.images import to_depth_m, to_picture
from binpose_ros.stamps import Header, from_header, to_header


def to_camera(info: Any, rectified: bool = False) -> Camera:
    """The camera of a sensor_msgs/CameraInfo; see `check_info`."""
    return check_info(info, rectified).camera


def check_info(info: Any, rectified: bool = False) -> CheckedCamera:
    """The camera of a sensor_msgs/CameraInfo for the part and resolution that its images have, and what looks odd.

    Args:
        info: of the images as the camera takes them; image_proc publishes it with rectified images as well.
        rectified: whether the images are rectified: then P is their matrix, and they have no distortion left.

    Raises:
        BinposeError: for an uncalibrated camera, or parameters that `check_camera` refuses.
    """
    where, name = f"the camera info of {info.header.frame_id!r}", "P" if rectified else "K"
    matrix = [info.p[index] for index in (0, 1, 2, 4, 5, 6, 8, 9, 10)] if rectified else info.k
    if matrix[0] == 0:
        raise BinposeError(
            f"The camera info of {info.header.frame_id!r} has a focal length of 0, that of an uncalibrated camera; "
            f"expected its matrix {name}; calibrate the camera.",
            Reason.UNCALIBRATED_CAMERA,
        )
    roi = info.roi
    return check_camera(
        matrix,
        (info.width, info.height),
        where,
        name=name,
        distortion=() if rectified else info.d,
        model="" if rectified else str(info.distortion_model),
        window=Window(roi.x_offset, roi.y_offset, roi.width, roi.height, info.binning_x, info.binning_y),
    )


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
    checked, picture = check_info(info, rectified), to_picture(color)
    _check_size(picture.color.shape, checked.camera, info)
    depth_m = None if depth is None else to_depth_m(depth)
    return _frame(picture.color, depth_m, checked.camera, header, (*checked.notes, *picture.notes))


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
    depth_m, checked = to_depth_m(depth), check_info(info, rectified)
    _check_size(depth_m.shape, checked.camera, info)
    return _frame(np.zeros(depth_m.shape, np.uint8), depth_m, checked.camera, header, checked.notes)


def _frame(color: Any, depth_m: Any, camera: Camera, header: Header, notes: tuple[str, ...]) -> RgbdFrame:
    return undistort(RgbdFrame(color, depth_m, camera, header.stamp_ns, header.frame_id, header.frame_id, notes=notes))


def _check_size(shape: tuple[int, ...], camera: Camera, info: Any) -> None:
    """Whether the images have the size that the camera info states, after region of interest and binning."""
    height, width = shape[:2]
    if (width, height) == (camera.width, camera.height):
        return
    roi, full = info.roi, f"{info.width}x{info.height}"
    part = f", region of interest {roi.width}x{roi.height}" if roi.width or roi.height else ""
    binning = f", binning {info.binning_x}x{info.binning_y}" if max(info.binning_x, info.binning_y) > 1 else ""
    raise BinposeError(
        f"The image of {info.header.frame_id!r} has {width}x{height} pixels, but its camera info is of "
        f"{camera.width}x{camera.height} ({full}{part}{binning}); expected one size; take the camera info of these "
        "images, or correct the camera's driver.",
        Reason.SIZE_MISMATCH,
    )


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
