"""The preset `default`: hypotheses and dense object coordinates from RGB-D crops, conditioned by CIN."""

from dataclasses import dataclass

from binpose_core.base.errors import BinposeError
from binpose_estimator.backbone import ConvolutionalBackbone
from binpose_estimator.conditioning import find_conditioning
from binpose_estimator.crop_content import CropContent
from binpose_estimator.head import HypothesesHead
from binpose_estimator.network import PoseNetwork
from binpose_estimator.presets.preset import Preset
from binpose_estimator.presets.registry import register_preset


@register_preset
@dataclass(frozen=True)
class DefaultPreset(Preset):
    """widths: channels of the backbone's stages. hypotheses: poses per crop. conditioning: of `CONDITIONINGS`."""

    widths: tuple[int, int, int] = (48, 96, 160)
    hypotheses: int = 5
    conditioning: str = "cin"

    name = "default"
    content = CropContent(("points", "valid", "mask", "luma", "normals"))

    def __post_init__(self) -> None:
        if self.hypotheses < 1:
            raise BinposeError(f"hypotheses must be >= 1, got {self.hypotheses}.")
        find_conditioning(self.conditioning)

    def network(self, classes: int) -> PoseNetwork:
        """The convolutional backbone with the head of hypotheses."""
        conditioning = find_conditioning(self.conditioning)
        backbone = ConvolutionalBackbone(self.content.channels, classes, self.widths, conditioning)
        head = HypothesesHead(*self.widths[1:], classes, self.hypotheses, conditioning=conditioning)
        return PoseNetwork(backbone, head)
