"""The comparison with Open3D's ray casting: the same images, and a refusal to compare others."""

from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.meshes.solids import is_solid
from binpose_core.rendering.renderer import Renderer


@pytest.fixture(scope="module")
def script(benchmarks: None) -> ModuleType:
    import rendering

    return rendering


def test_the_part_has_the_faces_that_were_asked_for(script: ModuleType) -> None:
    small, large = script.part_with_faces(5000), script.part_with_faces(20_000)
    assert len(small.faces) == pytest.approx(5000, rel=0.05) and len(large.faces) == pytest.approx(20_000, rel=0.05)
    assert small.diameter_m == pytest.approx(large.diameter_m, rel=0.02) and is_solid(small) and is_solid(large)


def test_the_part_fills_the_crop_and_stays_inside(script: ModuleType) -> None:
    mesh = script.part_with_faces(5000)
    T_cam_obj, intrinsics = script.crop_poses(mesh, 20, 64)
    mask = Renderer([mesh]).crops(np.zeros(20, int), T_cam_obj, intrinsics, 64, 64).mask
    assert not mask[:, [0, -1]].any() and not mask[:, :, [0, -1]].any()
    height, width = mask.any(2).sum(1), mask.any(1).sum(1)
    assert (np.hypot(height, width) > 0.6 * 64).all()


def test_both_methods_draw_the_same_crops_and_scenes(script: ModuleType) -> None:
    pytest.importorskip("open3d")
    arguments = script.Arguments(crops=3, parts=4)
    crops = script.crop_calls(arguments, 2000, 32)
    scene = script.scene_calls(replace(arguments, repeats=1))  # each checks its images
    assert {"numba", "Open3D"} <= set(crops) and len(scene) == 3


@pytest.mark.parametrize("what", ["depth", "mask", "instance"])
def test_other_images_are_not_compared(script: ModuleType, what: str) -> None:
    mesh = script.part_with_faces(5000)
    T_cam_obj, _ = script.crop_poses(mesh, 1, 64)
    scene = Renderer([mesh]).scene(np.zeros(1, int), T_cam_obj, script.CAMERA)
    depth, instances = scene.depth_m.copy(), scene.instance_ids.copy()
    script.check_alike(scene, (depth, instances))
    if what == "depth":
        depth[scene.mask] += 1e-5
    elif what == "mask":
        depth[:240] = 0
    else:
        instances[scene.mask] = 1
    with pytest.raises(BinposeError, match="The images differ"):
        script.check_alike(scene, (depth, instances))


def test_the_methods_take_turns_and_the_first_calls_do_not_count(script: ModuleType) -> None:
    order: list[str] = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    times = script.measured(calls, repeats=3, warm_up=2)
    assert order == ["a", "b"] * 5 and {name: t.shape for name, t in times.items()} == {"a": (3,), "b": (3,)}


def test_the_ratio_is_that_to_the_faster_way_of_the_other_method(script: ModuleType) -> None:
    times = {"numba": np.full(3, 2.0), "Open3D, one way": np.full(3, 12.0), "Open3D, another": np.full(3, 8.0)}
    rows = script.rows_of("what", times, lambda t: 64 / t)
    assert [row[3] for row in rows] == ["4.00", "0.67", "1.00"] and rows[0][2].startswith("32.0")
