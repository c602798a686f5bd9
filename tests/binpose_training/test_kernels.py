"""What a training needs is compiled before its time begins, and nothing of it is random."""

import torch

from binpose_core.parts.catalogue import ObjectModel
from binpose_training.config import TrainConfig
from binpose_training.kernels import compile_kernels


def test_the_step_leaves_the_random_numbers_as_they_were(objects: tuple[ObjectModel, ...]) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    compile_kernels(objects, TrainConfig())
    assert torch.equal(torch.get_rng_state(), before)
