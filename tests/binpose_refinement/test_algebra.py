import numpy as np

from binpose_core.geometry.transforms import exp_so3
from binpose_refinement.kernels.algebra import rotation_of, solve_spd


def test_cholesky_agrees_with_numpy():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(6, 9))
    H, g, x = A @ A.T, rng.normal(size=6), np.empty(6)
    assert solve_spd(H, g, x)
    assert np.allclose(H @ x, g)
    assert not solve_spd(-H, g, x)


def test_rodrigues_agrees_with_the_core():
    out = np.empty((3, 3))
    for vector in ([0.3, -0.2, 0.9], [1e-12, 0, 0], [0, 3.1, 0]):
        rotation_of(*vector, out)
        assert np.allclose(out, exp_so3(np.array(vector)))
