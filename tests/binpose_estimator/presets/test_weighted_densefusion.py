from binpose_estimator.attention import PointWeights
from binpose_estimator.presets import DenseFusionPreset, WeightedDenseFusionPreset

PRESET = WeightedDenseFusionPreset(width=8, points=24, confidence_weight=0.1)


def test_gradient_descent_learns_a_few_crops(overfit) -> None:
    """The decoded pose is the refined one."""
    errors = overfit(PRESET, 200, ("rod", "bracket"))
    assert errors.angles_deg.max() < 5 and errors.diameters.max() < 0.03


def test_a_part_is_learnt_whose_symmetries_move_its_centre(overfit) -> None:
    """The blocks alone: the two brackets beside them are not learnt in as many steps."""
    blocks = overfit(PRESET, 120).of("block")
    assert len(blocks.parts) == 2 and blocks.angles_deg.max() < 3 and blocks.diameters.max() < 0.03


def test_is_dense_fusion_with_attention_on_both_branches_and_refinement() -> None:
    network = WeightedDenseFusionPreset(width=4).network(2)
    weighted = {name for name, module in network.named_modules() if isinstance(module, PointWeights)}
    for place in ("backbone.fusion", "head.residuals.fusion"):
        assert {f"{place}.weigh_{branch}.{level}" for branch in ("points", "colors") for level in "01"} <= weighted
    assert network.head.residuals.steps == 2
    plain = DenseFusionPreset(width=4).network(2)
    assert not any(isinstance(module, PointWeights) for module in plain.modules())
