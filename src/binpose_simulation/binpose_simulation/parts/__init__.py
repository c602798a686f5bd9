"""Industrial parts and clutter made by code, so that demo and tests need no file from anywhere."""

from binpose_simulation.parts.distractors import make_distractor
from binpose_simulation.parts.library import PART_NAMES, make_part

__all__ = ["PART_NAMES", "make_distractor", "make_part"]
