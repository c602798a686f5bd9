import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.base.files import write_json
from binpose_core.meshes.mesh import Mesh
from binpose_core.parts.catalogue import make_object
from binpose_simulation import export, stream
from binpose_simulation.export import export_bop, views_there


@pytest.fixture
def objects(parts, monkeypatch):
    """Two objects whose convex pieces are known, so that nothing has to be decomposed."""
    monkeypatch.setattr(stream, "as_prepared", lambda models, *_: {key: parts[key] for key in models})
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
        assert json.loads((scene / "scene_camera.json").read_text())[str(index)]["sensor"] == view.sensor
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


def test_a_scene_made_otherwise_is_not_gone_on_with(objects, small, tmp_path):
    assert export_some(tmp_path, objects, small, 1) == 1
    scene = tmp_path / "sim" / "000003"
    before = {path: path.read_bytes() for path in scene.rglob("*") if path.is_file()}
    wider = replace(small, viewpoint=replace(small.viewpoint, width=352))
    longer = make_object(Mesh(objects[0].mesh.vertices * np.float32(1.1), objects[0].mesh.faces), "block", 1)
    for changed, config, word in (
        (objects, wider, "other settings"),
        ([longer, objects[1]], small, "other parts"),
        (objects[:1], small, "other parts"),
    ):
        with pytest.raises(BinposeError, match=f"was made with {word}; expected the same"):
            export_some(tmp_path, changed, config, 2)
    (scene / export.SETTINGS).unlink()
    with pytest.raises(BinposeError, match="unknown settings"):
        export_some(tmp_path, objects, small, 2)
    (scene / export.SETTINGS).write_bytes(before[scene / export.SETTINGS])
    assert before == {path: path.read_bytes() for path in scene.rglob("*") if path.is_file()}
    assert export_some(tmp_path, objects, small, 1) == 0


def test_the_settings_know_the_file_of_the_bin_and_the_code(objects, small, tmp_path, monkeypatch):
    (tmp_path / "bin.stl").write_bytes(b"one")
    config = replace(small, content=replace(small.content, bin_mesh=str(tmp_path / "bin.stl")))
    first = export.export_settings(objects, config)
    (tmp_path / "bin.stl").write_bytes(b"other")
    (tmp_path / "scene").mkdir()
    write_json(tmp_path / "scene" / export.SETTINGS, first)
    assert export.changed_settings(tmp_path / "scene", first) == ""
    assert export.changed_settings(tmp_path / "scene", export.export_settings(objects, config)) == "another bin"
    assert export.changed_settings(tmp_path / "scene", {**first, "code": "0"}) == "another version"


def test_only_its_own_scenes_are_removed(objects, small, tmp_path):
    export_some(tmp_path, objects, small, 1)
    (tmp_path / "sim" / "000007").mkdir()
    with pytest.raises(BinposeError, match="not written by this simulation"):
        export.remove_export(tmp_path, "sim")
    assert (tmp_path / "sim" / "000003" / "rgb").is_dir() or (tmp_path / "sim" / "000003" / "gray").is_dir()
    (tmp_path / "sim" / "000007").rmdir()
    export.remove_export(tmp_path, "sim")
    assert not any(tmp_path.iterdir())


def test_no_frames_are_refused(objects, small, tmp_path):
    with pytest.raises(BinposeError, match="0 frames to simulate; expected at least 1"):
        export_some(tmp_path, objects, small, 0)


def test_objects_must_differ(objects, small, tmp_path):
    with pytest.raises(BinposeError, match="an id and a bop_id of its own"):
        export.export_bop(tmp_path, [objects[0], objects[0]], 1, small)
    assert not any(tmp_path.iterdir())
