import pytest

from binpose_core.base.errors import BinposeError
from binpose_estimator.presets import DcNetPreset


def test_gradient_descent_learns_a_few_crops(overfit) -> None:
    angles_deg, diameters = overfit(DcNetPreset(width=8, points=24), 150)
    assert angles_deg.max() < 5 and diameters.max() < 0.03


@pytest.mark.parametrize("changes", [{"points": 3}, {"hypotheses": 61}, {"symmetric_distance": "median"}])
def test_nonsense_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(BinposeError, match=r"DcNetPreset\.|symmetric_distance is 'median'; expected"):
        DcNetPreset(**changes)
