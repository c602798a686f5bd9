"""A trained model as one immutable thing: networks, refiner, objects, settings and where it came from."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from binpose.pipeline import EstimatorStage, Pipeline, RefinerStage, SegmenterStage
from binpose_core.catalogue import ObjectModel
from binpose_core.errors import BinposeError
from binpose_core.model_store import SHORT, ModelStore, StoredModel

Tensors = dict[str, npt.NDArray[Any]]

SHIPPED = Path(__file__).parent / "models"


@dataclass(frozen=True, eq=False)
class ModelBundle:
    """What a hot swap exchanges in one assignment: nobody ever sees half a model.

    config: per stage, its settings as plain JSON data.
    metrics: measured by whoever saved the model.
    version: sha256 of the weights, empty before it is saved; parent: the version it was trained from.
    """

    segmenter: SegmenterStage
    estimator: EstimatorStage
    refiner: RefinerStage
    objects: tuple[ObjectModel, ...]
    config: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""
    parent: str | None = None

    @property
    def pipeline(self) -> Pipeline:
        """The stages in their order."""
        return Pipeline(self.segmenter, self.estimator, self.refiner)

    @property
    def object_ids(self) -> tuple[str, ...]:
        """The ids of the parts that the model knows."""
        return tuple(model.id for model in self.objects)


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

    Args:
        header: more entries for the version's header, for example the training's settings.
        half: store the networks' weights as float16 (half the size, relative error at most 2**-11).
        promote: make it the store's current version.

    Raises:
        BinposeError: when the disk is full; nothing half-written stays.
    """
    tensors, config, infos = bundle_to_tensors(bundle)
    networks = [name for name, value in tensors.items() if name.startswith(_NETWORKS) and value.dtype == np.float32]
    store = ModelStore(directory)
    content = {**(header or {}), "config": config, "objects": infos, "metrics": dict(bundle.metrics)}
    version = store.save(tensors, content, parent=parent, half=networks if half else ())
    if promote:
        store.promote(version)
    return version


def load_bundle(path: Path | str, device: str = "cpu", version: str | None = None) -> ModelBundle:
    """A model from a store's folder, or from one of its `weights-*.safetensors` files.

    Args:
        path: the name of a shipped model, such as `demo`, stands for its folder.
        version: of those in the folder; by default the current one.

    Raises:
        BinposeError: when there is no such model, or its files are missing, truncated or altered.
    """
    path = Path(path)
    if not path.exists() and (SHIPPED / path).is_dir():
        path = SHIPPED / path
    if path.suffix == ".safetensors":
        if not path.is_file():
            raise BinposeError(f"No weights at {path}; expected a file weights-*.safetensors; check the path.")
        path, version = path.parent, path.stem.removeprefix("weights-")
    return bundle_from_stored(ModelStore(path).load(version), device)


def bundle_to_tensors(bundle: ModelBundle) -> tuple[Tensors, dict[str, Any], list[dict[str, Any]]]:
    """All arrays by name (`segmenter/...`, `estimator/...`, `calibration/...`, `object/...`), the stages' settings
    and the objects' entries."""
    from binpose_core.catalogue import objects_to_tensors

    tensors: Tensors = {}
    config: dict[str, Any] = {"refiner": asdict(bundle.refiner.config)}  # type: ignore[attr-defined]
    parts = {"segmenter": bundle.segmenter, "estimator": bundle.estimator, "calibration": _calibration(bundle.refiner)}
    for name, part in parts.items():
        if part is not None:
            arrays, config[name] = part.to_tensors()  # type: ignore[attr-defined]
            tensors |= {f"{name}/{key}": value for key, value in arrays.items()}
    arrays, infos = objects_to_tensors(bundle.objects)
    tensors |= {f"object/{key.removeprefix('object/')}": value for key, value in arrays.items()}
    return tensors, config, infos


def bundle_from_stored(stored: StoredModel, device: str = "cpu") -> ModelBundle:
    """The inverse of `save_bundle`."""
    from binpose_core.catalogue import objects_from_tensors
    from binpose_detection.segmenter import Segmenter
    from binpose_estimator.estimator import PoseEstimator
    from binpose_refinement.refiner import IcpRefiner

    try:
        config, infos = stored.header["config"], stored.header["objects"]
        segmenter_config, estimator_config = config["segmenter"], config["estimator"]
    except (KeyError, TypeError) as error:
        raise BinposeError(
            f"The header of version {stored.version[:SHORT]} lacks the entry {error}; expected config of segmenter and "
            "estimator, and objects; use a model that `binpose train` wrote."
        ) from error
    objects = tuple(objects_from_tensors(_with_prefix(stored.tensors, "object"), infos))
    segmenter = Segmenter.from_tensors(_with_prefix(stored.tensors, "segmenter"), segmenter_config, device)
    estimator = PoseEstimator.from_tensors(_with_prefix(stored.tensors, "estimator"), estimator_config, objects, device)
    refiner = IcpRefiner(objects, _refiner_config(config), _stored_calibration(stored.tensors, config))
    return ModelBundle(
        segmenter, estimator, refiner, objects, config, stored.header.get("metrics", {}), stored.version, stored.parent
    )


_NETWORKS = ("segmenter/", "estimator/")


def _with_prefix(tensors: Mapping[str, npt.NDArray[Any]], prefix: str) -> Tensors:
    return {key.removeprefix(prefix + "/"): value for key, value in tensors.items() if key.startswith(prefix + "/")}


def _calibration(refiner: RefinerStage) -> Any:
    return getattr(refiner, "calibration", None)


def _refiner_config(config: Mapping[str, Any]) -> Any:
    from binpose_refinement.config import RefinerConfig

    return RefinerConfig(**config.get("refiner", {}))


def _stored_calibration(tensors: Mapping[str, npt.NDArray[Any]], config: Mapping[str, Any]) -> Any:
    if "calibration" not in config:
        return None
    from binpose_refinement.calibration import Calibration

    return Calibration.from_tensors(_with_prefix(tensors, "calibration"), config["calibration"])
