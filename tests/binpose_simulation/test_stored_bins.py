from pathlib import Path

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.parts.catalogue import make_object
from binpose_simulation.scene import render_view, simulate_pile
from binpose_simulation.stored_bins import StoredBin, read_bins, stored_parts, write_bins


@pytest.fixture(scope="module")
def objects(parts):
    return {name: make_object(part.mesh, name, number) for number, (name, part) in enumerate(parts.items(), 1)}


@pytest.fixture(scope="module")
def bins(parts, small):
    """Two bins: one with parts of no name, one of a row."""
    found = []
    for seed in (4, 5):
        pile = simulate_pile(np.random.default_rng(seed), parts, small)
        view = render_view(pile, np.random.default_rng(1), small)
        found.append(StoredBin(pile, view.frame.camera, view.T_cam_world))
    return found


def test_what_is_read_shows_what_was_written(bins, objects, small, tmp_path: Path) -> None:
    write_bins(tmp_path / "bins.npz", bins, objects)
    read = read_bins(tmp_path / "bins.npz", objects, small.content)
    for stored, original in zip(read, bins, strict=True):
        assert stored.pile.object_ids == original.pile.object_ids
        assert stored.pile.groups == original.pile.groups
        np.testing.assert_allclose(stored.pile.T_world_obj, original.pile.T_world_obj, atol=2e-6)
        np.testing.assert_allclose(stored.T_cam_world, original.T_cam_world, atol=2e-6)
        views = [
            render_view(b.pile, np.random.default_rng(7), small, b.camera, b.T_cam_world) for b in (stored, original)
        ]
        assert (views[0].instance_ids == views[1].instance_ids).mean() > 0.999
        assert views[0].sensor == views[1].sensor
        both = (views[0].depth_clean_m > 0) & (views[1].depth_clean_m > 0)
        assert np.median(np.abs(views[0].depth_clean_m - views[1].depth_clean_m)[both]) < 1e-5
        difference = np.abs(views[0].frame.color.astype(int) - views[1].frame.color)
        assert difference.mean() < 1.0


def test_written_again_it_is_the_same_file(bins, objects, small, tmp_path: Path) -> None:
    write_bins(tmp_path / "a.npz", bins, objects)
    write_bins(tmp_path / "b.npz", read_bins(tmp_path / "a.npz", objects, small.content), objects)
    one, two = (dict(np.load(tmp_path / name)) for name in ("a.npz", "b.npz"))
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_allclose(one[name].astype(float), two[name].astype(float), atol=2e-7)


def test_other_parts_are_refused(bins, objects, small, tmp_path: Path) -> None:
    write_bins(tmp_path / "bins.npz", bins, objects)
    assert stored_parts(tmp_path / "bins.npz") == {name: model.digest for name, model in objects.items()}
    few = {"block": objects["block"]}
    with pytest.raises(BinposeError, match=r"hold the parts block, rod, disc; these objects are block"):
        read_bins(tmp_path / "bins.npz", few, small.content)


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "missing entry", "missing file"])
def test_a_damaged_file_is_refused_in_one_sentence(damage, bins, objects, small, tmp_path: Path) -> None:
    path = tmp_path / "bins.npz"
    write_bins(path, bins, objects)
    content = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_bytes(b"no bins")
    elif damage == "missing entry":
        with np.load(path) as data:
            kept = {name: data[name] for name in data.files if name != "001.boxes"}
        np.savez(path, **kept)
    else:
        path.unlink()
    with pytest.raises(BinposeError, match=r"stored bins .* cannot be read .*; expected .*; restore it") as raised:
        read_bins(path, objects, small.content)
    assert "\n" not in str(raised.value)
