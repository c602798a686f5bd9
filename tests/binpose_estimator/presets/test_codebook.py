import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from binpose_core.base.errors import BinposeError
from binpose_estimator import CodebookPreset, EstimatorConfig, PoseEstimator, build_network

from .test_bb8 import NAMES, detections_of

PRESET = CodebookPreset((4, 6, 8, 8), views=12, turns=4, hypotheses=2)


def test_an_estimator_runs_on_a_frame_without_depth(views, objects) -> None:
    torch.manual_seed(0)
    config = EstimatorConfig(NAMES, gsd_m=1e-3, preset=PRESET)
    estimator = PoseEstimator(build_network(config), config, objects)
    estimates = estimator(replace(views[0].frame, depth_m=None), detections_of(views[0]))
    assert len(estimates) == 5
    # Twice two hypotheses: a crop is also seen rotated.
    assert all(len(estimate.hypotheses) == 4 and np.isfinite(estimate.T_cam_obj).all() for estimate in estimates)


def test_settings_survive_json_and_nonsense_is_refused() -> None:
    assert CodebookPreset.from_settings(json.loads(json.dumps(PRESET.settings()))) == PRESET
    for wrong in ({"hypotheses": 0}, {"views": 1, "turns": 1, "hypotheses": 2}, {"widths": (4, 4)}):
        with pytest.raises(BinposeError, match="must be"):
            replace(PRESET, **wrong)
