"""A judge without a calibration."""

import pytest

from binpose_core.parts.catalogue import ObjectModel
from binpose_self_training.gate.judge import Judge


@pytest.fixture(scope="session")
def judge(objects: tuple[ObjectModel, ...]) -> Judge:
    return Judge({model.id: model for model in objects})
