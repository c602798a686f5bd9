"""Train the refinement network of Mu et al. without a pose label, and its ablation.

    python benchmarks/refinement_network.py [--model demo] [--views 200] [--resolver-steps 300] [--joint-steps 80]
        [--out models/refinement]

The views are simulated; no pose of theirs is a target, starts are only drawn around them, as an estimator's would lie.
Two networks are trained, with and without weights for the points (Mu et al., eq. 1), first by the annotation resolver
and then by the joint loss, and are measured on piles that neither has seen, beside ours and the paper's ICP from the
same starts. With --out the model is stored with the trained one in it, for `binpose estimate --refiner network`. The
cost of both signals is measured per sample, each in a process of its own.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from scipy.spatial import cKDTree

from binpose_core.base.threads import available_cpus, limit_threads
from binpose_core.geometry.transforms import FloatArray
from binpose_core.learning.training_loop import LoopConfig
from binpose_core.parts.catalogue import ObjectModel
from binpose_pipeline.bundle import PipelineBundle, load_bundle, save_bundle
from binpose_refinement.hypothesis_batch import PartRenderer
from binpose_refinement.icp import align
from binpose_refinement.network import RefinementNetwork, RefinementNetworkConfig
from binpose_refinement.network_training import (
    RESOLVER,
    TEACHING_FACES,
    RefinementTraining,
    Sample,
    Supervision,
    make_network,
    sample_of,
    train_refinement_network,
)
from binpose_refinement.render_and_compare import Descent
from common import heading, spread, table
from recovery_scenes import add_m
from scenes import unseen_views

TRAINING_SEED = 717_171
CLOUD_STEPS = 50
"""Iterations of Mu et al.'s PureICP."""


@dataclass(frozen=True)
class Arguments:
    """views: simulated for training. test_views: never seen. signal: only measure its cost (a child process does)."""

    model: str = "demo"
    views: int = 200
    test_views: int = 12
    resolver_steps: int = 300
    joint_steps: int = 80
    repeats: int = 8
    out: Path | None = None
    signal: str = ""


def main(arguments: Arguments) -> None:
    """Measure the signals, train, and print the tables."""
    limit_threads(available_cpus())
    bundle = load_bundle(arguments.model)
    if arguments.signal:
        print(json.dumps(cost(bundle.objects, arguments.signal, arguments.repeats)))
        return
    heading("The refinement network of Mu et al., trained without pose labels")
    costs(arguments)
    ablation(arguments, bundle)


def cost(objects: Mapping[str, ObjectModel], signal: str, repeats: int) -> dict[str, list[float] | float]:
    """Processor milliseconds per sample, and the memory in MB that the signal needed on top."""
    part_renderer = PartRenderer(objects, TEACHING_FACES)
    (view,) = unseen_views(objects, 1, seed=TRAINING_SEED, workers=1)
    sample = sample_of(view, part_renderer, np.arange(len(objects)), 192, RefinementTraining(), (0,))
    signals, times = Supervision(part_renderer), []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for repeat in range(repeats + 2):
        began = time.process_time()
        poses = torch.from_numpy(sample.batch.T_cam_obj).float().requires_grad_()
        getattr(signals, signal)(sample, poses).mean().backward()
        if repeat >= 2:
            times.append(1e3 * (time.process_time() - began) / len(sample.batch))
    return {"ms": times, "MB": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024}


def costs(arguments: Arguments) -> None:
    """Mu et al.'s table III: the resolver against rendering as training signal."""
    rows, middle = [], {}
    for signal, name in (("resolver", "annotation resolver, 20 steps"), ("joint", "joint loss of the rendering")):
        command = [sys.executable, __file__, "--model", arguments.model, "--signal", signal]
        done = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        middle[signal] = float(np.median(done["ms"])), done["MB"]
        rows.append([name, spread(np.array(done["ms"])), f"{done['MB']:.0f}"])
    ratio, memory = (middle["joint"][i] / max(middle["resolver"][i], 1e-9) for i in range(2))
    table(["training signal, forward and backward", "processor ms per sample", "memory on top, MB"], rows)
    print(f"Rendering takes {ratio:.1f} times as long (Mu et al.: 6) and {memory:.1f} times the memory (3.1).\n")


def ablation(arguments: Arguments, bundle: PipelineBundle) -> None:
    """Mu et al.'s ablation, on our simulated piles."""
    objects = bundle.objects
    part_renderer, config = PartRenderer(objects, TEACHING_FACES), RefinementTraining()
    views = unseen_views(objects, arguments.views, seed=TRAINING_SEED)
    tests = [
        (view, sample_of(view, part_renderer, np.arange(len(objects)), 192, config, (1, i)))
        for i, view in enumerate(unseen_views(objects, arguments.test_views))
    ]
    samples, truths = [sample for _, sample in tests], [true_poses(view, config) for view, _ in tests]
    rows = [row("no refinement (the starts)", samples, truths, [s.batch.T_cam_obj for s in samples], part_renderer)]
    for attention in (False, True):
        torch.manual_seed(0)
        network = make_network(RefinementNetworkConfig(tuple(objects), attention=attention), part_renderer)
        for name, steps in (("resolver", arguments.resolver_steps), ("joint", arguments.joint_steps)):
            network = taught(network, name, steps, part_renderer, views)
            what = (
                f"network, {'with' if attention else 'without'} weights, {'+ joint loss' if name == 'joint' else name}"
            )
            rows.append(row(what, samples, truths, [applied(network, s) for s in samples], part_renderer))
        if attention and arguments.out is not None:
            refiner = bundle.refiner.using(network=network)  # type: ignore[attr-defined]
            save_bundle(bundle.using(refiner=refiner), arguments.out, parent=bundle.version, half=True)
    icp = [align(part_renderer, s.observation, s.batch, RESOLVER).T_cam_obj for s in samples]
    rows.append(row("ICP with the rendered surface only, 20 steps", samples, truths, icp, part_renderer))
    plain = [cloud_icp(part_renderer, s) for s in samples]
    rows.append(row(f"ICP with the whole cloud only, {CLOUD_STEPS} steps", samples, truths, plain, part_renderer))
    after = [
        align(part_renderer, s.observation, s.batch.moved(applied(network, s)), RESOLVER).T_cam_obj for s in samples
    ]
    rows.append(row("network with weights, then ICP", samples, truths, after, part_renderer))
    descent = Descent(part_renderer)
    compared = [descent(s.observation, s.batch).T_cam_obj for s in samples]
    rows.append(row("render-and-compare only", samples, truths, compared, part_renderer))
    print(
        f"{sum(len(s.batch) for s in samples)} starts up to {config.degrees:g} degrees and {config.shift:.0%} of the ",
        end="",
    )
    print(f"diameter off; {arguments.resolver_steps} + {arguments.joint_steps} steps of about 30 samples\n")
    table(["method", "median ADD mm", "75 % mm", "under 2 % of the diameter", "under 5 %"], rows)


def taught(
    network: RefinementNetwork, name: str, steps: int, part_renderer: PartRenderer, views: Sequence[object]
) -> RefinementNetwork:
    """The network after one signal's steps."""
    rate = 5e-3 if name == "resolver" else 5e-4
    loop = LoopConfig(steps=steps, learning_rate=rate, low_precision=False)
    config = RefinementTraining(**{name: loop}, signals=(name,))  # type: ignore[arg-type]
    return train_refinement_network(network, part_renderer, views, config, TRAINING_SEED)  # type: ignore[arg-type]


def true_poses(view: object, config: RefinementTraining) -> FloatArray:
    """(D, 4, 4) of the parts in the order of `sample_of`'s detections."""
    ids = view.instance_ids  # type: ignore[attr-defined]
    sizes = np.bincount(ids[ids >= 0], minlength=len(view.object_ids))  # type: ignore[attr-defined]
    return view.T_cam_obj[sizes >= config.fewest_px]  # type: ignore[attr-defined, no-any-return]


def applied(network: RefinementNetwork, sample: Sample) -> FloatArray:
    """The poses after the network's K steps."""
    with torch.no_grad():
        start = torch.from_numpy(sample.batch.T_cam_obj).float()
        return network.refine(start, *sample.inputs)[-1].double().numpy()


def cloud_icp(part_renderer: PartRenderer, sample: Sample) -> FloatArray:
    """(B, 4, 4) poses by Mu et al.'s baseline: point to point, each seen point to the nearest of the whole part."""
    trees = [cKDTree(part.points) for part in part_renderer.objects]
    clouds, found = sample.inputs[0].double().numpy(), sample.batch.T_cam_obj.copy()
    for T, cloud, part in zip(found, clouds, sample.batch.part, strict=True):
        for _ in range(CLOUD_STEPS):
            local = (cloud - T[:3, 3]) @ T[:3, :3]
            near = trees[part].data[trees[part].query(local)[1]]
            U, _, Vt = np.linalg.svd((near - near.mean(0)).T @ (cloud - cloud.mean(0)))
            T[:3, :3] = (Vt.T * [1, 1, np.linalg.det(U @ Vt)]) @ U.T
            T[:3, 3] = cloud.mean(0) - T[:3, :3] @ near.mean(0)
    return found


def row(
    name: str,
    samples: Sequence[Sample],
    truths: Sequence[FloatArray],
    poses: Sequence[FloatArray],
    part_renderer: PartRenderer,
) -> list[str]:
    """One line of the table."""
    errors, shares = [], []
    for sample, truth, found in zip(samples, truths, poses, strict=True):
        for part, owner, T in zip(sample.batch.part, sample.batch.owner, found, strict=True):
            errors.append(add_m(part_renderer.objects[part], T, truth[owner], every=16))
            shares.append(errors[-1] / part_renderer.diameter_m[part])
    low, high = np.quantile(1e3 * np.array(errors), [0.5, 0.75])
    share = np.array(shares)
    print(f"{name}: median {low:.2f} mm", file=sys.stderr)
    return [name, f"{low:.2f}", f"{high:.2f}", f"{np.mean(share < 0.02):.1%}", f"{np.mean(share < 0.05):.1%}"]


if __name__ == "__main__":
    main(tyro.cli(Arguments))
