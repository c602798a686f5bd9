from dataclasses import replace

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.geometry.transforms import inverse, transform
from binpose_core.rendering.renderer import Renderer
from binpose_simulation.scene import SceneConfig, render_view, simulate_pile
from binpose_simulation.unknown_parts import blank, stretched


def test_the_same_seed_gives_the_same_view(parts, small):
    first, second = (
        render_view(simulate_pile(np.random.default_rng(9), parts, small), np.random.default_rng(2), small)
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.frame.color, second.frame.color)
    np.testing.assert_array_equal(first.frame.depth_m, second.frame.depth_m)
    np.testing.assert_array_equal(first.T_cam_obj, second.T_cam_obj)


def test_another_seed_gives_another_view_of_the_same_pile(pile, small, view):
    other = render_view(pile, np.random.default_rng(77), small)
    assert not np.array_equal(other.frame.color, view.frame.color)
    poses = [inverse(v.T_cam_world) @ v.T_cam_obj for v in (view, other)]
    shared = min(len(p) for p in poses)
    assert shared > 0
    known = {tuple(np.round(T[:3, 3], 6)) for T in inverse(np.eye(4)) @ pile.T_world_obj}
    assert all(tuple(np.round(T[:3, 3], 6)) in known for p in poses for T in p)


def test_poses_explain_the_clean_depth(pile, view, parts):
    """Rendering the parts alone at their poses gives the clean depth where the instance image shows them."""
    ids = list(parts)
    mesh_ids = np.array([ids.index(i) for i in view.object_ids])
    rendering = Renderer([parts[i].mesh for i in ids]).scene(mesh_ids, view.T_cam_obj, view.frame.camera)
    shown = view.instance_ids >= 0
    assert shown.sum() > 500
    np.testing.assert_array_equal(rendering.instance_ids[shown], view.instance_ids[shown])
    np.testing.assert_allclose(rendering.depth_m[shown], view.depth_clean_m[shown], atol=1e-6)


def test_nothing_lies_below_the_bin_floor_and_the_table_is_flat(view, pile):
    points = transform(inverse(view.T_cam_world), view.frame.camera.backproject(view.depth_clean_m).reshape(-1, 3))
    height = points[(view.depth_clean_m > 0).ravel(), 2]
    on_parts = points[(view.instance_ids >= 0).ravel(), 2]
    assert on_parts.min() > -0.002
    table = pile.bin_boxes[0, 0, 2]
    assert np.mean(np.abs(height - table) < 1e-4) > 0.02 or height.min() < table


def test_visible_fraction_lies_between_none_and_all(view):
    assert ((view.visible_fraction >= 0) & (view.visible_fraction <= 1)).all()
    counted = [(view.instance_ids == i).sum() for i in range(len(view.object_ids))]
    np.testing.assert_array_equal(counted, view.visible_px)


def test_a_part_that_nothing_covers_is_fully_visible(parts, small):
    """A part's own silhouette never counts against it: the topmost part of a pile is visible as a whole."""
    config = replace(small, content=replace(small.content, distractor_share=0.0))
    pile = simulate_pile(np.random.default_rng(4), parts, config)
    views = [render_view(pile, np.random.default_rng(i), small) for i in range(4)]
    assert max(v.visible_fraction.max(initial=0) for v in views) == 1.0


def test_a_part_that_the_border_cuts_is_visible_by_what_is_inside(pile, small, parts):
    """BOP's definition: the silhouette beyond the image counts too."""
    close = replace(small.viewpoint, part_size_px=(140, 160), fov_rad=(0.25, 0.3))
    cut, near = 0, replace(small, viewpoint=close)
    for seed in range(3):
        view = render_view(pile, np.random.default_rng(seed), near)
        ids = list(parts)
        mesh_ids = np.array([ids.index(i) for i in view.object_ids])
        camera = view.frame.camera
        wide = camera.cropped(-camera.width, -camera.height, 3 * camera.width, 3 * camera.height)
        renderer = Renderer([parts[i].mesh for i in ids])
        alone = renderer.crops(mesh_ids, view.T_cam_obj, wide.intrinsics, wide.height, wide.width).mask
        np.testing.assert_allclose(view.visible_fraction, view.visible_px / alone.sum((1, 2)), rtol=0.01)
        inside = alone[:, camera.height : -camera.height, camera.width : -camera.width].sum((1, 2))
        assert (inside > 0).all()
        cut += int((inside < 0.8 * alone.sum((1, 2))).sum())
    assert cut > 0, "some are cut by the border"


def test_every_type_is_equally_likely(parts, small):
    content = replace(small.content, parts=(4, 4), types=(1, 1), row_share=0.0, distractor_share=0.0)
    config = replace(small, content=content)
    counts = dict.fromkeys(parts, 0)
    for seed in range(60):
        for object_id in simulate_pile(np.random.default_rng(seed), parts, config).object_ids:
            counts[object_id] += 1
    assert min(counts.values()) > 0.5 * max(counts.values())


def test_a_row_holds_several_bins_side_by_side(parts, small):
    config = replace(small, content=replace(small.content, row_share=1.0, row=(3, 3)))
    boxes = simulate_pile(np.random.default_rng(0), parts, config).bin_boxes
    axis = np.ptp(boxes[:, 0], axis=0).argmax()
    assert len(boxes) == 3
    assert (boxes[1:, 0, axis] >= boxes[:-1, 1, axis] - 1e-9).all()


def test_a_bin_of_a_row_may_hold_copies_of_one_unknown_part(parts, small):
    content = replace(small.content, row_share=1.0, row=(2, 2), distractor_share=0.0, stranger_share=1.0)
    for seed in range(3):
        pile = simulate_pile(np.random.default_rng(seed), parts, replace(small, content=content))
        groups = np.array(pile.groups)
        strangers = np.char.startswith(groups, "distractor:")
        assert strangers.any() and len(set(groups[strangers])) == len(set(pile.mesh_ids[strangers])) == 1
        low, high = pile.bin_boxes[:, 0], pile.bin_boxes[:, 1]
        inside = (
            (pile.T_world_obj[:, None, :2, 3] > low[:, :2]) & (pile.T_world_obj[:, None, :2, 3] < high[:, :2])
        ).all(-1)
        assert not inside[strangers, 0].any() and inside[: len(pile.object_ids), 0].all()


def test_a_longer_sister_keeps_its_section(parts, small):
    part = parts["block"]
    longer = stretched(part, 2.0)
    before, after = (np.sort(np.ptp(p.mesh.vertices, axis=0)) for p in (part, longer))
    np.testing.assert_allclose(np.sort([before[0], before[1], 2 * before[2]]), after, rtol=1e-5)
    assert longer.object_id == "" and len(longer.pieces) == len(part.pieces)
    assert np.ptp(longer.pieces[0].vertices, axis=0).max() > np.ptp(part.pieces[0].vertices, axis=0).max()


def test_a_blank_is_a_bar_about_as_thick_as_the_part(parts):
    part, lengths = parts["block"], []
    _, thick, long = np.sort(np.ptp(part.mesh.vertices, axis=0))
    for seed in range(20):
        bar = blank(part, np.random.default_rng(seed))
        *section, along = np.ptp(bar.mesh.vertices, axis=0)
        assert bar.object_id == "" and len(bar.pieces) == 1
        assert 0.5 * thick < min(section) <= max(section) < 1.01 * thick
        assert min(section) > 0.85 * max(section), "round, hexagonal or square"
        lengths.append(along / long)
    assert min(lengths) < 1.2 and 2.0 < max(lengths) <= 3.0


def test_nonsense_is_refused():
    with pytest.raises(BinposeError, match="views_per_pile"):
        SceneConfig(views_per_pile=0)
    with pytest.raises(BinposeError, match="No objects"):
        simulate_pile(np.random.default_rng(0), {}, SceneConfig())
