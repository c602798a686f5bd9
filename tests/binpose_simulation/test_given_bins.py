"""A bin of one's own: what is simulated has its size, and what makes no bin is told in a sentence."""

import json
import pickle
from dataclasses import asdict, replace

import numpy as np
import pytest
import trimesh

from binpose_core.base.errors import BinposeError
from binpose_core.meshes.mesh import Mesh
from binpose_simulation import given_bins, mesh_bins
from binpose_simulation.bins import BinSpec, make_bin_mesh
from binpose_simulation.content_config import ContentConfig
from binpose_simulation.given_bins import bin_of_mesh, bin_of_size, capacity, check_room
from binpose_simulation.scene import SceneConfig, render_view, simulate_pile

SPEC = BinSpec(0.24, 0.16, 0.08, taper_rad=0.0, front_slope_rad=0.0, rim_m=0.0)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BINPOSE_CACHE", str(tmp_path / "cache"))
    given_bins._read.cache_clear()


@pytest.fixture
def bin_mm(tmp_path):
    """An STL file of a bin in millimetres."""
    mesh = make_bin_mesh(SPEC)
    trimesh.Trimesh(mesh.vertices * 1e3, mesh.faces).export(tmp_path / "bin.stl")
    return tmp_path / "bin.stl"


def one_bin(small, **changes):
    return replace(small, content=replace(small.content, row_share=0.0, distractor_share=0.0, **changes))


def test_a_bin_of_given_size_is_simulated(parts, small):
    config = one_bin(small, bin_size_m=(0.3, 0.2, 0.1))
    for seed in range(3):
        pile = simulate_pile(np.random.default_rng(seed), parts, config)
        low, high = pile.bin_boxes[0]
        wall_and_lean_m = 2 * (0.005 + 0.015 + 0.1 * np.tan(0.14)) + 1e-3
        assert (high - low)[:2] == pytest.approx([0.3, 0.2], abs=wall_and_lean_m)
        assert ((high - low)[:2] >= [0.3, 0.2]).all() and high[2] == pytest.approx(0.1, abs=1e-4)
        assert pile.object_ids
        assert (np.abs(pile.T_world_obj[: len(pile.object_ids), :2, 3]) < [0.17, 0.12]).all()


def scaled(parts, factor):
    """The parts in another size."""

    def mesh(small):
        return Mesh((small.vertices * factor).astype(np.float32), small.faces)

    return {
        name: replace(
            part,
            mesh=mesh(part.mesh),
            pieces=tuple(mesh(piece) for piece in part.pieces),
            diameter_m=part.diameter_m * factor,
        )
        for name, part in parts.items()
    }


@pytest.mark.parametrize("bin_size_m", [None, (0.1, 0.08, 0.05)])
def test_parts_of_five_millimetres_are_simulated(parts, small, bin_size_m):
    bolts = scaled(parts, 0.1)
    seen = []
    for seed in range(4):
        config = one_bin(small, bin_size_m=bin_size_m)
        pile = simulate_pile(np.random.default_rng(seed), bolts, config)
        view = render_view(pile, np.random.default_rng(seed), config)
        seen += view.visible_fraction.tolist()
    assert len(seen) >= 16 and np.mean(np.array(seen) > 0.5) > 0.4


def test_parts_of_a_metre_are_simulated(parts, small):
    beams = scaled(parts, 20.0)
    piles = [simulate_pile(np.random.default_rng(seed), beams, one_bin(small)) for seed in range(4)]
    assert sum(len(pile.object_ids) for pile in piles) >= 12


def test_a_bin_of_a_given_mesh_is_simulated_and_seen(parts, small, bin_mm):
    config = one_bin(small, bin_mesh=str(bin_mm), bin_unit="mm")
    pile = simulate_pile(np.random.default_rng(0), parts, config)
    assert np.ptp(pile.bin_boxes[0], axis=0)[:2] == pytest.approx([0.246, 0.166], abs=0.003)
    drawn = pile.renderer.meshes[pile.mesh_ids[-1]]
    assert np.ptp(drawn.vertices, axis=0) == pytest.approx(np.ptp(make_bin_mesh(SPEC).vertices, axis=0), abs=0.003)
    view = render_view(pile, np.random.default_rng(0), config)
    assert view.object_ids and view.visible_fraction.max() > 0.5


def test_a_row_is_made_of_the_given_bin(parts, small):
    config = replace(small, content=replace(small.content, row_share=1.0, bin_size_m=(0.2, 0.2, 0.1)))
    boxes = simulate_pile(np.random.default_rng(0), parts, config).bin_boxes
    assert len(boxes) == 2 and np.ptp(boxes, axis=1)[0] == pytest.approx(np.ptp(boxes, axis=1)[1])


def test_a_full_bin_takes_no_more_parts(parts, small):
    content = replace(small.content, parts=(200, 200), bin_size_m=(0.1, 0.08, 0.03))
    pile = simulate_pile(np.random.default_rng(0), parts, one_bin(replace(small, content=content)))
    assert 0 < len(pile.object_ids) < 60


def test_the_capacity_grows_with_the_floor_and_the_height():
    small, wide, high = (
        capacity(BinSpec(*size), [0.04]) for size in ((0.2, 0.1, 0.06), (0.2, 0.2, 0.06), (0.2, 0.1, 0.12))
    )
    assert 1 < small < wide and small < high
    assert capacity(BinSpec(0.05, 0.05, 0.01), [0.2]) == 1


def test_a_given_size_keeps_the_looks_of_a_random_bin():
    like = BinSpec(0.4, 0.3, 0.2, wall_m=0.005, taper_rad=0.1, front_slope_rad=0.7, front_height_m=0.1, rim_m=0.012)
    given = bin_of_size((0.3, 0.2, 0.05), like)
    assert (given.length_m, given.width_m, given.height_m) == (0.3, 0.2, 0.05)
    assert (given.wall_m, given.taper_rad, given.rim_m) == (like.wall_m, like.taper_rad, like.rim_m)
    assert given.front_slope_rad == like.taper_rad and given.front_top_m == 0.05


def test_the_settings_travel_to_workers_and_into_json(bin_mm):
    config = SceneConfig(content=ContentConfig(bin_mesh=str(bin_mm)))
    assert pickle.loads(pickle.dumps(config)) == config and hash(config) == hash(pickle.loads(pickle.dumps(config)))
    stored = json.loads(json.dumps(asdict(SceneConfig(content=ContentConfig(bin_size_m=(0.3, 0.2, 0.1))))))
    assert stored["content"]["bin_size_m"] == [0.3, 0.2, 0.1]


def test_the_mesh_is_read_once_until_it_changes(bin_mm, monkeypatch):
    first = bin_of_mesh(str(bin_mm), "mm")
    assert bin_of_mesh(str(bin_mm), "mm") is first
    larger = make_bin_mesh(replace(SPEC, length_m=0.3))
    monkeypatch.setattr(mesh_bins, "convex_pieces", lambda mesh, *_, **__: [mesh])
    trimesh.Trimesh(larger.vertices * 1e3, larger.faces).export(bin_mm)
    assert bin_of_mesh(str(bin_mm), "mm").spec.length_m == pytest.approx(0.3, abs=0.004)


def refused(match):
    return pytest.raises(BinposeError, match=match)


def test_what_makes_no_bin_is_told_in_one_sentence(parts, small, bin_mm, tmp_path):
    trimesh.creation.icosphere(radius=100).export(tmp_path / "ball.stl")
    cases = {
        "No mesh at": {"bin_mesh": str(tmp_path / "none.stl")},
        "ball.stl cannot be used: .* no open box": {"bin_mesh": str(tmp_path / "ball.stl")},
        "240 m long|246 m long": {"bin_mesh": str(bin_mm), "bin_unit": "m"},
        "floor of .* is too small for the part 'rod' of 50 x 8 x 8 mm": {"bin_size_m": (0.04, 0.03, 0.1)},
    }
    for match, changes in cases.items():
        with refused(match) as raised:
            simulate_pile(np.random.default_rng(0), parts, one_bin(small, **changes))
        assert "\n" not in str(raised.value)
    for size in ((300.0, 200.0, 120.0), (0.3, 0.2), (0.3, -0.2, 0.1), (float("nan"), 0.2, 0.1)):
        with refused("bin size .* cannot be used .*; expected inner length, width and height"):
            ContentConfig(bin_size_m=size)
    with refused("expected one of them"):
        ContentConfig(bin_size_m=(0.3, 0.2, 0.1), bin_mesh=str(bin_mm))


def test_the_smallest_bin_in_which_a_part_lies_flat(parts):
    block = {"block": parts["block"]}
    check_room(BinSpec(0.031, 0.021, 0.05), block)
    check_room(BinSpec(0.021, 0.031, 0.05), block)
    with refused("'block'"):
        check_room(BinSpec(0.029, 0.029, 0.05), block)
