from pathlib import Path

import pytest

from binpose_core.base.errors import BinposeError
from binpose_recording.config import BagConfig, KeyframeConfig, RecorderConfig


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (BagConfig, {"segment_mb": 0}),
        (BagConfig, {"segment_s": float("nan")}),
        (BagConfig, {"sync_s": 1.5}),  # More than a second would be lost.
        (BagConfig, {"sync_s": 0}),
        (BagConfig, {"compression": "gzip"}),
        (KeyframeConfig, {"check_hz": 0}),
        (KeyframeConfig, {"min_cells": -1}),
        (RecorderConfig, {"quota_gb": 0.1}),  # Less than two segments.
        (RecorderConfig, {"slop_s": -0.1}),
        (RecorderConfig, {"queue_mb": 0}),
    ],
)
def test_nonsense_is_refused_by_name(kind, settings):
    with pytest.raises(BinposeError, match=next(iter(settings))):
        kind(**settings)


def test_the_defaults_make_sense():
    assert RecorderConfig(Path("x")).bag.sync_s <= 0.5
