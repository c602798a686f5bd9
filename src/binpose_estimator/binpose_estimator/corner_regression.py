"""Corners of bounding boxes as what distillation and consistency compare: the h of Sock et al. (2020)."""

import torch

from binpose_estimator.box_corners import CornerPrediction, corners_at, equivalent_corners, half_width
from binpose_estimator.crops import CropInputs
from binpose_estimator.losses import PartTables, PoseTargets, symmetric_poses
from binpose_estimator.pnp import solve_pnp
from binpose_estimator.regression import CropPoses, Equivalents, Regression


class CornerRegression(Regression):
    """The projections of eight corners and the centre, in half widths of the crop.

    Args:
        tables: symmetries of the parts in class order.
        points: (C, 9, 3) `box_points` of the parts.
    """

    kind = CornerPrediction

    def __init__(self, tables: PartTables, points: torch.Tensor) -> None:
        self._tables, self._points = tables, points

    def points(self, prediction: CornerPrediction) -> torch.Tensor:
        """(B, 1, 9, 2) corners."""
        return prediction.corners[:, None]

    def truth(self, inputs: CropInputs, targets: PoseTargets) -> Equivalents:
        """The corners at the true pose and at those that symmetries make of it."""
        corners = equivalent_corners(inputs, targets, self._tables, self._points)
        return Equivalents(corners[:, None], self._tables.valid[targets.classes])

    def poses(self, prediction: CornerPrediction, inputs: CropInputs, classes: torch.Tensor) -> CropPoses:
        """The poses of the smallest reprojection error, with gradients to the corners."""
        image = prediction.corners * half_width(inputs)[:, None, None]
        pose = solve_pnp(self._points[classes], image)
        ahead = torch.nn.functional.pad(inputs.distance[:, None], (2, 0))
        return CropPoses(pose.rotation, pose.translation - ahead)

    @torch.no_grad()
    def equivalents(self, points: torch.Tensor, inputs: CropInputs, classes: torch.Tensor) -> Equivalents:
        """Corners (B, 1, 9, 2) moved as symmetries move those of the pose that PnP finds for them.

        Corners that stand for no pose exactly stay as far from it. Those of a part without symmetries stay.
        """
        valid = self._tables.valid[classes]
        values = points[:, :, None].repeat(1, 1, valid.shape[1], 1, 1)
        symmetric = torch.nonzero(valid.sum(1) > 1)[:, 0]
        if len(symmetric):
            own, seen = classes[symmetric], inputs.take(symmetric)
            pose = self.poses(CornerPrediction(points[symmetric, 0], points[symmetric, 0, 0, 0]), seen, own)
            found = corners_at(symmetric_poses(*pose, own, self._tables), self._points[own], seen)
            moved = (found - found[:, :1])[:, None]
            values[symmetric] += torch.where(torch.isfinite(moved), moved, 0.0)
        return Equivalents(values, valid)
