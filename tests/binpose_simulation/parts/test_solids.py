"""The building blocks have the volumes that geometry says."""

import numpy as np
import pytest

from binpose_simulation.parts import solids


def test_a_prism_without_chamfer_has_base_times_height():
    outline, hole = solids.rectangle(20.0, 10.0), solids.rectangle(4.0, 4.0)
    assert solids.prism([outline, hole], 3.0).volume() == pytest.approx((200.0 - 16.0) * 3.0)


def test_chamfers_cut_the_rims_and_widen_the_holes():
    c, a, h = 0.5, 10.0, 6.0
    chamfered = solids.prism([solids.rectangle(a, a)], h, c)
    frustum = c / 3.0 * (a**2 + (a - 2 * c) ** 2 + a * (a - 2 * c))
    assert chamfered.volume() == pytest.approx((h - 2 * c) * a**2 + 2 * frustum)
    plate = solids.prism([solids.rectangle(30.0, 30.0), solids.rectangle(a, a)], h, c)
    assert plate.volume() < solids.prism([solids.rectangle(30.0, 30.0)], h, c).volume() - h * a**2


def test_a_cylinder_fills_pi_r_squared_h():
    assert solids.cylinder(5.0, 8.0, segments=256).volume() == pytest.approx(np.pi * 25.0 * 8.0, rel=1e-3)


def test_a_swept_circle_fills_its_section_times_its_length():
    angle = np.linspace(0.0, np.pi / 2.0, 60)
    path = 20.0 * np.stack([np.cos(angle), 0.0 * angle, np.sin(angle)], -1)
    bar = solids.swept_circle(path, 2.0, 128)
    assert bar.volume() == pytest.approx(np.pi * 4.0 * 20.0 * np.pi / 2.0, rel=2e-3)  # Pappus


def test_turning_an_axis_keeps_handedness():
    solid = solids.block((2.0, 3.0, 10.0))
    assert solids.along_x(solid).bounding_box()[3] == pytest.approx(10.0)
    assert solids.along_y(solid).bounding_box()[4] == pytest.approx(10.0)
    assert solids.along_x(solid).volume() == pytest.approx(60.0)


def test_a_mesh_is_in_metres_and_centred():
    mesh = solids.to_mesh(solids.block((20.0, 30.0, 40.0)))
    np.testing.assert_allclose(mesh.vertices.max(0), [0.010, 0.015, 0.020], atol=1e-7)
    np.testing.assert_allclose(mesh.vertices.min(0), [-0.010, -0.015, -0.020], atol=1e-7)
