"""Refinement of pose hypotheses: alignment to the depth, verification, calibrated scores, consistency."""

from binpose_refinement.calibration import Calibration
from binpose_refinement.calibration_fit import fit_calibration
from binpose_refinement.config import METHODS, RefinerConfig
from binpose_refinement.descent_config import DescentConfig, Phase
from binpose_refinement.refiner import IcpRefiner
from binpose_refinement.reliability import Reliability, reliability
from binpose_refinement.render_and_compare import Descent
from binpose_refinement.verification import FEATURES

__all__ = [
    "FEATURES",
    "METHODS",
    "Calibration",
    "Descent",
    "DescentConfig",
    "IcpRefiner",
    "Phase",
    "RefinerConfig",
    "Reliability",
    "fit_calibration",
    "reliability",
]
