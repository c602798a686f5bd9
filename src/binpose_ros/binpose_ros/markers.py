"""Found parts as visualization_msgs/MarkerArray: their meshes, and a text with id and score."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from binpose_core.base.errors import UnknownObject
from binpose_core.base.files import write_bytes
from binpose_core.frames.types import PoseEstimate
from binpose_core.meshes.mesh_files import ply_bytes
from binpose_core.parts.objects import ObjectModel
from binpose_ros.poses import from_matrix
from binpose_ros.stamps import Header, ns_to_stamp, to_header

Rgb = tuple[float, float, float]
MESH_RESOURCE, TEXT_VIEW_FACING, ADD, DELETE_ALL = 10, 9, 0, 3  # visualization_msgs/Marker
ALPHA, TEXT_SHARE = 0.8, 0.3
MOST_FACES = 5000


class MeshResources:
    """The parts' meshes as files, for RViz to read.

    Args:
        objects: the parts by id.
        directory: where the files are written, in a folder named after what they hold.

    Raises:
        BinposeError: when they cannot be written.
    """

    def __init__(self, objects: Mapping[str, ObjectModel], directory: Path) -> None:
        self.urls = {object_id: _written(part, directory) for object_id, part in objects.items()}

    def __getitem__(self, object_id: str) -> str:
        """The URL of a part's mesh."""
        return self.urls[object_id]


def _written(part: ObjectModel, directory: Path) -> str:
    data = ply_bytes(part.lod(MOST_FACES))
    path = directory.expanduser().resolve() / hashlib.sha256(data).hexdigest()[:12] / f"{part.id}.ply"
    if not path.is_file():
        write_bytes(path, data, durable=False)
    return path.as_uri()


def to_markers(
    poses: Sequence[PoseEstimate],
    objects: Mapping[str, ObjectModel],
    meshes: Mapping[str, str] | MeshResources,
    colors: Mapping[str, Rgb],
    header: Header,
    types: Any,
) -> Any:
    """A MarkerArray that replaces the one before.

    Args:
        poses: the found parts.
        objects: by id.
        meshes: URL of each part's mesh.
        colors: of each part, red, green and blue in [0, 1].
        header: of the frame.
        types: message classes.

    Raises:
        BinposeError: for a pose of a part that is not among the objects.
    """
    if unknown := {pose.object_id for pose in poses} - set(objects):
        raise UnknownObject(
            f"Poses of {', '.join(sorted(unknown))}, which the model does not know.", sorted(unknown), objects
        )
    markers = [marker(types, header, "parts", 0, action=DELETE_ALL)]
    for number, pose in enumerate(poses):
        part, color = objects[pose.object_id], colors[pose.object_id]
        mesh = {"mesh_resource": meshes[pose.object_id], "scale": xyz(types, 1.0, 1.0, 1.0)}
        markers.append(
            marker(types, header, "parts", number, type=MESH_RESOURCE, T=pose.T_cam_obj, color=(*color, ALPHA), **mesh)
        )
        T_text = pose.T_cam_obj.copy()
        T_text[:3, 3] += pose.T_cam_obj[:3, :3] @ part.center_m
        height = TEXT_SHARE * part.diameter_m
        text = {"text": f"{pose.object_id} {pose.score:.2f}", "scale": xyz(types, 0.0, 0.0, height)}
        markers.append(
            marker(types, header, "names", number, type=TEXT_VIEW_FACING, T=T_text, color=(1.0, 1.0, 1.0, 1.0), **text)
        )
    return types.MarkerArray(markers=markers)


def marker(
    types: Any,
    header: Header,
    ns: str,
    number: int,
    *,
    type: int = 0,
    action: int = ADD,
    T: Any = None,
    color: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0),
    scale: Any = None,
    text: str = "",
    mesh_resource: str = "",
) -> Any:
    """A visualization_msgs/Marker with all fields.

    Args:
        types: message classes.
        header: of the frame.
        ns: namespace of the marker.
        number: its id there.
        type: shape, by the constants of the message.
        action: by the constants of the message.
        T: (4, 4) pose; the identity when None.
        color: red, green, blue and opacity in [0, 1].
        scale: sides, as a Vector3.
        text: of a text marker.
        mesh_resource: URL of a mesh marker.
    """
    r, g, b, a = color
    none = types.Quaternion(x=0.0, y=0.0, z=0.0, w=1.0)
    pose = (
        types.Pose(position=types.Point(x=0.0, y=0.0, z=0.0), orientation=none) if T is None else from_matrix(T, types)
    )
    return types.Marker(
        header=to_header(header, types),
        ns=ns,
        id=number,
        type=type,
        action=action,
        pose=pose,
        scale=xyz(types, 0.0, 0.0, 0.0) if scale is None else scale,
        color=types.ColorRGBA(r=float(r), g=float(g), b=float(b), a=float(a)),
        lifetime=types.Duration(sec=0, nanosec=0),
        frame_locked=False,
        points=[],
        colors=[],
        texture_resource="",
        texture=types.CompressedImage(
            header=types.Header(stamp=ns_to_stamp(0, types), frame_id=""), format="", data=types.octets(b"")
        ),
        uv_coordinates=[],
        text=text,
        mesh_resource=mesh_resource,
        mesh_file=types.MeshFile(filename="", data=types.octets(b"")),
        mesh_use_embedded_materials=False,
    )


def xyz(types: Any, x: float, y: float, z: float) -> Any:
    """A Vector3."""
    return types.Vector3(x=x, y=y, z=z)
