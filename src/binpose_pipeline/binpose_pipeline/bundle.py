"""A trained model as one immutable thing: networks, refiner, objects, settings and where it came from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from binpose_core.base.devices import check_device
from binpose_core.base.errors import BinposeError
from binpose_core.learning.model_store import ModelStore, StoredModel
from binpose_core.learning.stored_parts import assemble, own_version, stored_objects
from binpose_core.parts.catalogue import ObjectModel
from binpose_pipeline.pipeline import EstimatorStage, Pipeline, RefinerStage, SegmenterStage

Tensors = dict[str, npt.NDArray[Any]]

SHIPPED = Path(__file__).parent / "models"
UNCALIBRATED = (
    "The scores of this model are not calibrated: they rank poses but are no probabilities. Models of earlier versions "
    "need `binpose calibrate`; one whose training found too few right or wrong poses needs a longer `binpose train`."
)


@dataclass(frozen=True, eq=False)
class ModelBundle:
    """What a hot swap exchanges in one assignment: nobody ever sees half a model.

    objects: by id. config: per stage, its settings as plain JSON data.
    metrics: measured by whoever saved the model.
    version: sha256 of the weights, empty before it is saved; parent: the version it was trained from.
    """

    segmenter: SegmenterStage
    estimator: EstimatorStage
    refiner: RefinerStage
    objects: Mapping[str, ObjectModel]
    config: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""
    parent: str | None = None

    @property
    def pipeline(self) -> Pipeline:
        """The stages in their order."""
        return Pipeline(self.segmenter, self.estimator, self.refiner)

    @property
    def calibrated(self) -> bool:
        """Whether the scores are probabilities; without a calibration they only rank poses."""
        return getattr(self.refiner, "calibration", None) is not None


def save_bundle(
    bundle: ModelBundle,
    directory: Path | str,
    *,
    parent: str | None = None,
    header: Mapping[str, Any] | None = None,
    half: bool = False,
    promote: bool = True,
) -> str:
    """Write a bundle into a model store, objects included, and return its version.

    The header also tells the version of binpose, and whether the scores are calibrated.

    Args:
        bundle: with networks that know `to_tensors`.
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


def load_bundle(path: Path | str, device: str = "cpu", version: str | None = None) -> ModelBundle:
    """A model from a store's folder, or from one of its `weights-*.safetensors` files.

    Args:
        path: folder or file; the name of a shipped model, such as `demo`, stands for its folder.
        device: where the networks run and the refinement draws.
        version: of those in the folder; by default the current one.

    Raises:
        BinposeError: when there is no such model, its files are missing, truncated, altered or of another version of
            binpose, or there is no such device.
    """
    check_device(device)
    path = shipped_or_own(Path(path))
    if path.suffix == ".safetensors":
        if not path.is_file():
            raise BinposeError(f"No weights at {path}; expected a file weights-*.safetensors; check the path.")
        path, version = path.parent, path.stem.removeprefix("weights-")
    return bundle_from_stored(ModelStore(path).load(version), device)


def shipped_or_own(path: Path) -> Path:
    """The folder of a shipped model where the path is only its name."""
    return SHIPPED / path if not any(path.glob("weights-*")) and (SHIPPED / path).is_dir() else path


def bundle_to_tensors(bundle: ModelBundle) -> tuple[Tensors, dict[str, Any], list[dict[str, Any]]]:
    """All arrays by name, the stages' settings, and the objects' entries.

    Names begin with `segmenter/`, `estimator/`, `refinement/`, `calibration.` or `object/`.
    """
    from binpose_core.parts.catalogue import objects_to_tensors
    from binpose_refinement.stored_refiner import refiner_to_tensors

    segmenter, segmenter_config = bundle.segmenter.to_tensors()  # type: ignore[attr-defined]
    estimator, estimator_config = bundle.estimator.to_tensors()  # type: ignore[attr-defined]
    objects, infos = objects_to_tensors(list(bundle.objects.values()))
    refiner, refiner_config = refiner_to_tensors(bundle.refiner)  # type: ignore[arg-type]  # stored ones are of this class
    tensors = {
        **_prefixed("segmenter/", segmenter),
        **_prefixed("estimator/", estimator),
        **_prefixed("object/", objects),
        **refiner,
    }
    config = {"segmenter": segmenter_config, "estimator": estimator_config, **refiner_config}
    return tensors, config, infos


def bundle_from_stored(stored: StoredModel, device: str = "cpu") -> ModelBundle:
    """The inverse of `save_bundle`.

    Raises:
        BinposeError: when the header lacks an entry, or has one that this version of binpose cannot use; it names the
            version that wrote the model.
    """
    return assemble(stored, lambda: _assembled(stored, device))


def _assembled(stored: StoredModel, device: str) -> ModelBundle:
    """Networks, refiner and objects; any error where the header is not what it should be."""
    from binpose_detection.backends import stored_segmenter
    from binpose_estimator.estimator import PoseEstimator
    from binpose_refinement.stored_refiner import stored_refiner

    objects, config = stored_objects(stored), stored.header["config"]
    stages = (
        stored_segmenter(stored, device),
        PoseEstimator.from_stored(stored, objects, device),
        stored_refiner(stored, objects, device=device),
    )
    metrics = dict(stored.header.get("metrics", {}))
    return ModelBundle(*stages, objects, config, metrics, stored.version, stored.parent)


_NETWORKS = ("segmenter/", "estimator/", "refinement/")


def _prefixed(prefix: str, tensors: Mapping[str, npt.NDArray[Any]]) -> Tensors:
    return {prefix + key: value for key, value in tensors.items()}
