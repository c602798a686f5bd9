"""How the progress of a self-training names its stages."""

import re

_ROUND = re.compile(r"^round (\d+), ")


def stage_of_round(number: int, name: str) -> str:
    """The stage of a round, such as "round 1, teaching"."""
    return f"round {number}, {name}"


def round_of(stage: str) -> int:
    """The number of the round that a stage belongs to; 0 outside the rounds."""
    found = _ROUND.match(stage)
    return int(found[1]) if found else 0
