from dataclasses import replace

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_simulation import materials as mat
from binpose_simulation.appearance import AppearanceConfig
from binpose_simulation.lighting import octahedral_directions, random_environment
from binpose_simulation.photograph import PhotographConfig, photograph
from binpose_simulation.scene import render_view
from binpose_simulation.shading import _look_up

EVERYWHERE = np.ones((120, 160), bool)
PLAIN = PhotographConfig(
    noise=0.0,
    white_balance=0.0,
    bloom_share=0,
    vignette_share=0,
    mosaic_share=0,
    sharpen_share=0,
    jpeg_share=0,
    mono_share=0,
)


def test_the_environment_is_found_in_the_direction_it_was_made_for():
    directions = octahedral_directions(48)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=-1), 1, atol=1e-6)
    for row, column in ((5, 7), (24, 24), (40, 13), (2, 45)):
        direction = directions[row, column]
        np.testing.assert_allclose(_look_up(directions[None], 0, *direction), direction, atol=1e-3)


def test_blurring_the_environment_keeps_its_light():
    levels = random_environment(np.random.default_rng(0), np.array([0.1, 0.2, 0.7]), 1.0, np.array([0.0, 0.0, 1.0]))
    means = levels.mean((1, 2))
    assert (levels >= 0).all()
    np.testing.assert_allclose(means[1:], means[:1].repeat(len(means) - 1, 0), rtol=0.2)
    assert levels[-1].std() < levels[0].std()


def test_brighter_light_is_never_darker_in_the_photograph():
    ramp = np.repeat(np.linspace(0, 1, 160, dtype=np.float32)[None, :, None], 120, 0).repeat(3, 2)
    for seed in range(5):
        image = photograph(np.random.default_rng(seed), PLAIN, ramp, EVERYWHERE).astype(int)
        assert (np.diff(image[60].sum(-1)) >= 0).all()
        assert image[60, -1].sum() > image[60, 0].sum()


def test_noise_grows_with_its_setting():
    gray = np.full((120, 160, 3), 0.4, np.float32)

    def spread(noise):
        config = replace(PLAIN, noise=noise)
        return np.mean([photograph(np.random.default_rng(s), config, gray, EVERYWHERE).std() for s in range(8)])

    assert spread(0.0) < 0.5 < spread(0.1)


def test_mono_images_have_one_channel(pile, small):
    config = replace(small, appearance=AppearanceConfig(photograph=replace(PLAIN, mono_share=1.0)))
    assert render_view(pile, np.random.default_rng(0), config).frame.color.shape == (240, 320)


def test_parts_of_one_type_look_alike():
    rng = np.random.default_rng(0)
    rows = [mat.random_part_material(rng, mat.MaterialConfig()) for _ in range(50)]
    within = np.mean([np.abs(mat.varied(rng, row) - row)[:3].mean() for row in rows])
    between = np.mean([np.abs(rows[i] - rows[i - 1])[:3].mean() for i in range(50)])
    assert within < 0.2 * between


def test_the_share_of_metals_is_kept():
    rng = np.random.default_rng(0)
    rows = np.array([mat.random_part_material(rng, mat.MaterialConfig(metal_share=0.55)) for _ in range(400)])
    assert (rows[:, mat.METALLIC] > 0.5).mean() == pytest.approx(0.58, abs=0.08)


def test_images_are_neither_all_black_nor_all_white(pile, small):
    views = [render_view(pile, np.random.default_rng(i), small).frame.gray for i in range(12)]
    middles = np.array([np.mean(view) for view in views])
    assert (middles > 3).all() and (middles < 252).all()
    assert np.mean([view.std() for view in views]) > 15


def test_nonsense_is_refused():
    with pytest.raises(BinposeError, match="projector_lit_share"):
        AppearanceConfig(projector_lit_share=2.0)
    with pytest.raises(BinposeError, match="exposure"):
        PhotographConfig(exposure=(2.0, 1.0))
    with pytest.raises(BinposeError, match="metal_share"):
        mat.MaterialConfig(metal_share=0.8, painted_share=0.5)
