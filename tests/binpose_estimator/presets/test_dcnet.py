import pytest

from binpose_core.base.errors import BinposeError
from binpose_estimator.presets import DcNetPreset


def test_gradient_descent_learns_a_few_crops(overfit) -> None:
    """All of five crops, the blocks too; it needs more steps than the other presets."""
    errors = overfit(DcNetPreset(width=8, points=24), 400)
    assert errors.angles_deg.max() < 2 and errors.diameters.max() < 0.01


@pytest.mark.parametrize("changes", [{"points": 3}, {"hypotheses": 61}, {"symmetric_distance": "median"}])
def test_nonsense_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(BinposeError, match=r"DcNetPreset\.|symmetric_distance is 'median'; expected"):
        DcNetPreset(**changes)
