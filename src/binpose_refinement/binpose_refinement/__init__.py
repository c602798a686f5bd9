"""Refinement of pose hypotheses: alignment to the depth, verification, calibrated scores, consistency."""

from binpose_refinement.calibration import Calibration, Reliability, fit_calibration, reliability
from binpose_refinement.config import RefinerConfig
from binpose_refinement.refiner import Candidate, IcpRefiner
from binpose_refinement.verification import FEATURES

__all__ = [
    "FEATURES",
    "Calibration",
    "Candidate",
    "IcpRefiner",
    "RefinerConfig",
    "Reliability",
    "fit_calibration",
    "reliability",
]
