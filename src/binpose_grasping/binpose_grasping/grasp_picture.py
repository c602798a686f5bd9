"""A picture of the best grasps of a part: part and hand from an oblique direction, one tile per grasp."""

import cv2
import numpy as np
import numpy.typing as npt

from binpose_core.frames.camera import Camera
from binpose_core.geometry.transforms import FloatArray, from_rotation_translation, transform
from binpose_core.meshes.mesh import Mesh
from binpose_core.parts.grasps import PARALLEL, TOOLS, GraspSet
from binpose_core.parts.objects import ObjectModel
from binpose_core.rendering.orbit import rotations_along
from binpose_core.rendering.renderer import Renderer
from binpose_grasping.gripper import GripperConfig, box_corners, hand_boxes
from binpose_grasping.search_config import SuctionConfig
from binpose_grasping.suction import tool_boxes

Image = npt.NDArray[np.uint8]

TILE_PX, LABEL_PX, COLUMNS, SCALE = 280, 24, 4, 2
SLANT = np.array([0.45, 0.62, 0.64])  # viewing direction in the frame of the hand, which approaches along z
WIDTHS_AWAY = 8
PART, HAND = (150, 165, 185), (235, 140, 60)
BACKGROUND, INK = 245, (40, 40, 40)
BOX_FACES = np.array(
    [[0, 2, 1], [1, 2, 3], [4, 5, 6], [5, 7, 6], [0, 1, 4], [1, 5, 4], [2, 6, 3], [3, 6, 7], [0, 4, 2], [2, 4, 6],
     [1, 3, 5], [3, 7, 5]], np.int32,
)  # fmt: skip


def draw_grasps(
    part: ObjectModel, grasps: GraspSet, gripper: GripperConfig, suction: SuctionConfig, most: int = 8
) -> Image:
    """RGB (h, w, 3) uint8: the best grasps with their quality, of each tool at most `most`."""
    shown = [n for tool in range(len(TOOLS)) for n in np.flatnonzero(grasps.tool == tool)[:most]]
    tiles = [_tile(part, grasps, int(n), gripper, suction) for n in shown]
    blank = np.full((TILE_PX + LABEL_PX, TILE_PX, 3), BACKGROUND, np.uint8)
    if not tiles:
        return _labelled(np.full((TILE_PX, TILE_PX, 3), BACKGROUND, np.uint8), f"{part.id}: no grasp")
    tiles += [blank] * (-len(tiles) % min(COLUMNS, len(tiles)))
    columns = min(COLUMNS, len(tiles))
    return np.concatenate([np.concatenate(tiles[i : i + columns], 1) for i in range(0, len(tiles), columns)])


def hand_mesh(low: FloatArray, high: FloatArray) -> Mesh:
    """The boxes (B, 3), (B, 3) of a hand as one mesh in the hand's frame."""
    corners = box_corners(low, high)
    faces = BOX_FACES[None] + 8 * np.arange(len(low))[:, None, None]
    return Mesh(corners.reshape(-1, 3).astype(np.float32), faces.reshape(-1, 3).astype(np.int32))


def _tile(part: ObjectModel, grasps: GraspSet, n: int, gripper: GripperConfig, suction: SuctionConfig) -> Image:
    if grasps.tool[n] == PARALLEL:
        low, high = hand_boxes(gripper, grasps.width_m[n : n + 1])
    else:
        low, high = tool_boxes(suction, 1)
    hand = hand_mesh(low[0], high[0])
    T_obj_hand = grasps.T_obj_hand[n]
    around = np.concatenate([part.mesh.vertices, transform(T_obj_hand, hand.vertices)])
    center = (around.min(axis=0) + around.max(axis=0)) / 2
    width_m = 2 * float(np.linalg.norm(around - center, axis=1).max())
    view = T_obj_hand[:3, :3] @ (SLANT / np.linalg.norm(SLANT))
    rotation = rotations_along(view[None])[0]
    up = rotation @ -T_obj_hand[:3, 2]  # the hand comes from the top of the picture
    turn = np.arctan2(up[0], -up[1])
    rotation = _about_z(-turn) @ rotation
    T_cam_obj = from_rotation_translation(rotation, [0, 0, WIDTHS_AWAY * width_m] - rotation @ center)
    size = SCALE * TILE_PX
    camera = Camera(WIDTHS_AWAY * size * 0.95, WIDTHS_AWAY * size * 0.95, size / 2, size / 2, size, size)
    poses = np.stack([T_cam_obj, T_cam_obj @ T_obj_hand])
    near_m = 0.1 * WIDTHS_AWAY * width_m
    drawn = Renderer([part.mesh, hand]).scene(np.array([0, 1]), poses, camera, near_m)
    image = np.where(drawn.mask[..., None], drawn.shaded(np.array([PART, HAND])), np.uint8(BACKGROUND))
    text = f"{n + 1}  {TOOLS[grasps.tool[n]]}  quality {grasps.quality[n]:.3f}  holds {100 * grasps.success[n]:.0f} %"
    small = cv2.resize(image, (TILE_PX, TILE_PX), interpolation=cv2.INTER_AREA)
    return _labelled(np.asarray(small, np.uint8), text)


def _about_z(angle: float) -> FloatArray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])


def _labelled(image: Image, text: str) -> Image:
    strip = np.full((LABEL_PX, image.shape[1], 3), BACKGROUND, np.uint8)
    cv2.putText(strip, text, (6, LABEL_PX - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.38, INK, 1, cv2.LINE_AA)
    return np.concatenate([strip, image])
