"""Poses from projections of known points (perspective-n-point): batched, and differentiable.

    pose = solve_pnp(points_obj, points_image)  # with the gradient to the points' projections
    robust = robust_pnp(points_obj, points_image, tolerance=0.01)  # withstands wrong projections

The start is found from scaled orthographic projections (DeMenthon & Davis, 1995), the pose by Levenberg-Marquardt on
the reprojection error. Projections are (x / z, y / z), those of a pinhole camera of focal length 1.
"""

import itertools
from typing import NamedTuple

import torch

from binpose_core.base.errors import BinposeError
from binpose_core.geometry.tensor_rotations import exp_so3

FEWEST_POINTS = 4
ITERATIONS = 25
SETTLED = 1e-13
"""Relative decrease of the error at which a pose is at its minimum."""
ORTHOGRAPHIC_ITERATIONS = 6
NEAREST = 1e-6
"""Depths are at least this in projections: a step that leaves a point behind the camera has a large error."""


class CameraPose(NamedTuple):
    """rotation (B, 3, 3) and translation (B, 3): p_cam = R p_obj + t, in the unit of the points."""

    rotation: torch.Tensor
    translation: torch.Tensor


class RobustPose(NamedTuple):
    """A pose, and which points (B, N) agree with it."""

    pose: CameraPose
    inliers: torch.Tensor


def project(pose: CameraPose, points: torch.Tensor) -> torch.Tensor:
    """Projections (..., N, 2) of points (..., N, 3) at poses (..., 3, 3) and (..., 3)."""
    camera = points @ pose.rotation.transpose(-1, -2) + pose.translation[..., None, :]
    return camera[..., :2] / camera[..., 2:].clamp(min=NEAREST)


def solve_pnp(points: torch.Tensor, image: torch.Tensor, weight: torch.Tensor | None = None) -> CameraPose:
    """The poses of the smallest weighted squared reprojection error.

    The result has the gradient to all arguments: at the minimum, the implicit function theorem gives
    dx = -H^-1 dg for the gradient g and the Hessian H of the error.

    Args:
        points: (B, N, 3) in the object frame, at least 4 of them, not on one line.
        image: (B, N, 2) their projections (x / z, y / z).
        weight: (B, N) of the squared errors, at least 0; 1 if None.

    Returns:
        The poses, in the type of `image`; computed in float64.

    Raises:
        BinposeError: for fewer points.
    """
    if points.shape[-2] < FEWEST_POINTS:
        raise BinposeError(f"A pose from {points.shape[-2]} projected points; expected at least {FEWEST_POINTS}.")
    weight = torch.ones_like(image[..., 0]) if weight is None else weight
    exact = points.double(), image.double(), weight.double()
    with torch.no_grad():
        starts = orthographic_poses(*exact)
        each = tuple(value[:, None] for value in exact)
        found = _minimised(starts, *each)
        pose = _chosen(found, _squared_error(found, *each).argmin(1))
    if any(value.requires_grad for value in exact):
        pose = _with_gradient(pose, *exact)
    return CameraPose(pose.rotation.to(image.dtype), pose.translation.to(image.dtype))


def robust_pnp(
    points: torch.Tensor, image: torch.Tensor, tolerance: float | torch.Tensor, outliers: int = 3
) -> RobustPose:
    """Poses that as many points as possible agree with, however wrong the others are.

    Every subset without `outliers` of the points gives candidates (84 subsets for 3 of 9). The best one's inliers give
    the pose.

    Args:
        points: (B, N, 3) in the object frame.
        image: (B, N, 2) their projections, some of them wrong.
        tolerance: largest reprojection error of an inlier, for all or each (B,).
        outliers: how many points may be wrong, at most N - 4.

    Raises:
        BinposeError: if fewer than 4 points would be left.
    """
    count = points.shape[-2]
    if not 0 <= outliers <= count - FEWEST_POINTS:
        raise BinposeError(
            f"{outliers} outliers among {count} points; expected 0 to {count - FEWEST_POINTS}: a pose takes "
            f"{FEWEST_POINTS} points."
        )
    exact = points.double(), image.double()
    limit = torch.as_tensor(tolerance, dtype=torch.float64, device=image.device).expand(len(image))[:, None]
    with torch.no_grad():
        pose = _consensus(*exact, limit, count - outliers)
        for _ in range(2):
            error = (project(pose, exact[0]) - exact[1]).norm(dim=-1)
            pose = _minimised(pose, *exact, _inlier_weight(error, limit))
        error = (project(pose, exact[0]) - exact[1]).norm(dim=-1)
    return RobustPose(CameraPose(pose.rotation.to(image.dtype), pose.translation.to(image.dtype)), error <= limit)


def _consensus(points: torch.Tensor, image: torch.Tensor, tolerance: torch.Tensor, size: int) -> CameraPose:
    """Of the approximate poses of all subsets of `size` points, the one with the smallest truncated squared error."""
    subsets = torch.tensor([*itertools.combinations(range(points.shape[1]), size)], device=points.device)
    used = torch.zeros(len(subsets), points.shape[1], dtype=points.dtype, device=points.device)
    used.scatter_(1, subsets, 1.0)
    every_points, every_image = (value.repeat_interleave(len(subsets), 0) for value in (points, image))
    tried = orthographic_poses(every_points, every_image, used.repeat(len(points), 1))
    tried = CameraPose(tried.rotation.reshape(len(points), -1, 3, 3), tried.translation.reshape(len(points), -1, 3))
    error = (project(tried, points[:, None]) - image[:, None]).norm(dim=-1)
    return _chosen(tried, error.minimum(tolerance[..., None]).square().sum(-1).argmin(1))


def _chosen(poses: CameraPose, index: torch.Tensor) -> CameraPose:
    """Of poses (B, K, ...) the one of each index (B,)."""
    rows = torch.arange(len(index), device=index.device)
    return CameraPose(poses.rotation[rows, index], poses.translation[rows, index])


def _inlier_weight(error: torch.Tensor, tolerance: torch.Tensor) -> torch.Tensor:
    """Weights (B, N): 1 of points within the tolerance, and of the best ones where these are too few for a pose."""
    enough = error.kthvalue(FEWEST_POINTS, dim=-1, keepdim=True).values.maximum(tolerance)
    return (error <= enough).to(error.dtype)


def orthographic_poses(points: torch.Tensor, image: torch.Tensor, weight: torch.Tensor) -> CameraPose:
    """Three approximate poses (B, 3, ...) from (B, N, 3) points, their projections (B, N, 2) and weights (B, N).

    The first row of the rotation over the depth, and the second one, are linear in x (1 + e) and y (1 + e), where
    e = r3 . p / depth comes from the pose before. Along the thinnest axis of the points these rows are uncertain: the
    two other poses take what the orthogonality of the rows implies there, as for points in a plane
    (Oberkampf et al., 1996).
    """
    total = weight.sum(-1)[:, None]
    origin = (weight[..., None] * points).sum(1) / total
    local = points - origin[:, None]
    weighted = (weight[..., None] * local).transpose(1, 2)
    scatter = weighted @ local
    thin = torch.linalg.eigh(scatter).eigenvectors[:, None, :, 0]
    size = scatter.diagonal(dim1=1, dim2=2).sum(-1)[:, None, None]
    inverse = torch.linalg.inv(scatter + 1e-7 * size * torch.eye(3, dtype=points.dtype, device=points.device))
    stretch = torch.ones_like(image[:, None, :, :1]).expand(-1, 3, -1, -1)
    for _ in range(ORTHOGRAPHIC_ITERATIONS):
        seen = image[:, None] * stretch
        middle = (weight[:, None, :, None] * seen).sum(2) / total[..., None]
        rows = (inverse[:, None] @ weighted[:, None] @ (seen - middle[:, :, None])).transpose(2, 3)
        rows = torch.cat([rows[:, :1], _planar_rows(rows[:, 1:], thin)], 1)
        length = rows.norm(dim=-1)
        depth = 1.0 / length.mean(-1).clamp(min=1e-12)
        rotation = _rotation_of_rows(rows / length[..., None].clamp(min=1e-12))
        stretch = 1.0 + (local[:, None] @ rotation[:, :, 2, :, None]) / depth[..., None, None]
    translation = torch.cat([middle, torch.ones_like(middle[..., :1])], -1) * depth[..., None]
    return CameraPose(rotation, translation - (rotation @ origin[:, None, :, None])[..., 0])


def _planar_rows(rows: torch.Tensor, thin: torch.Tensor) -> torch.Tensor:
    """Rows (B, 2, 2, 3) with other components along the thin axis (B, 1, 3): those that make them equal and orthogonal.

    There are two such pairs of components; one for each of the two poses.
    """
    across = rows - (rows @ thin[..., None]) * thin[:, :, None]
    product = (across[..., 0, :] * across[..., 1, :]).sum(-1)
    squares = across.square().sum(-1)
    difference = squares[..., 1] - squares[..., 0]
    root = (difference.square() + 4 * product.square()).sqrt()
    first, second = ((root + sign * difference).clamp(min=0).div(2).sqrt() for sign in (1, -1))
    along = torch.stack([first, -torch.where(product < 0, -second, second)], -1)
    sign = torch.tensor([1.0, -1.0], dtype=rows.dtype, device=rows.device)[None, :, None]
    return across + (along * sign)[..., None] * thin[:, :, None]


def _rotation_of_rows(rows: torch.Tensor) -> torch.Tensor:
    """Rotations (..., 3, 3) whose first two rows are the nearest orthogonal ones to unit rows (..., 2, 3)."""
    half_sum = torch.nn.functional.normalize(rows[..., 0, :] + rows[..., 1, :], dim=-1)
    half_difference = torch.nn.functional.normalize(rows[..., 0, :] - rows[..., 1, :], dim=-1)
    x, y = (half_sum + half_difference) / 2**0.5, (half_sum - half_difference) / 2**0.5
    return torch.stack([x, y, torch.linalg.cross(x, y)], -2)


def _squared_error(pose: CameraPose, points: torch.Tensor, image: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return (weight * (project(pose, points) - image).square().sum(-1)).sum(-1)


def _minimised(pose: CameraPose, points: torch.Tensor, image: torch.Tensor, weight: torch.Tensor) -> CameraPose:
    """Levenberg-Marquardt from poses (..., 3, 3); points (..., N, 3), projections and weights broadcast to them."""
    error = _squared_error(pose, points, image, weight)
    damping = torch.full_like(error, 1e-3)
    unit = torch.eye(6, dtype=points.dtype, device=points.device)
    for _ in range(ITERATIONS):
        normal, gradient = _normal_equations(pose, points, image, weight)
        scale = normal.diagonal(dim1=-2, dim2=-1).mean(-1) + 1e-12
        damped = normal + (damping * scale)[..., None, None] * unit
        moved = _moved(pose, -torch.linalg.solve(damped, gradient))
        after = _squared_error(moved, points, image, weight)
        better = after < error
        settled = torch.where(better, error - after <= SETTLED * error, damping > 1.0)
        pose = CameraPose(
            torch.where(better[..., None, None], moved.rotation, pose.rotation),
            torch.where(better[..., None], moved.translation, pose.translation),
        )
        error = torch.where(better, after, error)
        damping = torch.where(better, damping * 0.1, damping * 10.0).clamp(1e-12, 1e6)
        if settled.all():
            break
    return pose


def _moved(pose: CameraPose, twist: torch.Tensor) -> CameraPose:
    """Poses after twists (..., 6): a rotation vector about the object's origin, in the camera's axes; a translation."""
    turn = exp_so3(twist[..., :3].reshape(-1, 3)).view(*twist.shape[:-1], 3, 3)
    return CameraPose(turn @ pose.rotation, pose.translation + twist[..., 3:])


def _normal_equations(
    pose: CameraPose, points: torch.Tensor, image: torch.Tensor, weight: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """J^T W J (..., 6, 6) and J^T W r (..., 6) of the reprojection error to the twist of `_moved`."""
    turned = points @ pose.rotation.transpose(-1, -2)
    camera = turned + pose.translation[..., None, :]
    z = camera[..., 2].clamp(min=NEAREST)
    u, v = camera[..., 0] / z, camera[..., 1] / z
    zero = torch.zeros_like(z)
    by_point = torch.stack([1 / z, zero, -u / z, zero, 1 / z, -v / z], -1).unflatten(-1, (2, 3))
    x, y, w = turned.unbind(-1)
    by_turn = torch.stack([zero, w, -y, -w, zero, x, y, -x, zero], -1).unflatten(-1, (3, 3))  # -[R p]x
    jacobian = torch.cat([by_point @ by_turn, by_point], -1)
    residual = (torch.stack([u, v], -1) - image).flatten(-2)
    transposed = (jacobian * weight[..., None, None]).flatten(-3, -2).transpose(-1, -2)
    jacobian = jacobian.flatten(-3, -2)
    return transposed @ jacobian, (transposed @ residual[..., None])[..., 0]


def _with_gradient(pose: CameraPose, points: torch.Tensor, image: torch.Tensor, weight: torch.Tensor) -> CameraPose:
    """The same poses at the minimum of the error, with the gradient to the arguments: dx = -H^-1 dg."""

    def error(
        twist: torch.Tensor,
        rotation: torch.Tensor,
        translation: torch.Tensor,
        points: torch.Tensor,
        image: torch.Tensor,
        weight: torch.Tensor,
    ) -> torch.Tensor:
        turned, axis = points @ rotation.T, twist[:3].expand_as(points)
        first = torch.linalg.cross(axis, turned)  # to the second order, as the Hessian at zero takes it
        camera = turned + first + 0.5 * torch.linalg.cross(axis, first) + translation + twist[3:]
        difference = camera[:, :2] / camera[:, 2:].clamp(min=NEAREST) - image
        return 0.5 * (weight * difference.square().sum(-1)).sum()

    still = torch.zeros(len(points), 6, dtype=points.dtype, device=points.device)
    gradient = torch.func.vmap(torch.func.grad(error))(still, *pose, points, image, weight)
    hessian = torch.func.vmap(torch.func.hessian(error))(still, *pose, points.detach(), image.detach(), weight.detach())
    unit = torch.eye(6, dtype=points.dtype, device=points.device)
    scale = hessian.diagonal(dim1=-2, dim2=-1).abs().mean(-1)[:, None, None]
    return _moved(pose, -torch.linalg.solve(hessian + 1e-10 * scale * unit, gradient - gradient.detach()))
