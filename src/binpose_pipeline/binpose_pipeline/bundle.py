"""Models of the whole pipeline: load, check and save."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from binpose_core.base.devices import check_device
from binpose_core.base.errors import NoModel
from binpose_core.learning.bundle import Checks, ModelBundle, load_model
from binpose_core.learning.model_store import ModelStore, StoredModel
from binpose_core.learning.stored_parts import own_version
from binpose_core.parts.catalogue import ObjectModel, objects_to_tensors
from binpose_core.stages import Estimator, Refiner, Segmenter
from binpose_pipeline.pipeline import Pipeline

Tensors = dict[str, npt.NDArray[Any]]

SHIPPED = Path(__file__).parent / "models"
UNCALIBRATED = (
    "The scores of this model are not calibrated: they rank poses but are no probabilities. Models of earlier versions "
    "need `binpose calibrate`; one whose training found too few right or wrong poses needs a longer `binpose train`."
)


@dataclass(frozen=True, eq=False)
class PipelineBundle(ModelBundle[Pipeline]):
    """A model whose stage is the whole pipeline; it adds only names for the pipeline's parts."""

    @property
    def pipeline(self) -> Pipeline:
        """All stages in their order."""
        return self.stage

    @property
    def segmenter(self) -> Segmenter:
        """The first stage."""
        return self.stage.segmenter

    @property
    def estimator(self) -> Estimator:
        """The second stage."""
        return self.stage.estimator

    @property
    def refiner(self) -> Refiner:
        """The third stage."""
        return self.stage.refiner

    @property
    def calibrated(self) -> bool:
        """Whether the scores are probabilities; without a calibration they only rank poses."""
        return self.refiner.calibration is not None

    def using(self, **stages: Any) -> "PipelineBundle":
        """The same model with other stages: segmenter, estimator or refiner."""
        return replace(self, stage=replace(self.stage, **stages))


def save_bundle(
    bundle: PipelineBundle,
    directory: Path | str,
    *,
    parent: str | None = None,
    header: Mapping[str, Any] | None = None,
    half: bool = False,
    promote: bool = True,
) -> str:
    """Write a bundle into a model store, objects included, and return its version.

    The header also holds the version of binpose, and whether the scores are calibrated.

    Args:
        bundle: what to save.
        directory: of the model store; made when it is not there.
        parent: version that this one was trained from.
        header: more entries for the version's header, for example the training's settings.
        half: store the networks' weights as float16 (half the size, relative error at most 2**-11).
        promote: make it the store's current version.

    Raises:
        BinposeError: when the disk is full; nothing half-written stays.
    """
    tensors, config, infos = bundle_to_tensors(bundle)
    networks = [name for name, value in tensors.items() if name.startswith(_NETWORKS) and value.dtype == np.float32]
    store = ModelStore(directory)
    made = {"binpose": own_version(), "calibrated": bundle.calibrated}
    content = {**(header or {}), **made, "config": config, "objects": infos, "metrics": dict(bundle.metrics)}
    version = store.save(tensors, content, parent=parent, half=networks if half else ())
    if promote:
        store.promote(version)
    return version


def load_bundle(
    path: Path | str, device: str = "cpu", version: str | None = None, engine: str = "torch"
) -> PipelineBundle:
    """A model from a store's folder, or from one of its `weights-*.safetensors` files.

    Args:
        path: folder or file; the name of a shipped model, such as `demo`, stands for its folder. A folder may be
            followed by `@` and a version or an alias, as in `models/cell@candidate`.
        device: where the networks run and the refinement draws.
        version: of those in the folder; by default the current one.
        engine: what runs the pose network: torch, or on the CPU onnxruntime.

    Raises:
        BinposeError: when there is no such model, its files are missing, truncated, altered or of another version of
            binpose, its weights are not finite, or there is no such device or engine.
    """
    check_device(device)
    path, named = store_and_version(Path(path))
    path, version = shipped_or_own(path), version or named
    if path.suffix == ".safetensors":
        if not path.is_file():
            raise NoModel(f"No weights at {path}; expected a file weights-*.safetensors; check the path.", path)
        path, version = path.parent, path.stem.removeprefix("weights-")
    return load_model(
        path,
        version or "",
        lambda stored, objects: stored_pipeline(stored, objects, device, engine),
        Checks(),
        PipelineBundle,
    )


def store_and_version(path: Path) -> tuple[Path, str]:
    """The folder and the version or alias in `FOLDER@VERSION`; the version is empty where none is named."""
    folder, at, version = path.name.rpartition("@")
    return (path.parent / folder, version) if at and folder and not path.exists() else (path, "")


def shipped_or_own(path: Path) -> Path:
    """The folder of a shipped model where the path is only its name."""
    return SHIPPED / path if not any(path.glob("weights-*")) and (SHIPPED / path).is_dir() else path


def bundle_to_tensors(bundle: PipelineBundle) -> tuple[Tensors, dict[str, Any], list[dict[str, Any]]]:
    """All arrays by name, the stages' settings, and the objects' entries.

    Names begin with `segmenter/`, `estimator/`, `refinement/`, `calibration.` or `object/`.
    """
    segmenter, segmenter_config = bundle.segmenter.to_tensors()
    estimator, estimator_config = bundle.estimator.to_tensors()
    refiner, refiner_config = bundle.refiner.to_tensors()
    objects, infos = objects_to_tensors(list(bundle.objects.values()))
    tensors = {
        **_prefixed("segmenter/", segmenter),
        **_prefixed("estimator/", estimator),
        **_prefixed("object/", objects),
        **refiner,
    }
    config = {"segmenter": segmenter_config, "estimator": estimator_config, **refiner_config}
    return tensors, config, infos


def stored_pipeline(
    stored: StoredModel, objects: Mapping[str, ObjectModel], device: str = "cpu", engine: str = "torch"
) -> Pipeline:
    """The pipeline that a model was saved with; any error where the header is not what it should be."""
    from binpose_detection.backends import stored_segmenter
    from binpose_estimator.estimator import PoseEstimator
    from binpose_refinement.stored_refiner import stored_refiner

    return Pipeline(
        stored_segmenter(stored, device),
        PoseEstimator.from_stored(stored, objects, device, engine),
        stored_refiner(stored, objects, device=device),
    )


_NETWORKS = ("segmenter/", "estimator/", "refinement/")


def _prefixed(prefix: str, tensors: Mapping[str, npt.NDArray[Any]]) -> Tensors:
    return {prefix + key: value for key, value in tensors.items()}
