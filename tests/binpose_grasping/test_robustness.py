import numpy as np

from binpose_core.geometry.transforms import from_rotation_translation, inverse, random_rotation
from binpose_core.meshes.mesh import Mesh
from binpose_core.parts.objects import ObjectModel
from binpose_grasping.gripper import GripperConfig
from binpose_grasping.robustness import closing_contacts, robustness
from binpose_grasping.search_config import ContactConfig, PoseErrorConfig

from .conftest import make_part

GRIPPER, CONTACT = GripperConfig(), ContactConfig()
DOWN = np.diag([1.0, -1.0, -1.0, 1.0])


def at(x_m: float) -> np.ndarray:
    T = DOWN.copy()
    T[0, 3] = x_m
    return T


def quality(part: ObjectModel, T: np.ndarray, errors: PoseErrorConfig, width_m: float = 0.02) -> tuple[float, float]:
    found = robustness(part, T[None], np.array([width_m]), GRIPPER, CONTACT, errors)
    return float(found.quality[0]), float(found.success[0])


def test_without_errors_the_quality_is_the_nominal_one(bar: ObjectModel) -> None:
    found = robustness(bar, at(0.0)[None], np.array([0.02]), GRIPPER, CONTACT, PoseErrorConfig(samples=1))
    assert found.quality[0] == found.nominal[0] > 0 and found.success[0] == 1


def test_more_error_never_helps_and_much_error_fails(bar: ObjectModel) -> None:
    found = [
        quality(bar, at(0.0), PoseErrorConfig(samples=24, position_m=scale * 0.001, angle_rad=scale * 0.02))
        for scale in (0.1, 3.0, 12.0)
    ]
    qualities, successes = zip(*found, strict=True)
    assert successes[0] == 1 and successes[0] >= successes[1] > successes[2]
    assert qualities[0] > qualities[1] > qualities[2]


def test_a_grasp_beside_the_part_or_in_it_fails(bar: ObjectModel) -> None:
    assert quality(bar, at(0.2), PoseErrorConfig(samples=1)) == (0.0, 0.0)
    assert quality(bar, at(0.0), PoseErrorConfig(samples=1), width_m=0.01) == (0.0, 0.0)


def test_closing_fingers_touch_where_the_part_is(bar: ObjectModel) -> None:
    corners = bar.mesh.vertices.astype(np.float64)[bar.mesh.faces]
    shifted = at(0.01)
    shifted[1, 3] = 0.002  # the part is nearer to one finger
    points, inward, touched = closing_contacts(corners, inverse(shifted)[None], np.array([0.02]), GRIPPER)
    assert touched.all()
    np.testing.assert_allclose(np.sort(points[0, :, 1]), [-0.01, 0.01], atol=1e-9)
    np.testing.assert_allclose(np.abs(inward[0, :, 1]), 1, atol=1e-9)
    assert ((points[0] * inward[0]).sum(-1) < 0).all()
    assert not closing_contacts(corners, inverse(at(0.2))[None], np.array([0.02]), GRIPPER)[2].any()


def test_a_rigid_motion_of_part_and_hand_changes_nothing(rng: np.random.Generator, bar: ObjectModel) -> None:
    errors = PoseErrorConfig(samples=1)
    motion = from_rotation_translation(random_rotation(rng), rng.uniform(-0.1, 0.1, 3))
    vertices = (bar.mesh.vertices @ motion[:3, :3].T + motion[:3, 3]).astype(np.float32)
    moved = make_part(Mesh(vertices, bar.mesh.faces), "moved")
    contact = ContactConfig(edges=32)
    alone, other = (
        float(robustness(part, T[None], np.array([0.02]), GRIPPER, contact, errors).quality[0])
        for part, T in ((bar, at(0.005)), (moved, motion @ at(0.005)))
    )
    assert alone > 0 and abs(alone - other) < 0.02 * alone


def test_samples_are_the_same_each_time_and_begin_with_no_error() -> None:
    errors = PoseErrorConfig(samples=5)
    np.testing.assert_array_equal(errors.sample(np.ones(3)), errors.sample(np.ones(3)))
    np.testing.assert_allclose(errors.sample(np.ones(3))[0], np.eye(4), atol=1e-12)
