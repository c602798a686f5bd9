"""Symmetries as sets of motions, as groups, and as BOP writes them."""

import pickle

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.geometry.transforms import exp_se3, exp_so3, inverse, rotation_angle_rad, transform
from binpose_core.parts.symmetries import (
    ContinuousSymmetry,
    Symmetries,
    closed_group,
    even_rotations,
    motions_from_mm,
    motions_to_mm,
    rotations_about,
)

AXIS = ContinuousSymmetry(np.array([0.0, 0.0, 2.0]), np.array([0.01, 0.02, 0.0]))
FLIP = rotations_about(np.array([1.0, 0.0, 0.0]), AXIS.offset, np.array([np.pi]))[0]
NEAR = rotations_about(np.array([0.0, 1.0, 0.0]), AXIS.offset, np.array([np.pi / 2]))


def test_rotations_about_a_line_keep_its_points():
    """Every point of the axis stays, other points go around it."""
    motions = AXIS.rotations(0.5)
    line = AXIS.offset + np.linspace(-1, 1, 5)[:, None] * AXIS.axis
    assert np.abs(transform(motions, line) - line).max() < 1e-12
    angles = rotation_angle_rad(motions[:, :3, :3], np.roll(motions[:, :3, :3], 1, axis=0))
    assert np.allclose(angles, angles[0]) and angles[0] <= 0.5 and np.allclose(motions[0], np.eye(4))


def test_transforms_are_the_products_without_repetition():
    """Identity first; flip times turns; near ones only on request; the same array each time, protected."""
    symmetries = Symmetries(np.stack([np.eye(4), FLIP]), (AXIS,), NEAR)
    exact, all_motions = symmetries.transforms(np.pi / 6), symmetries.transforms(np.pi / 6, include_near=True)
    assert exact.shape == (24, 4, 4) and all_motions.shape == (36, 4, 4)
    assert np.allclose(exact[0], np.eye(4)) and np.allclose(all_motions[:24], exact)
    apart = rotation_angle_rad(exact[:, None, :3, :3], exact[None, :, :3, :3]) + 9 * np.eye(24)
    assert apart.min() > np.deg2rad(29)
    assert symmetries.transforms(np.pi / 6) is exact and not exact.flags.writeable
    assert Symmetries.none().transforms().shape == (1, 4, 4)


def test_symmetries_survive_pickling():
    """Worker processes get them so."""
    symmetries = Symmetries(np.stack([np.eye(4), FLIP]), (AXIS,), NEAR)
    symmetries.transforms()
    copy = pickle.loads(pickle.dumps(symmetries))
    assert np.array_equal(copy.transforms(), symmetries.transforms())


def test_rough_generators_become_an_exact_group(rng):
    """Quarter and third turns of a cube, off by 0.2 degrees and 0.1 mm, close to the 24 rotations about one point."""
    turns = rotations_about(np.eye(3)[2], np.zeros(3), np.array([np.pi / 2]))
    thirds = rotations_about(np.ones(3) / np.sqrt(3), np.zeros(3), np.array([2 * np.pi / 3]))
    noise = exp_se3(np.concatenate([rng.normal(scale=1e-4, size=(2, 3)), rng.normal(scale=2e-3, size=(2, 3))], axis=1))
    group = closed_group(list(noise @ np.concatenate([turns, thirds])), most=48)
    assert len(group) == 24 and np.allclose(group[0], np.eye(4))
    products = (group[:, None] @ group[None]).reshape(-1, 1, 4, 4)
    assert np.abs(products - group).max(axis=(-1, -2)).min(axis=1).max() < 1e-12
    assert closed_group([turns[0], exp_se3(np.array([0, 0, 0, 1.0, 0, 0]))], most=48) is None


def test_even_rotations_cover_all():
    """No rotation is far from one of 800, and none of them stand close together."""
    rotations = even_rotations(800)
    others = exp_so3(np.random.default_rng(0).normal(size=(200, 3)) * 2)
    apart = rotation_angle_rad(rotations[:, None], others[None]).min(axis=0)
    assert np.rad2deg(apart.max()) < 28
    assert np.allclose(rotations @ np.swapaxes(rotations, 1, 2), np.eye(3))


def test_bop_form_round_trip():
    """Millimetres outside, metres inside, the identity unwritten."""
    symmetries = Symmetries(np.stack([np.eye(4), FLIP]), (AXIS,), NEAR)
    entry = symmetries.to_bop()
    assert len(entry["symmetries_discrete"]) == 1 and len(entry["symmetries_discrete"][0]) == 16
    assert np.allclose(entry["symmetries_continuous"][0]["offset"], [10, 20, 0])
    back = Symmetries.from_bop(entry, motions_to_mm(NEAR))
    assert np.allclose(back.discrete, symmetries.discrete) and np.allclose(back.near, NEAR)
    assert np.allclose(back.continuous[0].offset, AXIS.offset) and np.allclose(back.continuous[0].axis, [0, 0, 1])
    assert Symmetries.none().to_bop() == {} and len(Symmetries.from_bop({}).discrete) == 1


def test_what_is_no_symmetry_is_refused():
    """Scaled, mirrored, short, and an axis without direction."""
    scaled = np.diag([2.0, 2, 2, 1])
    mirrored = np.diag([-1.0, 1, 1, 1])
    for row in (scaled.ravel(), mirrored.ravel(), np.eye(3).ravel()):
        with pytest.raises(BinposeError, match="not a rigid motion"):
            motions_from_mm([row.tolist()])
    with pytest.raises(BinposeError, match="axis"):
        ContinuousSymmetry(np.zeros(3), np.zeros(3))
    along_z = {"axis": [0, 0, 1], "offset": [0, 0, 0]}
    with pytest.raises(BinposeError, match="2 parallel axes"):
        Symmetries.from_bop({"symmetries_continuous": [along_z, {"axis": [0, 0, -1], "offset": [5, 0, 0]}]})
    ball = Symmetries.from_bop({"symmetries_continuous": [along_z, {"axis": [0, 1, 0], "offset": [0, 0, 0]}]})
    assert np.isfinite(ball.transforms(0.5)).all()
    with pytest.raises(BinposeError, match="symmetries_continuous"):
        Symmetries.from_bop({"symmetries_continuous": [{"axis": [0, 0, 1]}]})


def test_the_group_contains_inverses():
    """A flip is its own, a turn's is the turn back."""
    motions = Symmetries(np.stack([np.eye(4), FLIP]), (AXIS,), np.zeros((0, 4, 4))).transforms(np.pi / 4)
    assert np.abs(inverse(motions)[:, None] - motions).max(axis=(-1, -2)).min(axis=1).max() < 1e-12
