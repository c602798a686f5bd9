"""The depth sensors of the simulation: one is drawn for each view, each with parameters of its own.

| kind | cameras | model |
|---|---|---|
| industrial | Zivid, Photoneo, Ensenso | `scanner`: precise pixels, holes on what is shiny, dark or in shadow |
| active_stereo | RealSense D400 | `window_matcher`: smeared edges, noise and bumps growing with z^2, ragged holes |
| consumer_structured_light | Kinect v1, PrimeSense | `window_matcher`: steps of 1/8 px, wide windows, shadow |
| time_of_flight | Kinect v2, Azure Kinect, L515, Helios | `time_of_flight`: flying pixels, rounded corners, wiggling |
| ideal | none | `scanner` with hardly any noise |

A sensor is drawn from a generator of its own (see `scene.render_view`), so that its kind changes nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.base.settings import FRACTION, check_bounds, setting
from binpose_simulation.depth_sensor import DepthSensor
from binpose_simulation.scanner import Scanner
from binpose_simulation.sensor_input import Optics
from binpose_simulation.sensor_noise import between, uniform
from binpose_simulation.time_of_flight import TimeOfFlight
from binpose_simulation.window_matcher import WindowMatcher


@dataclass(frozen=True)
class SensorConfig:
    """Which sensors are drawn: the probability of each kind. They sum to 1."""

    industrial: float = setting(0.35, bounds=FRACTION)
    active_stereo: float = setting(0.3, bounds=FRACTION)
    consumer_structured_light: float = setting(0.15, bounds=FRACTION)
    time_of_flight: float = setting(0.15, bounds=FRACTION)
    ideal: float = setting(0.05, bounds=FRACTION)

    def __post_init__(self) -> None:
        check_bounds(self)
        total = sum(getattr(self, kind) for kind in SENSOR_KINDS)
        if abs(total - 1.0) > 1e-6:
            raise BinposeError(
                f"SensorConfig: probabilities of the kinds that sum to {total:g}; expected 1; change them."
            )

    @classmethod
    def only(cls, kind: str) -> "SensorConfig":
        """Sensors of one kind.

        Raises:
            BinposeError: for an unknown kind.
        """
        if kind not in SENSOR_KINDS:
            raise BinposeError(f"A depth sensor of kind {kind!r}; expected one of {', '.join(SENSOR_KINDS)}.")
        return cls(**{known: float(known == kind) for known in SENSOR_KINDS})

    def draw(self, rng: np.random.Generator) -> tuple[str, DepthSensor]:
        """The kind and the sensor of one view."""
        limits = np.cumsum([getattr(self, kind) for kind in SENSOR_KINDS])
        kind = SENSOR_KINDS[min(int(np.searchsorted(limits, rng.random() * limits[-1], "right")), len(limits) - 1)]
        return kind, _DRAW[kind](rng)


SENSOR_KINDS = tuple(field.name for field in fields(SensorConfig))


def _ideal(rng: np.random.Generator) -> DepthSensor:
    optics = Optics(uniform(rng, 0.03, 0.15), _any_azimuth(rng), slant_cosine=0.05, shadow=bool(rng.random() < 0.5))
    return Scanner(optics, noise_m=1e-5, noise_per_m=between(rng, 2e-5, 2e-4), edge_drop=0.3)


def _industrial(rng: np.random.Generator) -> DepthSensor:
    """Zivid and Photoneo state 0.03 to 0.2 mm at 0.5 to 1 m."""
    optics = Optics(
        uniform(rng, 0.03, 0.15), _any_azimuth(rng), slant_cosine=between(rng, 0.05, 0.3),
        weakest=between(rng, 0.002, 0.1), strongest=between(rng, 5, 80), stray=between(rng, 0.3, 10),
        dropout=uniform(rng, 0, 0.006), blobs=float(rng.exponential(2)), uneven=uniform(rng, 0.05, 0.4),
        shadow=bool(rng.random() < 0.95),
    )  # fmt: skip
    return Scanner(
        optics, noise_m=between(rng, 1e-5, 8e-5), noise_per_m=between(rng, 1e-4, 1e-3),
        correlated=uniform(rng, 0.0, 0.7), correlation_px=between(rng, 2, 16), smoothing_px=int(rng.integers(0, 3)),
        smoothing_m=between(rng, 0.002, 0.012), edge_m_per_m=between(rng, 0.004, 0.012),
        edge_drop=uniform(rng, 0.3, 1.0), edge_fly=uniform(rng, 0.0, 0.2),
    )  # fmt: skip


def _active_stereo(rng: np.random.Generator) -> DepthSensor:
    """D415, D435 and D455 have baselines of 55, 50 and 95 mm; drivers smooth over more than the matcher's window."""
    optics = Optics(
        uniform(rng, 0.048, 0.1), _along_rows(rng), slant_cosine=between(rng, 0.05, 0.2),
        weakest=between(rng, 0.0005, 0.02), strongest=between(rng, 10, 200), stray=between(rng, 2, 40),
        dropout=uniform(rng, 0, 0.01), blobs=float(rng.exponential(1)), uneven=uniform(rng, 0.2, 0.8),
        shadow=bool(rng.random() < 0.9),
    )  # fmt: skip
    return WindowMatcher(
        optics, radius_px=int(rng.integers(3, 7)), noise_px=between(rng, 0.05, 0.16), wave_px=between(rng, 0.02, 0.12),
        wave_scale_px=between(rng, 12, 60), tolerance_px=between(rng, 1.5, 6.0), fattening=between(rng, 0.7, 2.5),
        consensus=uniform(rng, 0.5, 0.85), support=uniform(rng, 0.1, 0.4), ragged=uniform(rng, 0.1, 0.5),
        step_px=1 / 32, quantum_m=float(rng.choice([0.0001, 0.001])), offset_px=float(rng.normal() * 0.06),
        scale=float(1 + rng.normal() * 0.003), band=bool(rng.random() < 0.4),
    )  # fmt: skip


def _consumer_structured_light(rng: np.random.Generator) -> DepthSensor:
    """Kinect v1 and PrimeSense: 75 mm, 9x9 windows, disparity in steps of 1/8 px."""
    optics = Optics(
        uniform(rng, 0.07, 0.08), _along_rows(rng), slant_cosine=between(rng, 0.1, 0.3),
        weakest=between(rng, 0.005, 0.1), strongest=between(rng, 5, 50), stray=between(rng, 0.5, 10),
        dropout=uniform(rng, 0, 0.005), blobs=float(rng.exponential(1)), uneven=uniform(rng, 0.1, 0.6), shadow=True,
    )  # fmt: skip
    return WindowMatcher(
        optics, radius_px=int(rng.integers(3, 6)), noise_px=between(rng, 0.03, 0.1), wave_px=between(rng, 0.02, 0.1),
        wave_scale_px=between(rng, 20, 80), tolerance_px=uniform(rng, 0.6, 2.0), fattening=between(rng, 0.7, 2.0),
        consensus=uniform(rng, 0.5, 0.6), support=uniform(rng, 0.2, 0.5), ragged=uniform(rng, 0.2, 0.7), step_px=1 / 8,
        quantum_m=0.001, offset_px=float(rng.normal() * 0.1), scale=float(1 + rng.normal() * 0.003),
    )  # fmt: skip


def _time_of_flight(rng: np.random.Generator) -> DepthSensor:
    """The light stands beside the lens: hardly any shadow."""
    optics = Optics(
        uniform(rng, 0.005, 0.03), _any_azimuth(rng), slant_cosine=between(rng, 0.05, 0.2),
        weakest=between(rng, 0.01, 0.15), strongest=between(rng, 5, 50), stray=between(rng, 1, 20),
        dropout=uniform(rng, 0, 0.004), blobs=float(rng.exponential(0.5)), uneven=uniform(rng, 0.1, 0.5),
    )  # fmt: skip
    return TimeOfFlight(
        optics, noise_m=between(rng, 2e-4, 1.5e-3), noise_per_m=between(rng, 3e-4, 2e-3),
        footprint=uniform(rng, 0.1, 0.7), edge_m_per_m=between(rng, 0.015, 0.06), edge_drop=uniform(rng, 0.0, 0.9),
        bounce=uniform(rng, 0.05, 0.5), wiggle_m=between(rng, 3e-4, 2e-3), wiggle_period_m=between(rng, 0.25, 1.5),
        wiggle_phase=float(rng.random()), dark_m=float(rng.normal() * 1e-3), offset_m=float(rng.normal() * 1.5e-3),
        scale=float(1 + rng.normal() * 0.002), quantum_m=float(rng.choice([0.0001, 0.00025, 0.001])),
    )  # fmt: skip


_DRAW: dict[str, Callable[[np.random.Generator], DepthSensor]] = {
    "industrial": _industrial,
    "active_stereo": _active_stereo,
    "consumer_structured_light": _consumer_structured_light,
    "time_of_flight": _time_of_flight,
    "ideal": _ideal,
}


def _along_rows(rng: np.random.Generator) -> float:
    """Azimuth of a second camera beside the first, on either side: images are turned by whoever mounts the camera."""
    return float(rng.integers(2) * np.pi + rng.normal() * 0.02)


def _any_azimuth(rng: np.random.Generator) -> float:
    """Azimuth of a projector, three times out of four beside the camera."""
    if rng.random() < 0.75:
        return float(rng.integers(2) * np.pi + rng.normal() * 0.08)
    return uniform(rng, -np.pi, np.pi)
