import numpy as np
import torch

from binpose_core.geometry.transforms import random_rotation, rotation_angle_rad
from binpose_estimator import CodebookPreset
from binpose_estimator.codebook import Codebook, CodebookNetwork, CodePrediction, view_grid
from binpose_estimator.crops import CropInputs

PRESET = CodebookPreset((4, 6, 8, 8), views=20, turns=6, hypotheses=3)


def test_the_nearest_view_is_found_as_by_comparing_all(rng: np.random.Generator) -> None:
    codes = torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(30, 128))), dim=1)
    book, code = Codebook(view_grid(5, 6), codes), torch.from_numpy(rng.normal(size=(4, 128)))
    rotation, cosine = book.nearest(code, 3)
    for b in range(4):
        every = codes.numpy() @ code[b].numpy() / np.linalg.norm(code[b].numpy())
        best = np.argsort(-every)[:3]
        np.testing.assert_allclose(cosine[b], every[best])
        np.testing.assert_array_equal(rotation[b], book.rotations[best])


def test_the_code_of_a_view_gives_its_rotation(objects) -> None:
    """For any weights of the encoder: the views that it is compared with are its own."""
    torch.manual_seed(0)
    network, parts = PRESET.build(2).eval(), [objects["bracket"], objects["block"]]
    assert isinstance(network, CodebookNetwork)
    books = [network.codebook(part) for part in parts]
    code = torch.stack([books[0].codes[17], books[1].codes[60]])
    inputs = CropInputs(PRESET.content, torch.zeros(2, 3, 64, 64), torch.full((2,), 8.0))
    poses = network.decode(CodePrediction(code, code[:, :0], torch.zeros(2)), inputs, parts)
    for b, view in enumerate((17, 60)):
        np.testing.assert_allclose(poses.rotation[b, 0], books[b].rotations[view])
    assert (np.diff(poses.score, axis=1) <= 0).all()
    np.testing.assert_allclose(poses.score.sum(1), 1)


def test_other_weights_have_another_codebook(objects) -> None:
    network, part = PRESET.build(1).eval(), objects["rod"]
    before = network.codebook(part)
    assert network.codebook(part) is before
    with torch.no_grad():
        network.backbone.code.weight.normal_()
    assert not torch.allclose(network.eval().codebook(part).codes, before.codes)


def test_views_cover_all_rotations(rng: np.random.Generator) -> None:
    grid = view_grid(60, 12)
    np.testing.assert_allclose(np.linalg.det(grid), 1.0)
    nearest = [rotation_angle_rad(grid, rotation).min() for rotation in random_rotation(rng, (50,))]
    assert np.rad2deg(max(nearest)) < 32
