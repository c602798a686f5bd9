"""Collisions of an arm and its hand with the cell, found parts and itself, by Pinocchio and its collision library Coal.

Links are the convex hulls of the URDF's collision meshes. Hand and fingers are the boxes of the gripper's settings, so
that any parallel gripper can be mounted. Obstacles are boxes and the triangles of found parts.
"""

from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.geometry.transforms import FloatArray, from_rotation_translation
from binpose_core.meshes.mesh import Mesh
from binpose_grasping.arm import FRANKA, INSTALL, ArmConfig
from binpose_grasping.cell import Boxes
from binpose_grasping.gripper import GripperConfig, grown, hand_boxes
from binpose_grasping.urdf_arm import pinocchio

DESCRIPTIONS, PANDA = "example-robot-data", "panda_description/urdf/panda.urdf"
PANDA_FRAMES = ("panda_link0", "panda_link8")
NEIGHBOURS = 2
"""Links with at most this many joints between them are not checked against each other."""
HAND, HAND_BOXES = "hand", 3
INSIDE_M = 0.001
"""The hand's boxes are smaller by this on all sides: they were checked exactly, and may touch what they graze."""


class ArmCollision:
    """Checks joint angles of one arm.

    Args:
        config: of the arm. The Franka arms share the meshes of the Panda, whose outer shape is that of both.
        gripper: the hand.

    Raises:
        BinposeError: if a library or the arm's description is missing.
    """

    def __init__(self, config: ArmConfig, gripper: GripperConfig) -> None:
        self._pin = pin = pinocchio()
        path, base, tip = description(config)
        self._model = model = chain(pin, str(path), tip)
        self._data = model.createData()
        pin.framesForwardKinematics(model, self._data, pin.neutral(model))
        self._world_base = self._data.oMf[model.getFrameId(base)]
        self._gripper = gripper
        self._joint_tcp = model.frames[model.getFrameId(tip)].placement * pin.SE3(config.tcp.matrix)
        self._links = self._link_shapes(path, tip)
        self._hand = len(self._links) - HAND_BOXES
        self._geometry: Any = None
        self._manager: Any = None
        self._state: Any = None
        self._pairs: dict[int, list[int]] = {}
        self.set_obstacles(Boxes(np.zeros((0, 4, 4)), np.zeros((0, 3))), (), ())

    def set_obstacles(self, boxes: Boxes, shapes: Sequence[Any], T_base_shape: Sequence[FloatArray]) -> None:
        """Replace the obstacles, all in the frame of the arm's base.

        Args:
            boxes: of the cell.
            shapes: of `mesh_shape`, of found parts.
            T_base_shape: (4, 4) of each of them.
        """
        pin, coal = self._pin, _coal()
        geometry = pin.GeometryModel()
        own = [geometry.addGeometryObject(shape) for shape in self._links]
        for first in own:
            for second in own:
                far = abs(self._links[first].parentJoint - self._links[second].parentJoint) > NEIGHBOURS
                if first < second and far:
                    geometry.addCollisionPair(pin.CollisionPair(first, second))
        things = [(coal.Box(*(2 * half)), T) for T, half in zip(boxes.T_base_box, boxes.half_m, strict=True)]
        things += zip(shapes, T_base_shape, strict=True)
        self._pairs = {}
        for number, (shape, T) in enumerate(things):
            place = self._world_base * pin.SE3(np.asarray(T, np.float64))
            entry = geometry.addGeometryObject(pin.GeometryObject(f"obstacle_{number}", 0, place, shape))
            for link in own:
                if self._links[link].parentJoint > 1:  # the first link stands on the cell's base
                    geometry.addCollisionPair(pin.CollisionPair(link, entry))
                    if link >= self._hand:
                        pair = len(geometry.collisionPairs) - 1
                        self._pairs.setdefault(number - len(boxes), []).append(pair)
        self._geometry, self._state = geometry, geometry.createData()
        self._manager = pin.BroadPhaseManager_DynamicAABBTreeCollisionManager(self._model, geometry, self._state)

    def collides(self, joints: FloatArray, width_m: float, held: int | None = None) -> bool:
        """Whether the arm or the hand touches an obstacle, or the arm itself, at any of the joint angles (W, J).

        Args:
            joints: in radians.
            width_m: that the fingers open for.
            held: place among the found parts of the one that the hand takes; the hand may touch it.
        """
        self._open(width_m)
        allowed = self._pairs.get(held, []) if held is not None else []
        for pair in allowed:
            self._state.deactivateCollisionPair(pair)
        pin = self._pin
        hit = any(pin.computeCollisions(self._model, self._data, self._manager, q, True) for q in joints)
        for pair in allowed:
            self._state.activateCollisionPair(pair)
        return hit

    def touching(self, joints: FloatArray, width_m: float) -> list[tuple[str, str]]:
        """The names of all pairs that touch at joint angles (J,), by brute force."""
        self._open(width_m)
        self._pin.computeCollisions(self._model, self._data, self._geometry, self._state, joints, False)
        objects, pairs = self._geometry.geometryObjects, self._geometry.collisionPairs
        results = self._state.collisionResults
        return [
            (str(objects[pair.first].name), str(objects[pair.second].name))
            for pair, result in zip(pairs, results, strict=True)
            if result.isCollision()
        ]

    def _link_shapes(self, path: Path, tip: str) -> list[Any]:
        """Convex links up to the flange, and the boxes of the hand: finger, finger, palm."""
        pin, coal = self._pin, _coal()
        shapes, flange = link_shapes(pin, self._model, path, tip), self._model.frames[self._model.getFrameId(tip)]
        for number, (low, high) in enumerate(zip(*self._hand_boxes(0.0), strict=True)):
            box, place = coal.Box(*(high - low)), self._place(low, high)
            shapes.append(pin.GeometryObject(f"{HAND}_{number}", flange.parentJoint, place, box))
        return shapes

    def _hand_boxes(self, width_m: float) -> tuple[FloatArray, FloatArray]:
        low, high = hand_boxes(self._gripper, np.array([width_m]))
        return grown(low[0], high[0], -INSIDE_M)

    def _place(self, low: FloatArray, high: FloatArray) -> Any:
        """Placement of a box of the hand in the last joint's frame."""
        return self._joint_tcp * self._pin.SE3(from_rotation_translation(np.eye(3), (low + high) / 2))

    def _open(self, width_m: float) -> None:
        """Move the fingers to the opening for a width."""
        for number, corners in enumerate(zip(*self._hand_boxes(width_m), strict=True)):
            self._geometry.geometryObjects[self._hand + number].placement = self._place(*corners)


def description(config: ArmConfig) -> tuple[Path, str, str]:
    """URDF file, base frame and hand frame of an arm.

    Raises:
        BinposeError: if the package with the arm's description is missing.
    """
    if config.name not in FRANKA:
        return Path(config.urdf), config.base_frame, config.hand_frame
    try:
        files = metadata.distribution(DESCRIPTIONS)
    except metadata.PackageNotFoundError as error:
        raise BinposeError(
            f"The shape of the arm {config.name!r} needs the package {DESCRIPTIONS}; install the extra: pip install "
            "'binpose[picking]', or switch off planner.arm.collisions."
        ) from error
    path = next(file for file in files.files or () if str(file).endswith(PANDA))
    return Path(str(files.locate_file(path))).resolve(), *PANDA_FRAMES


def mesh_shape(mesh: Mesh) -> Any:
    """A mesh as a hierarchy of bounding volumes."""
    coal = _coal()
    shape = coal.BVHModelOBBRSS()
    vertices, faces = mesh.vertices.astype(np.float64), mesh.faces.astype(np.int64)
    shape.beginModel(len(faces), len(vertices))
    shape.addVertices(vertices)
    shape.addTriangles(faces)
    shape.endModel()
    return shape


def chain(pin: Any, path: str, tip: str) -> Any:
    """Pinocchio's model of the joints up to a hand frame; all others are locked at zero."""
    model = pin.buildModelFromUrdf(path)
    moved = set(model.supports[model.frames[model.getFrameId(tip)].parentJoint])
    locked = [number for number in range(1, model.njoints) if number not in moved]
    return pin.buildReducedModel(model, locked, pin.neutral(model)) if locked else model


def link_shapes(pin: Any, model: Any, path: Path, tip: str) -> list[Any]:
    """Convex links up to the flange, as Pinocchio's geometry objects.

    Args:
        pin: the library.
        model: of `chain`.
        path: of the URDF.
        tip: the hand frame.
    """
    full = pin.buildModelFromUrdf(str(path))
    folders = [str(path.parent), *(str(folder) for folder in path.parents[:6])]
    shapes, flange = [], model.frames[model.getFrameId(tip)]
    found = pin.buildGeomFromUrdf(full, str(path), pin.GeometryType.COLLISION, package_dirs=folders)
    for shape in found.geometryObjects:
        name = full.names[shape.parentJoint] if shape.parentJoint else ""
        if shape.parentJoint and not model.existJointName(name):
            continue  # behind the flange: the URDF's own hand
        on_last = shape.parentJoint == full.getJointId(model.names[flange.parentJoint])
        if on_last and is_behind(full, shape.parentFrame, tip):
            continue
        joint = model.getJointId(name) if shape.parentJoint else 0
        shapes.append(pin.GeometryObject(shape.name, joint, shape.placement, _convex(shape.geometry)))
    return shapes


def is_behind(model: Any, frame: int, tip: str) -> bool:
    """Whether a frame, given by its index, belongs to what is mounted on the hand frame."""
    end = model.getFrameId(tip)
    while frame > 0:
        if frame == end:
            return True
        frame = model.frames[frame].parentFrame
    return False


def _convex(shape: Any) -> Any:
    if hasattr(shape, "buildConvexRepresentation"):
        shape.buildConvexRepresentation(True)
        return shape.convex
    return shape


def _coal() -> Any:
    try:
        import coal
    except ImportError as error:
        raise BinposeError(f"Collisions of the arm need the package coal; {INSTALL}.") from error
    return coal
