"""What the user names is opened with the options that belong to it."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.base.files import write_json
from binpose_core.frames.image_files import encode_png
from binpose_recording.inputs import open_inputs

CAMERA = {"cam_K": [60, 0, 23.5, 0, 61, 15.5, 0, 0, 1], "depth_scale": 0.1}


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A scene with the images of two sensors, and one that is not called by digits."""
    for sensor in ("cam1", "photoneo"):
        for scene in (tmp_path / "val/000002", tmp_path / "val/copy"):
            write_json(scene / f"scene_camera_{sensor}.json", {"4": CAMERA})
            folder = scene / f"rgb_{sensor}"
            folder.mkdir()
            (folder / "000004.png").write_bytes(encode_png(np.zeros((32, 48, 3), np.uint8)))
    return tmp_path


def test_a_sensor_is_chosen(dataset: Path) -> None:
    with pytest.raises(BinposeError, match="sensors cam1, photoneo; choose one with --sensor"):
        open_inputs(dataset)
    inputs = open_inputs(dataset, sensor="photoneo")
    (frame,) = inputs.frames
    assert frame.name == "000002_000004" and frame.read().color.shape == (32, 48, 3)
    assert "sensor photoneo" in inputs.notes[0] and "called by digits: copy" in inputs.notes[1]
    assert open_inputs(dataset / "val/000002", sensor="cam1").notes == ("Read the images of the sensor cam1.",)


def test_a_bag_has_no_sensors(tmp_path: Path) -> None:
    (tmp_path / "bag.mcap").touch()
    with pytest.raises(BinposeError, match="is a bag, whose cameras are chosen by --color-topic"):
        open_inputs(tmp_path / "bag.mcap", sensor="photoneo")


def test_notes_of_a_folder_are_handed_on(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((32, 48, 3), np.uint8))
    (tmp_path / "a.webp").touch()
    assert "'.webp'" in open_inputs(tmp_path).notes[0]
