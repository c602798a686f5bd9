import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_estimator.presets import DcNetPreset


def test_gradient_descent_learns_most_of_a_few_crops(overfit) -> None:
    """Two of three crops: the likelihood learns one crop after the other, unlike a mean of distances."""
    errors = overfit(DcNetPreset(width=8, points=24), 150, ("rod", "bracket"))
    assert np.median(errors.angles_deg) < 3 and np.median(errors.diameters) < 0.03


@pytest.mark.parametrize("changes", [{"points": 3}, {"hypotheses": 61}, {"symmetric_distance": "median"}])
def test_nonsense_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(BinposeError, match=r"DcNetPreset\.|symmetric_distance is 'median'; expected"):
        DcNetPreset(**changes)
