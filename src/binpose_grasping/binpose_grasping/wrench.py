"""Quality of a grasp by its wrench space (Ferrari and Canny, 1992).

A contact can exert every force in its friction cone, and as a soft finger a torque about its normal as well. The cone
is replaced by a pyramid. The convex hull of all contacts' wrenches with normal forces that sum up to one holds the
wrenches that the grasp resists. Its quality is the radius of the largest ball about the origin inside that hull.
"""

import numpy as np

from binpose_core.geometry.transforms import FloatArray
from binpose_grasping.search_config import ContactConfig

FLAT = 1e-9
"""A hull whose wrenches have a smaller singular value than this fraction of the largest one is flat."""


def contact_wrenches(
    points: FloatArray, inward: FloatArray, config: ContactConfig, center_m: FloatArray, radius_m: float
) -> FloatArray:
    """Wrenches of unit normal force at the edges of each contact's cone.

    Args:
        points: (C, 3) contacts in metres.
        inward: (C, 3) unit normals into the part.
        config: of the contacts.
        center_m: (3,) about which torques are taken: the centre of mass.
        radius_m: length that torques are divided by: the largest distance of the part's surface from that centre.

    Returns:
        (C * W, 6) force and scaled torque. W is `edges`, and two more for soft fingers.
    """
    turn = 2 * np.pi * np.arange(config.edges) / config.edges
    across, other = tangents(inward)
    sideways = np.cos(turn)[:, None] * across[:, None] + np.sin(turn)[:, None] * other[:, None]  # (C, edges, 3)
    forces = inward[:, None] + config.friction * sideways
    torques = np.cross((points - center_m)[:, None], forces)
    if config.torsion_m > 0:
        arm = np.cross(points - center_m, inward)
        spin = config.torsion_m * inward
        forces = np.concatenate([forces, inward[:, None], inward[:, None]], 1)
        torques = np.concatenate([torques, (arm + spin)[:, None], (arm - spin)[:, None]], 1)
    return np.concatenate([forces, torques / radius_m], -1).reshape(-1, 6)


def epsilon_quality(wrenches: FloatArray) -> float:
    """Radius of the largest ball about the origin in the hull of wrenches (W, 6); 0 without force closure."""
    from scipy.spatial import ConvexHull, QhullError

    spread = np.linalg.svd(wrenches - wrenches.mean(axis=0), compute_uv=False)
    if len(wrenches) <= wrenches.shape[1] or spread[-1] <= FLAT * spread[0]:
        return 0.0
    try:
        offsets = ConvexHull(wrenches).equations[:, -1]
    except QhullError:
        return 0.0
    return float(max(0.0, -offsets.max()))


def tangents(directions: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Two unit vectors (N, 3) each, at right angles to unit directions (N, 3) and each other."""
    across = np.cross(directions, np.eye(3)[np.abs(directions).argmin(axis=1)])
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    return across, np.cross(directions, across)
