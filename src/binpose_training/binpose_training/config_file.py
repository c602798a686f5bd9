"""A training's settings from a file and from a command line."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from binpose_core.base.config_tree import assigned, merged, plain, read_yaml, settings_yaml, with_values
from binpose_core.base.files import write_text
from binpose_training.config import DetectorJob, TrainConfig

TITLE = "Settings of a training, for `binpose train --config`. Names that are left out have their defaults."


def training_config(
    file: Path | None = None,
    options: Mapping[str, Any] | None = None,
    assignments: Sequence[str] = (),
    refinement_network: bool = False,
) -> TrainConfig:
    """The settings: defaults, then the file's, then the options', then the assignments'.

    Args:
        file: YAML with some of the names of `TrainConfig`.
        options: nested as the file is.
        assignments: texts such as `detector.training.views=4`.
        refinement_network: whether the defaults give time to a refinement network.

    Raises:
        BinposeError: for a file that cannot be read, an unknown name, with the nearest known one, and a wrong value.
    """
    values = merged(merged(read_yaml(file) if file is not None else {}, options or {}), assigned(assignments))
    detector = values.get("detector")
    backend = detector.get("backend", "votes") if isinstance(detector, Mapping) else "votes"
    defaults = replace(TrainConfig(), detector=DetectorJob.of(backend))
    return with_values(defaults.with_refinement_network() if refinement_network else defaults, values)


def write_config(config: TrainConfig, path: Path) -> None:
    """Write all settings as YAML, each with its description, for `training_config` to read.

    The number of workers is left out: it belongs to the machine.

    Raises:
        BinposeError: if the place cannot be written to.
    """
    text = settings_yaml(config, TITLE, without=("workers",))
    write_text(path, text)


def config_values(config: TrainConfig) -> dict[str, Any]:
    """All settings that a training depends on, as plain data; the number of workers changes nothing."""
    values = plain(config)
    del values["workers"]
    return values
