import pytest

from binpose_core.base.errors import BinposeError
from binpose_estimator.presets import DenseFusionPreset


def test_gradient_descent_learns_a_few_crops(overfit) -> None:
    errors = overfit(DenseFusionPreset(width=8, points=24, confidence_weight=0.1), 200, ("rod", "bracket"))
    assert errors.angles_deg.max() < 5 and errors.diameters.max() < 0.03


@pytest.mark.parametrize("changes", [{"width": 0}, {"confidence_weight": 0.0}, {"symmetric_distance": "median"}])
def test_nonsense_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(BinposeError, match=r"DenseFusionPreset\.|symmetric_distance is 'median'; expected"):
        DenseFusionPreset(**changes)


def test_refinement_is_optional() -> None:
    assert DenseFusionPreset(width=4).network(2).head.residuals is None
    assert DenseFusionPreset(width=4, refinements=3).network(2).head.residuals.steps == 3
