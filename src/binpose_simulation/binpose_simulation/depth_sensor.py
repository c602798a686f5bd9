"""What all simulated depth sensors have in common."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from binpose_core.base.settings import check_bounds
from binpose_simulation.sensor_input import FloatImage, Optics, SensorInput


@dataclass(frozen=True)
class DepthSensor(ABC):
    """Turns true depth into measured depth.

    optics: its light source, and what it loses.
    """

    optics: Optics = field(default_factory=Optics)

    def __post_init__(self) -> None:
        check_bounds(self)

    def apply(self, rng: np.random.Generator, scene: SensorInput) -> FloatImage:
        """The measured depth (H, W) float32 in metres, 0 = hole."""
        received = self.optics.received(rng, scene)
        measured = self.measure(rng, scene, received)
        self.optics.punch(rng, measured)
        return self.finish(rng, scene, measured)

    @abstractmethod
    def measure(self, rng: np.random.Generator, scene: SensorInput, received: npt.NDArray[np.bool_]) -> FloatImage:
        """Depth (H, W) float32 of the pixels whose light is received (H, W), 0 = hole."""

    def finish(self, rng: np.random.Generator, scene: SensorInput, measured: FloatImage) -> FloatImage:
        """What the sensor makes of the measured depth (H, W), round holes included; may change it in place."""
        return measured
