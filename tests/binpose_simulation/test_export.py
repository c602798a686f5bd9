import json

import cv2
import numpy as np
import pytest

from binpose_core.catalogue import make_object
from binpose_core.errors import BinposeError
from binpose_simulation import export, stream
from binpose_simulation.export import export_bop, views_there


@pytest.fixture
def objects(parts, monkeypatch):
    """Two objects whose convex pieces are known, so that nothing has to be decomposed."""
    monkeypatch.setattr(stream, "as_prepared", lambda models, config: {key: parts[key] for key in models})
    return [make_object(parts[key].mesh, key, number) for number, key in enumerate(("block", "disc"), 1)]


def export_some(root, objects, small, count):
    return export_bop(root, objects, count, small, seed=3, workers=0)


def test_the_files_tell_what_the_views_are(objects, small, parts, tmp_path):
    assert export_some(tmp_path, objects, small, 2) == 2
    scene = tmp_path / "sim" / "000003"
    truths = json.loads((scene / "scene_gt.json").read_text())
    views = stream.SimulationStream({key: parts[key] for key in ("block", "disc")}, small, seed=3, workers=0)
    for index in range(2):
        view = next(views)
        written = truths[str(index)]
        np.testing.assert_allclose([t["cam_t_m2c"] for t in written], view.T_cam_obj[:, :3, 3] * 1e3, atol=1e-6)
        assert [t["obj_id"] for t in written] == [1 if i == "block" else 2 for i in view.object_ids]
        depth = cv2.imread(str(scene / "depth" / f"{index:06d}.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_allclose(depth * 1e-4, view.frame.depth_m, atol=5.1e-5)
        for number in range(len(written)):
            mask = cv2.imread(str(scene / "mask_visib" / f"{index:06d}_{number:06d}.png"), cv2.IMREAD_UNCHANGED)
            np.testing.assert_array_equal(mask > 0, view.instance_ids == number)


def test_an_interrupted_export_goes_on(objects, small, tmp_path):
    class Stop(Exception):
        pass

    def stop(done, count):
        raise Stop

    with pytest.raises(Stop):
        export_bop(tmp_path / "a", objects, 3, small, seed=3, workers=0, on_view=stop)
    assert views_there(tmp_path / "a", "sim", 3) == 1
    assert export_some(tmp_path / "a", objects, small, 3) == 2
    assert export_some(tmp_path / "b", objects, small, 3) == 3
    first, second = ((tmp_path / name / "sim" / "000003" / "scene_gt.json").read_text() for name in "ab")
    assert first == second


def test_objects_must_differ(objects, small, tmp_path):
    with pytest.raises(BinposeError, match="an id and a bop_id of its own"):
        export.export_bop(tmp_path, [objects[0], objects[0]], 1, small)
    assert not any(tmp_path.iterdir())
