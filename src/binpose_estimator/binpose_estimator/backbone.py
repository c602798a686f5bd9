"""From crops to features, conditioned on the class of the part."""

import torch
from torch import nn

from binpose_estimator.conditioning import ConditionalInstanceNorm, Conditioning


class ConditionedStage(nn.Module):
    """A strided convolution, and a residual block that is conditioned on the class: halves the resolution."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        classes: int,
        kernel: int = 3,
        conditioning: Conditioning = ConditionalInstanceNorm,
    ) -> None:
        super().__init__()
        self.down = nn.Sequential(
            nn.Conv2d(inputs, outputs, kernel, stride=2, padding=(kernel - 1) // 2, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )
        self.block = nn.Sequential(
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        )
        self.condition = conditioning(outputs, classes)

    def forward(self, x: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """(B, inputs, h, w) and classes (B,) -> (B, outputs, h / 2, w / 2)."""
        x = self.down(x)
        return torch.relu(x + self.condition(self.block(x), classes))


class ConvolutionalBackbone(nn.Module):
    """(B, inputs, 64, 64), classes (B,) -> features (B, widths[1], 16, 16) and (B, widths[2], 8, 8).

    The first stage looks at 6 x 6 pixels at once: a level at full resolution would cost as much as all others together.
    """

    def __init__(
        self,
        inputs: int,
        classes: int,
        widths: tuple[int, int, int],
        conditioning: Conditioning = ConditionalInstanceNorm,
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            [
                ConditionedStage(a, b, classes, kernel, conditioning)
                for a, b, kernel in zip((inputs, *widths[:-1]), widths, (6, 3, 3), strict=True)
            ]
        )

    def forward(self, crops: torch.Tensor, classes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The features of the two coarsest stages, the finer one first."""
        features = []
        x = crops
        for stage in self.stages:
            x = stage(x, classes)
            features.append(x)
        return features[1], features[2]
