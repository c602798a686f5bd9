"""Proposals for the same pixels are measured apart."""

import numpy as np
import pytest

from binpose_core.frames.layers import LARGEST_OVERLAP, layers_of, rival_detections
from binpose_core.frames.types import Detection


def proposals(seed: int, count: int = 14) -> list[Detection]:
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        mask = np.zeros((60, 80), bool)
        y, x, h, w = rng.integers(0, 40), rng.integers(0, 55), rng.integers(5, 20), rng.integers(5, 25)
        mask[y : y + h, x : x + w] = rng.random((h, w)) < 0.8
        found.append(Detection.from_mask("cog", float(rng.random()), mask))
    return found


@pytest.mark.parametrize("seed", range(10))
def test_rivals_are_those_of_whole_masks(seed: int) -> None:
    detections = proposals(seed)
    full = [d.full_mask(60, 80) for d in detections]
    expected = [
        (i, j)
        for i in range(len(full))
        for j in range(i + 1, len(full))
        if (full[i] & full[j]).sum() > LARGEST_OVERLAP * min(full[i].sum(), full[j].sum())
    ]
    assert [tuple(pair) for pair in rival_detections(detections).tolist()] == expected


@pytest.mark.parametrize("seed", range(10))
def test_no_layer_holds_rivals_and_every_detection_is_in_one(seed: int) -> None:
    detections = proposals(seed)
    rivals = rival_detections(detections)
    layers = layers_of(detections, range(len(detections)), rivals)
    assert sorted(i for layer in layers for i in layer) == list(range(len(detections)))
    for layer in layers:
        scores = [detections[i].score for i in layer]
        assert scores == sorted(scores, reverse=True)
        assert not any(i in layer and j in layer for i, j in rivals.tolist())
    best = int(np.argmax([d.score for d in detections]))
    assert layers[0][0] == best


def test_masks_that_do_not_overlap_are_one_layer() -> None:
    corner = np.pad(np.ones((3, 3), bool), ((57, 0), (77, 0)))
    detections = [*proposals(0, 1), Detection.from_mask("cog", 0.1, corner)]
    assert len(layers_of(detections, range(2), rival_detections(detections))) == 1
