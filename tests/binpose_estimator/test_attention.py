import torch

from binpose_estimator.attention import PointWeights


def test_each_point_is_scaled_by_its_own_largest_and_mean_feature() -> None:
    """Equation 1 of Mu et al.: one weight in (0, 2) per point, the same for all its channels."""
    torch.manual_seed(0)
    weigh, features = PointWeights(), torch.randn(2, 5, 7)
    result = weigh(features)
    ratio = result / features
    torch.testing.assert_close(ratio, ratio[..., :1].expand_as(ratio))
    a, b = weigh.mix.weight[0]
    expected = 2 * torch.sigmoid(a * features.max(-1).values + b * features.mean(-1) + weigh.mix.bias)
    torch.testing.assert_close(ratio[..., 0], expected)
    order = torch.tensor([3, 0, 4, 2, 1])
    torch.testing.assert_close(weigh(features[:, order]), result[:, order])
