import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.datasets.bop import BopDataset
from binpose_core.datasets.bop_writer import BopWriter
from binpose_core.datasets.label_use import mark_for_evaluation
from binpose_core.datasets.labelled_views import labelled_views
from binpose_core.frames.camera import Camera
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.geometry.transforms import from_rotation_translation

CAMERA = Camera(120.0, 121.0, 47.3, 30.1, 96, 64)
POSES = from_rotation_translation(np.eye(3), np.array([[0.02, 0.01, 0.4], [-0.05, 0, 0.5]]))


@pytest.fixture
def written(tmp_path, bar, disc, rng):
    """A data set of one frame, and the instance ids that it was written with."""
    ids = rng.integers(-1, 2, (64, 96))
    frame = RgbdFrame(rng.integers(0, 255, (64, 96, 3), dtype=np.uint8), np.full((64, 96), 0.6, np.float32), CAMERA)
    with BopWriter(tmp_path, "train", 4, [bar, disc]) as writer:
        writer.write(frame, ("bar", "disc"), POSES, ids, sensor="ideal")
    return BopDataset(tmp_path), ids


def test_what_was_written_is_read_back(written):
    dataset, ids = written
    (view,) = labelled_views(dataset)
    assert view.object_ids == ("bar", "disc") and view.sensor == "ideal"
    np.testing.assert_allclose(view.T_cam_obj, POSES, atol=1e-9)
    np.testing.assert_array_equal(view.instance_ids, ids)
    assert ((view.visible_fraction >= 0) & (view.visible_fraction <= 1)).all()


def test_labels_for_evaluation_do_not_train(written):
    dataset, _ = written
    mark_for_evaluation(dataset.root)
    with pytest.raises(BinposeError, match=r"are for evaluation only .*expected a data set whose labels may train"):
        labelled_views(dataset)
    assert len(list(labelled_views(dataset, purpose="evaluation"))) == 1


def test_they_are_refused_before_a_frame_is_read(written):
    dataset, _ = written
    mark_for_evaluation(dataset.root)
    for path in (dataset.root / "train").rglob("*.png"):
        path.unlink()
    with pytest.raises(BinposeError, match="evaluation only"):
        labelled_views(dataset)
