"""Grasps of parts from their CAD files, and collision-free grasps of the parts in a frame."""

from binpose_grasping.antipodal import AntipodalConfig, PartGrasps, antipodal_grasps
from binpose_grasping.config import Direction, PlannerConfig
from binpose_grasping.gripper import GripperConfig
from binpose_grasping.planner import GraspPlan, GraspPlanner

__all__ = [
    "AntipodalConfig",
    "Direction",
    "GraspPlan",
    "GraspPlanner",
    "GripperConfig",
    "PartGrasps",
    "PlannerConfig",
    "antipodal_grasps",
]
