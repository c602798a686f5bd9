"""Picks that were recorded with the frames of a self-training."""

from pathlib import Path

from binpose_core.datasets.pick_outcomes import PickOutcome, read_outcomes
from binpose_self_training.recorded_frames import RecordedFrames

OUTCOMES = "outcomes.json"
"""File with the picks in the folder of a recording."""


def recorded_outcomes(frames: RecordedFrames) -> dict[str, list[PickOutcome]]:
    """The picks from frames, by the names of `RecordedFrames.sources`; frames without a pick are left out.

    Raises:
        BinposeError: for a damaged file of outcomes.
    """
    files = {info.recording: Path(info.recording) / OUTCOMES for info in frames.infos}
    known = {recording: read_outcomes(path) for recording, path in files.items() if path.is_file()}
    found = {}
    for source, info in zip(frames.sources, frames.infos, strict=True):
        picks = known.get(info.recording, {}).get(info.name, [])
        if picks:
            found[source.name] = picks
    return found
