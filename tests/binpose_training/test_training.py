"""From parts to a stored model in seconds: what is learnt is nothing, but every stage really runs."""

import sys
import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from binpose import cli
from binpose.commands.estimate import with_refiner
from binpose_core.base.errors import BinposeError
from binpose_core.base.files import read_json
from binpose_core.learning.loop_config import LoopConfig
from binpose_core.learning.model_store import ModelStore
from binpose_core.parts.catalogue import ObjectModel
from binpose_detection.mask_rcnn import MaskRcnnSegmenter
from binpose_detection.mask_rcnn_training import MaskRcnnTrainingConfig
from binpose_detection.training import SegmentationTrainingConfig
from binpose_estimator.distillation_config import DistillationConfig
from binpose_estimator.training_config import PoseTrainingConfig
from binpose_pipeline.bundle import PipelineBundle, bundle_to_tensors, load_bundle, save_bundle
from binpose_refinement.config import RefinerConfig
from binpose_refinement.network_optimizer import NetworkOptimizer
from binpose_refinement.network_training import RefinementTraining
from binpose_refinement.refiner import IcpRefiner
from binpose_simulation.scene import SceneConfig, SimulatedView
from binpose_simulation.stream import SimulationStream
from binpose_training.config import CalibrationJob, DetectorJob, PoseJob, TrainConfig
from binpose_training.config_file import training_config
from binpose_training.training import CONFIG_FILE, train
from binpose_training.training_run import StageProgress
from binpose_training.training_scene import training_scene, working_gsd_m


@pytest.fixture
def config() -> TrainConfig:
    loop = LoopConfig(steps=2, low_precision=False)
    return TrainConfig(
        minutes=0.02,
        workers=1,
        detector=DetectorJob(training=SegmentationTrainingConfig(loop=loop, views=1, crops=2, crop_px=64)),
        pose=PoseJob(training=PoseTrainingConfig(loop=loop, batch_size=4)),
        calibration=CalibrationJob(views=2, evaluation_views=2),
    )


class Interrupted:
    """A progress report that presses Ctrl-C when a stage begins, and remembers the stages."""

    def __init__(self, stage: str | None = None) -> None:
        self.stage, self.seen = stage, list[str]()

    def __call__(self, now: StageProgress) -> None:
        assert 0 <= now.fraction <= 1 and now.left_s >= 0
        self.seen.append(now.stage)
        if now.stage == self.stage:
            raise KeyboardInterrupt


class Alive:
    """Counts the simulated views that something still holds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = self.most = 0
        taken = SimulationStream.__next__

        def counted(stream: SimulationStream) -> SimulatedView:
            view = taken(stream)
            weakref.finalize(view, self._gone)
            self.now += 1
            self.most = max(self.most, self.now)
            return view

        monkeypatch.setattr(SimulationStream, "__next__", counted)

    def _gone(self) -> None:
        self.now -= 1


def test_an_interrupted_training_resumes_and_ends_in_a_model(
    tmp_path: Path, objects: tuple[ObjectModel, ...], config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(objects, tmp_path, config, progress=Interrupted("pose"))
    stages = read_json(tmp_path / "training/run.json")["stages"]
    assert stages["simulation"]["done"] and stages["detector"]["done"] and not stages["pose"]["done"]
    views = len(list((tmp_path / "training/views").iterdir()))
    with pytest.raises(BinposeError, match="--resume"):
        train(objects, tmp_path, config)
    with pytest.raises(BinposeError, match="other objects or settings"):
        train(objects, tmp_path, replace(config, seed=1), resume=True)
    assert len(list((tmp_path / "training/views").iterdir())) == views

    report, alive = Interrupted(), Alive(monkeypatch)
    version = train(objects, tmp_path, config, resume=True, progress=report)
    assert 1 <= alive.most <= 2, "views are not kept: the unseen ones of a whole training take a gigabyte"

    assert "simulation" not in report.seen, "what was simulated is not simulated again"
    assert not (tmp_path / "training").exists()
    done = ModelStore(tmp_path).header(version)["training"]["done"]
    assert done == {"views": views, "detector_steps": 2, "pose_steps": 2}
    assert training_config(tmp_path / CONFIG_FILE, {"workers": 1}) == config
    bundle = load_bundle(tmp_path)
    assert bundle.version == version
    assert list(bundle.objects) == [part.id for part in objects]
    assert set(bundle.metrics["objects"]) <= {"all", *bundle.objects}
    assert not bundle.calibrated, "two untrained steps find no right poses to calibrate with"


def test_a_model_teaches_another_one(
    tmp_path: Path, objects: tuple[ObjectModel, ...], config: TrainConfig, networks: PipelineBundle
) -> None:
    save_bundle(networks, tmp_path / "teacher")
    teachers = DistillationConfig((str(tmp_path / "teacher"),))
    taught = replace(config, pose=replace(config.pose, distillation=teachers))
    messages: list[str] = []
    version = train(objects, tmp_path / "student", taught, progress=lambda now: messages.append(now.message))
    assert any("distillation" in text and "hint" in text for text in messages)
    stored = ModelStore(tmp_path / "student").load(version)
    assert stored.header["training"]["pose"]["distillation"]["teachers"] == [str(tmp_path / "teacher")]
    assert not any("adapters" in name for name in stored.tensors)


def test_a_teacher_that_cannot_teach_is_refused_before_the_simulation(
    tmp_path: Path, objects: tuple[ObjectModel, ...], config: TrainConfig, networks: PipelineBundle
) -> None:
    save_bundle(networks, tmp_path / "teacher")
    teachers = DistillationConfig((str(tmp_path / "teacher"),), student_layer="backbone.nothing")
    with pytest.raises(BinposeError, match=r"no module 'backbone\.nothing'"):
        train(objects, tmp_path / "out", replace(config, pose=replace(config.pose, distillation=teachers)))
    assert not (tmp_path / "out").exists()


def test_a_refinement_network_is_trained_after_the_pose_network(
    tmp_path: Path, objects: tuple[ObjectModel, ...], config: TrainConfig
) -> None:
    assert not config.refinement.enabled
    loop = LoopConfig(steps=1, low_precision=False)
    config = config.with_refinement_network()
    training = RefinementTraining(loop, loop, starts=1, most=4)
    config = replace(config, refinement=replace(config.refinement, training=training))
    with pytest.raises(KeyboardInterrupt):
        train(objects, tmp_path, config, progress=Interrupted("refinement"))
    report = Interrupted()
    train(objects, tmp_path, config, resume=True, progress=report)
    assert "pose" not in report.seen and "refinement" in report.seen
    bundle = load_bundle(tmp_path)
    assert ModelStore(tmp_path).load().header["training"]["done"]["refinement_steps"] == 2
    assert bundle.refiner.config.method == "icp", "the network is there for who asks for it"
    assert isinstance(with_refiner(bundle, "network").refiner.optimizer, NetworkOptimizer)
    again = load_bundle(tmp_path / "again", version=save_bundle(bundle, tmp_path / "again", half=True))
    stored, copied = (bundle_to_tensors(one)[0] for one in (bundle, again))
    assert stored.keys() == copied.keys()
    assert all(np.array_equal(stored[name], copied[name]) for name in stored)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
@pytest.mark.parametrize("detector", ["votes", "mask_rcnn"])
def test_a_training_on_the_gpu_ends_in_a_model_for_the_processor(
    tmp_path: Path, objects: tuple[ObjectModel, ...], config: TrainConfig, detector: str
) -> None:
    if detector == "mask_rcnn":
        pytest.importorskip("torchvision")
    train(objects, tmp_path, replace(config, detector=DetectorJob.of(detector)), device="cuda")
    with SimulationStream({part.id: part for part in objects}, SceneConfig(), 3, 1) as stream:
        load_bundle(tmp_path).pipeline(next(stream).frame)


def test_a_training_starts_from_a_model_of_other_parts(
    tmp_path: Path, objects: tuple[ObjectModel, ...], config: TrainConfig
) -> None:
    parent = train(objects[:2], tmp_path / "parent", config)
    start = load_bundle(tmp_path / "parent")
    frozen = LoopConfig(steps=1, low_precision=False, learning_rate=1e-12, weight_decay=0.0)
    still = replace(
        config,
        detector=replace(config.detector, training=replace(config.detector.training, loop=frozen)),
        pose=replace(config.pose, training=replace(config.pose.training, loop=frozen)),
    )
    train(objects, tmp_path / "child", still, start=start)
    child = load_bundle(tmp_path / "child")
    assert child.parent == parent and list(child.objects) == [part.id for part in objects]
    for stage in ("segmenter", "estimator"):
        old, new = (getattr(bundle, stage).network.state_dict() for bundle in (start, child))
        rows = getattr(start, stage).network.part_rows([part.id for part in objects[:2]])
        for name in old.keys() - rows.keys():
            if old[name].is_floating_point() and "running" not in name:
                np.testing.assert_allclose(new[name], old[name], atol=1e-3, err_msg=name)
    known, kept = (bundle.estimator.network.state_dict()["head.embedding.weight"] for bundle in (start, child))
    np.testing.assert_allclose(kept[:2], known, atol=1e-3)


def test_a_part_is_added_to_a_model_whose_own_parts_stay_as_they_are(
    tmp_path: Path, objects: tuple[ObjectModel, ...], config: TrainConfig
) -> None:
    train(objects[:1], tmp_path / "parent", config)
    start = load_bundle(tmp_path / "parent")
    train(objects, tmp_path / "child", replace(config, only_new_rows=True), start=start)
    child = load_bundle(tmp_path / "child")
    assert list(child.objects) == [part.id for part in objects]
    for stage in ("segmenter", "estimator"):
        old, new = (getattr(bundle, stage) for bundle in (start, child))
        assert replace(new.config, objects=old.config.objects) == old.config
        known, wanted = (one.network.part_rows(one.config.objects) for one in (old, new))
        state, changed = new.network.state_dict(), 0
        for name, value in old.network.state_dict().items():
            if name in known:
                rows = [wanted[name].index(label) for label in known[name]]
                changed += int(not torch.equal(state[name].float().mean(0), value.float().mean(0)))
                assert torch.equal(state[name][rows], value), name
            else:
                assert torch.equal(state[name], value), name
        assert changed


@pytest.mark.parametrize("known", [False, True])
def test_without_a_new_part_no_rows_are_trained(
    tmp_path: Path, networks: PipelineBundle, config: TrainConfig, known: bool
) -> None:
    start = networks if known else None
    with pytest.raises(BinposeError, match=r"Only the rows of new parts are to be trained.*--add-part PART"):
        train(tuple(networks.objects.values()), tmp_path, replace(config, only_new_rows=True), start=start)
    assert not (tmp_path / "training").exists()


def with_mask_rcnn(config: TrainConfig) -> TrainConfig:
    return replace(config, detector=DetectorJob.of("mask_rcnn"))


def test_mask_rcnn_starts_from_nothing(
    tmp_path: Path, networks: PipelineBundle, config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("binpose_training.training.import_torchvision", lambda: None)
    with pytest.raises(BinposeError, match="leave out --start-from"):
        train(tuple(networks.objects.values()), tmp_path, with_mask_rcnn(config), start=networks)
    assert not list(tmp_path.iterdir())


def test_a_model_with_mask_rcnn_is_trained_and_loaded(
    torchvision: None, tmp_path: Path, objects: tuple[ObjectModel, ...], config: TrainConfig
) -> None:
    loop = LoopConfig(steps=2, low_precision=False)
    detector = MaskRcnnTrainingConfig(loop=loop, views=1, crops=1, crop_px=64)
    train(objects, tmp_path, replace(config, detector=DetectorJob(backend="mask_rcnn", training=detector)))
    bundle = load_bundle(tmp_path)
    assert isinstance(bundle.segmenter, MaskRcnnSegmenter) and bundle.config["segmenter"]["backend"] == "mask_rcnn"
    assert bundle.segmenter.config.objects == tuple(part.id for part in objects)
    assert len(bundle.segmenter.config.center_behind_m) == len(objects)


def test_a_detector_that_lacks_its_library_is_refused_before_anything_is_simulated(
    tmp_path: Path, objects: tuple[ObjectModel, ...], config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(BinposeError, match="pip install torchvision"):
        train(objects, tmp_path, with_mask_rcnn(config))
    assert not list(tmp_path.iterdir())


def test_views_show_the_smallest_part_large_enough(objects: Sequence[ObjectModel]) -> None:
    gsd_m = working_gsd_m(objects)
    assert min(part.diameter_m for part in objects) / gsd_m >= 40
    assert min(np.sort(np.ptp(part.mesh.vertices, axis=0))[1] for part in objects) / gsd_m >= 8.9
    scene = training_scene(SceneConfig(), gsd_m, types=10)
    low, high = scene.viewpoint.gsd_m
    assert low < gsd_m < high
    assert scene.content.types[1] == 10, "a mixed bin may hold all of them"
    assert training_scene(SceneConfig(), gsd_m, types=3).content.types == SceneConfig().content.types


def test_objects_that_are_none_leave_nothing_behind(
    tmp_path: Path, objects: tuple[ObjectModel, ...], config: TrainConfig
) -> None:
    with pytest.raises(BinposeError, match=r"objects none; expected at least one"):
        train((), tmp_path, config)
    with pytest.raises(BinposeError, match=r"objects step, step; expected .* each once"):
        train((objects[0], objects[0]), tmp_path, config)
    with pytest.raises(BinposeError, match=r"'gpu'; expected cpu or cuda"):
        train(objects, tmp_path, config, device="gpu")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "options",
    [("--objects", ""), ("--objects", "library", "--seed", "-1"), ("--objects", "library", "--device", "tpu")],
)
def test_a_command_that_cannot_work_leaves_nothing_to_resume(
    tmp_path: Path,
    objects: tuple[ObjectModel, ...],
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
) -> None:
    monkeypatch.setattr("binpose_training.chosen_parts.library_objects", lambda: list(objects))
    assert cli.main(["train", *options, "--out", str(tmp_path / "model"), "--workers", "1"]) == 2
    assert "error:" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("calibrated", [False, True])
def test_the_command_reports_what_was_measured_and_scores_that_are_no_probabilities(
    tmp_path: Path,
    networks: PipelineBundle,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    calibrated: bool,
) -> None:
    metrics = {
        "frames": 40, "min_visible_fraction": 0.5, "score_threshold": 0.5, "calibration_error": 0.03,
        "objects": {"all": {"recall": 0.75, "precision": 0.92}},
    }  # fmt: skip
    trained = replace(networks, metrics=metrics)
    trained = trained if calibrated else trained.using(refiner=IcpRefiner(networks.objects))
    monkeypatch.setattr("binpose_training.chosen_parts.library_objects", lambda: list(networks.objects.values()))
    monkeypatch.setattr("binpose_training.training.train", lambda objects, out, *_, **__: save_bundle(trained, out))
    assert cli.main(["train", "--objects", "library", "--out", str(tmp_path)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert ("not calibrated" in text) is not calibrated
    assert "On 40 simulated bins that the networks have not seen: recall 75 %, precision 92 % at a score of 0.5" in text


def test_nothing_to_resume_is_refused(tmp_path: Path, objects: tuple[ObjectModel, ...], config: TrainConfig) -> None:
    with pytest.raises(BinposeError, match=r"No interrupted training in .*expected one to resume"):
        train(objects, tmp_path / "typo", config, resume=True)
    assert not (tmp_path / "typo" / "training").exists()


def test_a_part_with_another_mesh_or_other_symmetries_is_another_training(
    tmp_path: Path, objects: tuple[ObjectModel, ...], config: TrainConfig
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(objects, tmp_path, config, progress=Interrupted("simulation"))
    step, rod = objects
    larger = replace(rod, mesh=replace(rod.mesh, vertices=rod.mesh.vertices * np.float32(1.01)))
    for other in (larger, replace(rod, symmetries=step.symmetries)):
        with pytest.raises(BinposeError, match="other objects or settings"):
            train((step, other), tmp_path, config, resume=True)
    with pytest.raises(KeyboardInterrupt):
        train(objects, tmp_path, config, resume=True, progress=Interrupted("simulation"))


def test_a_stage_without_a_budget_takes_the_network_of_the_start(
    tmp_path: Path, objects: tuple[ObjectModel, ...], config: TrainConfig
) -> None:
    train(objects, tmp_path / "parent", config)
    start = load_bundle(tmp_path / "parent")
    pose_only = replace(config, detector=replace(config.detector, fraction=0.0))
    version = train(objects, tmp_path / "child", pose_only, start=start)
    assert "detector_steps" not in ModelStore(tmp_path / "child").header(version)["training"]["done"]
    weights = [bundle.segmenter.to_tensors()[0] for bundle in (start, load_bundle(tmp_path / "child"))]
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_stage_without_a_budget_needs_a_start_with_the_same_parts(
    tmp_path: Path, objects: tuple[ObjectModel, ...], networks: PipelineBundle, config: TrainConfig
) -> None:
    pose_only = replace(config, detector=replace(config.detector, fraction=0.0))
    with pytest.raises(BinposeError, match=r"detector has no budget, .* for none; expected one for step, rod"):
        train(objects, tmp_path, pose_only)
    with pytest.raises(BinposeError, match=r"expected one for rod; give the stage a fraction"):
        train(objects[1:], tmp_path, pose_only, start=networks)
    assert not list(tmp_path.iterdir())


def test_event_files_without_the_library_leave_nothing_to_resume(
    tmp_path: Path, objects: tuple[ObjectModel, ...], config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(BinposeError, match="library tensorboard"):
        train(objects, tmp_path / "model", config, tensorboard=tmp_path / "events")
    assert not list(tmp_path.iterdir())


def test_a_network_that_will_not_be_there_cannot_refine(
    tmp_path: Path, objects: tuple[ObjectModel, ...], config: TrainConfig
) -> None:
    calibration = replace(config.calibration, refiner=RefinerConfig(method="network"))
    with pytest.raises(BinposeError, match="add --refinement-network"):
        train(objects, tmp_path, replace(config, calibration=calibration))
    assert not list(tmp_path.iterdir())
