"""The refinement network moves with the camera, leaves poses alone before training, and learns from both signals."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from binpose_core.base.errors import BinposeError
from binpose_core.frames.labels import hide_instances
from binpose_core.frames.types import UNKNOWN, LabelledView
from binpose_core.geometry.transforms import exp_se3
from binpose_core.learning.hooks import StepReport
from binpose_core.learning.loop_config import LoopConfig
from binpose_core.learning.model_store import ModelStore
from binpose_refinement.clouds import clouds
from binpose_refinement.hypothesis_batch import HypothesisBatch, PartRenderer
from binpose_refinement.network import RefinementNetwork, RefinementNetworkConfig
from binpose_refinement.network_optimizer import NetworkOptimizer, network_inputs
from binpose_refinement.network_training import (
    TEACHING_FACES,
    RefinementTraining,
    Supervision,
    _losses,
    init_network,
    make_network,
    sample_of,
    train_refinement_network,
)
from binpose_refinement.observation import observe
from binpose_refinement.refiner import IcpRefiner
from binpose_refinement.stored_refiner import refiner_to_tensors, stored_refiner

from .conftest import distance_m, guesses, perturbed


@pytest.fixture(scope="module")
def part_renderer(parts) -> PartRenderer:
    return PartRenderer(parts, (300, 1000))


@pytest.fixture(scope="module")
def view(pile):
    return LabelledView(pile.frame, tuple(pile.ids), pile.T_cam_obj, pile.instance_ids, np.ones(len(pile.ids)))


def network_for(parts, awake=False, **changes) -> RefinementNetwork:
    torch.manual_seed(0)
    config = RefinementNetworkConfig(tuple(parts), **{"width": 16, "points": 64, **changes})
    network = make_network(config, PartRenderer(parts, ())) if isinstance(parts, dict) else RefinementNetwork(config)
    if awake:
        torch.nn.init.normal_(network.head[-1].weight, std=0.02)
    return network.eval()


def sample(view, part_renderer, seed=0, **changes):
    config = RefinementTraining(**{"starts": 2, **changes})
    return sample_of(view, part_renderer, np.arange(len(part_renderer.ids)), 64, config, (seed,))


def test_an_untrained_network_leaves_poses_alone(parts, view, part_renderer) -> None:
    seen = sample(view, part_renderer)
    start = torch.from_numpy(seen.batch.T_cam_obj).float()
    for pose in network_for(parts).refine(start, *seen.inputs):
        torch.testing.assert_close(pose, start)


@pytest.mark.parametrize("attention", [True, False])
def test_the_residual_does_not_depend_on_where_the_camera_is(parts, view, part_renderer, attention) -> None:
    """Cloud and pose moved by one rigid motion: the refined pose moves by it too (Mu et al., eq. 5)."""
    network, seen = network_for(parts, awake=True, attention=attention), sample(view, part_renderer)
    start, (points, *others) = torch.from_numpy(seen.batch.T_cam_obj), seen.inputs
    motion = torch.from_numpy(exp_se3(np.array([0.1, -0.2, 0.05, 0.4, -0.3, 0.8])))
    moved = points.double() @ motion[:3, :3].T + motion[:3, 3]
    network, others = network.double(), [x.double() if x.is_floating_point() else x for x in others]
    here = network.refine(start, points.double(), *others)[-1]
    there = network.refine(motion @ start, moved, *others)[-1]
    assert (here - start).abs().max() > 1e-4
    torch.testing.assert_close(there, motion @ here, atol=1e-9, rtol=0)


@pytest.mark.parametrize("name", ["resolver", "joint"])
def test_both_signals_are_least_at_the_truth_and_lead_there(view, part_renderer, name) -> None:
    signal, seen = getattr(Supervision(part_renderer), name), sample(view, part_renderer, degrees=8.0, shift=0.08)
    start = torch.from_numpy(seen.batch.T_cam_obj).float().requires_grad_()
    truth = torch.from_numpy(view.T_cam_obj[seen.batch.owner]).float()
    loss = signal(seen, start)
    assert loss.shape == (len(seen.batch),)
    assert (signal(seen, truth) < loss).float().mean() > 0.9
    (gradient,) = torch.autograd.grad(loss.sum(), start)
    toward = ((truth - start.detach()) * gradient)[:, :3, 3].sum(-1)
    assert torch.isfinite(gradient).all() and (toward < 0).float().mean() > 0.7


def test_training_brings_poses_nearer(parts, view) -> None:
    """One part, hardly turned: where its points lie is learnt in a few steps."""
    cleats = {"cleat": parts["cleat"]}
    part_renderer = PartRenderer(cleats, (300, 1000))
    loop = LoopConfig(steps=40, learning_rate=5e-3, low_precision=False, average_steps=5)
    config = RefinementTraining(resolver=loop, joint=replace(loop, steps=2), starts=4, degrees=2.0, shift=0.15)
    steps: list[str] = []
    network = network_for(cleats)

    def hooks_of(signal: str) -> list[StepReport]:
        return [StepReport(lambda *_: steps.append(signal))]

    trained = train_refinement_network(network, part_renderer, [view], config, 1, hooks_of=hooks_of)
    assert steps.count("resolver") == 40 and steps.count("joint") == 2
    seen = sample_of(view, part_renderer, np.zeros(1, np.int64), 64, config, (99,))
    truth = view.T_cam_obj[[i for i, name in enumerate(view.object_ids) if name == "cleat"]][seen.batch.owner]
    with torch.no_grad():
        poses = trained.refine(torch.from_numpy(seen.batch.T_cam_obj).float(), *seen.inputs)[-1].numpy()
    before, after = (
        [distance_m(parts["cleat"], a, b) for a, b in zip(T, truth, strict=True)] for T in (seen.batch.T_cam_obj, poses)
    )
    assert np.median(after) < 0.8 * np.median(before)


def test_the_network_is_a_refiner_like_the_others(parts, pile) -> None:
    network = network_for(parts, awake=True)
    refiner = IcpRefiner(parts)
    rng = np.random.default_rng(0)
    poses = [
        guesses((name, perturbed(rng, parts[name], T, 5.0, 0.05), 0.9), index=index)
        for index, (name, T) in enumerate(zip(pile.ids, pile.T_cam_obj, strict=True))
    ]
    both = refiner.using("network", network), refiner
    with_network, alone = (each(pile.frame, pile.detections, poses) for each in both)
    assert len(with_network) == len(alone)
    # Random weights make poses worse: verification keeps what ICP had.
    for a, b in zip(with_network, alone, strict=True):
        assert a.residuals["explained"] >= b.residuals["explained"] - 0.05


def test_without_points_poses_stay(parts, pile, part_renderer) -> None:
    frame = replace(pile.frame, depth_m=None)
    observation = observe(frame, pile.detections, 2e-4)
    points, _, seen = clouds(observation, np.array([0, 1]), 16)
    assert not seen.any() and not points.any()
    batch = HypothesisBatch(np.array([0]), np.array([0]), pile.T_cam_obj[:1], np.ones(1))
    poses, information = NetworkOptimizer(network_for(parts, awake=True), part_renderer)(observation, batch)
    np.testing.assert_allclose(poses, pile.T_cam_obj[:1])
    assert np.isfinite(information).all()


def test_points_are_those_of_the_part(parts, pile, part_renderer) -> None:
    observation = observe(pile.frame, pile.detections, 2e-4)
    part = np.array([list(parts).index(name) for name in pile.ids])
    batch = HypothesisBatch(np.arange(len(part)), part, pile.T_cam_obj, np.ones(len(part)))
    (points, *_), seen = network_inputs(part_renderer, observation, batch, np.arange(3), 64)
    assert seen.all()
    for cloud, T, index in zip(points.numpy(), pile.T_cam_obj, part, strict=True):
        local = (cloud - T[:3, 3]) @ T[:3, :3] - part_renderer.center_m[index]
        assert np.quantile(np.linalg.norm(local, axis=1), 0.95) < 0.55 * part_renderer.diameter_m[index]


def test_a_stored_refiner_has_its_network(parts, tmp_path) -> None:
    """What is kept does not depend on the method that is in use, and a model without one says so."""
    store = ModelStore(tmp_path)
    for network in (network_for(parts, awake=True), None):
        tensors, config = refiner_to_tensors(IcpRefiner(parts, network=network))
        stored = store.load(store.save({"x": np.zeros(1, np.float32), **tensors}, {"config": config}))
        loaded = stored_refiner(stored, parts)
        assert loaded.optimizer is None
        if network is None:
            assert loaded.network is None
            with pytest.raises(BinposeError, match=r"the model has no refinement network; .* `binpose train"):
                stored_refiner(stored, parts, {"method": "network"})
            continue
        for ours, theirs in zip(network.state_dict().values(), loaded.network.state_dict().values(), strict=True):
            torch.testing.assert_close(ours, theirs)
        assert isinstance(loaded.using("network").optimizer, NetworkOptimizer)
        assert loaded.using("render_and_compare").network is loaded.network


def test_an_interrupted_training_goes_on(parts, view, tmp_path) -> None:
    """The signal that was finished teaches no step more, and the other one starts from its weights."""
    part_renderer = PartRenderer(parts, TEACHING_FACES)
    loop = LoopConfig(steps=3, low_precision=False)
    config = RefinementTraining(resolver=loop, joint=loop, starts=1, most=4)
    steps: list[tuple[str, float]] = []

    def hooks_of(signal: str) -> list[StepReport]:
        def on_step(fraction: float, losses: dict) -> None:
            steps.append((signal, fraction))
            if signal == "joint" and len(steps) == 4:
                raise KeyboardInterrupt

        return [StepReport(on_step)]

    def resume() -> RefinementNetwork:
        return train_refinement_network(
            network_for(parts), part_renderer, [view], config, 1, tmp_path / "refinement.safetensors", hooks_of
        )

    with pytest.raises(KeyboardInterrupt):
        resume()
    assert {path.name for path in tmp_path.iterdir()} == {f"refinement_{n}.safetensors" for n in config.signals}
    resume()
    assert [name for name, _ in steps] == ["resolver"] * 3 + ["joint"] * 3
    assert [fraction for _, fraction in steps] == pytest.approx([*np.arange(1, 4) / 3] * 2)


def test_starts_are_of_known_parts_alone_and_have_their_weights(view, part_renderer) -> None:
    count = len(view.object_ids)
    keep = np.arange(count) % 2 == 0
    whole, hidden = sample(view, part_renderer, starts=2), sample(hide_instances(view, keep), part_renderer, starts=2)
    assert (whole.weight == 1).all() and 0 < len(hidden.batch) < len(whole.batch)
    weight = np.where(keep, 0.25, 0.0)
    weighted = sample(replace(view, weight=weight), part_renderer, starts=2)
    assert (weighted.weight == 0.25).all() and len(weighted.weight) == len(hidden.batch)
    some = weighted.some(3, np.random.default_rng(0))
    assert len(some.weight) == 3
    names = {part_renderer.ids[part] for part in hidden.batch.part}
    assert names <= {name for name, kept in zip(view.object_ids, keep, strict=True) if kept}


def test_weights_scale_the_losses(parts, view, part_renderer) -> None:
    network = network_for(parts, awake=True)
    for name in ("resolver", "joint"):
        signal, full = getattr(Supervision(part_renderer), name), sample(view, part_renderer)
        half = sample(replace(view, weight=np.full(len(view.object_ids), 0.5)), part_renderer)
        one, two = (_losses(name, signal, network, each)[name].item() for each in (full, half))
        assert two == pytest.approx(0.5 * one, rel=1e-5)


@pytest.mark.parametrize("name", ["resolver", "joint"])
def test_nothing_is_compared_at_unknown_pixels(view, part_renderer, name) -> None:
    """No depth that lies there changes a loss, and what is drawn there costs nothing."""
    around = view.instance_ids < 0
    unknown = replace(view, instance_ids=np.where(around, UNKNOWN, view.instance_ids))
    frame = replace(view.frame, depth_m=np.where(around, np.float32(0.7), view.frame.depth_m))
    seen = [sample(each, part_renderer) for each in (unknown, replace(unknown, frame=frame), view)]
    signal = getattr(Supervision(part_renderer), name)
    poses = torch.from_numpy(seen[0].batch.T_cam_obj).float()
    one, two, known = (signal(replace(each, batch=seen[0].batch), poses) for each in seen)
    torch.testing.assert_close(one, two, rtol=0, atol=0)
    assert (known - one).abs().max() > 1e-3


def test_a_step_learns_from_some_of_the_starts(view, part_renderer) -> None:
    whole = sample(view, part_renderer, starts=3)
    some = whole.some(5, np.random.default_rng(0))
    assert len(some.batch) == 5 and all(len(tensor) == 5 for tensor in some.inputs)
    assert whole.some(len(whole.batch), np.random.default_rng(0)) is whole


def test_a_network_begins_with_what_another_knows(parts) -> None:
    old = network_for({"rod": parts["rod"], "cog": parts["plate"]}, awake=True)
    network = init_network(replace(old.config, objects=tuple(parts)), PartRenderer(parts, ()), old)
    torch.testing.assert_close(network.head[-1].weight, old.head[-1].weight)
    torch.testing.assert_close(network.part.weight[2], old.part.weight[0])
    torch.testing.assert_close(network.surfaces, make_network(network.config, PartRenderer(parts, ())).surfaces)
    with pytest.raises(BinposeError, match="another architecture"):
        init_network(replace(network.config, width=32), PartRenderer(parts, ()), old)


def test_views_without_parts_teach_nothing(parts, view, part_renderer) -> None:
    config = RefinementTraining(fewest_px=10**6)
    with pytest.raises(BinposeError, match="None of the 1 views shows a part"):
        train_refinement_network(network_for(parts), part_renderer, [view], config, 0)


def test_what_does_not_fit_is_refused(parts, part_renderer) -> None:
    with pytest.raises(BinposeError, match="trained on cog but not on cleat, plate, rod"):
        NetworkOptimizer(network_for(["cog"]), part_renderer)
    for wrong in ({"points": 1}, {"steps": 0}, {"width": 2}):
        with pytest.raises(BinposeError, match=f"RefinementNetworkConfig.{next(iter(wrong))}"):
            RefinementNetworkConfig(("cog",), **wrong)
    with pytest.raises(BinposeError, match="objects"):
        RefinementNetworkConfig(())
    for bad in ({"starts": 0}, {"most": 0}, {"degrees": 0.0}, {"signals": ("magic",)}):
        with pytest.raises(BinposeError, match="RefinementTraining"):
            RefinementTraining(**bad)
