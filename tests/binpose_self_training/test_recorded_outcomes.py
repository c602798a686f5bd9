"""Picks reach the frames that they were made from."""

from dataclasses import replace
from pathlib import Path

import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.datasets.bop import BopDataset
from binpose_core.datasets.pick_outcomes import PickOutcome, write_outcomes
from binpose_self_training.config import FramesConfig
from binpose_self_training.recorded_frames import Recording, collect_frames
from binpose_self_training.recorded_outcomes import OUTCOMES, recorded_outcomes


@pytest.fixture
def frames(dataset: Path, tmp_path: Path):
    """The frames of a data set, and the picks from its second frame."""
    sources = list(BopDataset(dataset).frames("test"))
    config = replace(FramesConfig(), frames=3, held_out=0.0)
    stored, _ = collect_frames([Recording(dataset, sources)], config, tmp_path / "run")
    return stored


def test_picks_are_found_by_recording_and_frame(frames, dataset, scenes):
    assert recorded_outcomes(frames) == {}
    info = frames.infos[1]
    pick = PickOutcome(scenes[1].object_ids[0], scenes[1].T_cam_obj[0], True)
    write_outcomes(dataset / OUTCOMES, {info.name: [pick], "of_another_run": [pick]})
    found = recorded_outcomes(frames)
    assert list(found) == [frames.sources[1].name]
    assert found[frames.sources[1].name][0].object_id == pick.object_id


def test_a_damaged_file_is_refused(frames, dataset):
    (dataset / OUTCOMES).write_text("{}")
    with pytest.raises(BinposeError, match="format"):
        recorded_outcomes(frames)
