import numpy as np
import torch

from binpose_estimator import SharedRegressionPreset
from binpose_estimator.autoencoder import AutoencoderBackbone, reconstruction_loss
from binpose_estimator.conditioning import MultiOutput

from .test_box_corners import NAMES, truth_of


def test_poses_train_their_own_last_layer_alone() -> None:
    """The encoder learns from the reconstruction (Bengtson et al., 2022, fine-tune one layer)."""
    for fine_tune in (True, False):
        backbone = AutoencoderBackbone(64, 2, (4, 6, 8, 8), MultiOutput, fine_tune).train()
        code, pose_code, reconstruction = backbone(torch.rand(2, 3, 64, 64), torch.tensor([0, 1]))
        assert code.shape == pose_code.shape == (2, 128) and reconstruction.shape == (2, 1, 64, 64)
        if fine_tune:
            pose_code.sum().backward()
        trained = {name for name, weight in backbone.named_parameters() if weight.grad is not None}
        assert trained == ({"pose_code.weight", "pose_code.bias"} if fine_tune else set())
        assert pose_code.requires_grad is fine_tune


def test_the_hardest_pixels_count() -> None:
    clean = torch.zeros(2, 1, 8, 8)
    wrong = clean.clone()
    wrong[0, 0, :2] = 1.0  # a quarter of the pixels
    loss = reconstruction_loss(wrong, clean, torch.ones(2))
    assert loss.item() == 0.5
    assert reconstruction_loss(wrong, clean, torch.tensor([0.0, 1.0])).item() == 0.0


def test_an_encoder_learns_to_draw_what_it_sees(objects, rng: np.random.Generator) -> None:
    torch.manual_seed(0)
    preset, parts = SharedRegressionPreset((8, 8, 12, 16), depth_fraction=0.0), [objects[name] for name in NAMES]
    batch, network = truth_of(6, rng), preset.build(3).train()
    objective = preset.objective(parts, torch.device("cpu"))
    optimizer, losses = torch.optim.Adam(network.parameters(), lr=3e-3), []
    for _ in range(30):
        loss = objective(network, batch)
        optimizer.zero_grad()
        sum(loss.values()).backward()
        optimizer.step()
        losses.append((loss["reconstruction"].item(), loss["pose"].item()))
    assert losses[-1][0] < 0.5 * losses[0][0], "the reconstruction"
    assert losses[-1][1] < 0.7 * losses[0][1], "the rotations, from the code"
