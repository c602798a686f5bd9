"""How exactly and how fast poses are refined: ICP, and ICP with render-and-compare.

    python benchmarks/refinement.py [--model demo] [--trials 60] [--frames 40] [--repeats 5] [--load]

Recovery: starts 10 degrees and 10 mm off. Errors are ADD, the least over the part's symmetries. The near-symmetries of
a part are not tried, since the starts are near the truth. Time: one 640x480 frame with ten parts and the estimator's
own hypotheses; the methods take turns. With --load, detection to refinement is measured in child processes with and
without two busy loops beside them, for both ways in which OpenMP's threads may wait.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import tyro

from binpose_core.base.threads import available_cpus, limit_threads
from binpose_pipeline.bundle import PipelineBundle, load_bundle
from binpose_refinement.hypothesis_batch import PartRenderer
from binpose_refinement.refiner import IcpRefiner
from binpose_refinement.render_and_compare import Descent
from common import heading, spread, table
from recovery_scenes import Trial, add_m, as_good_as_true, losses, noise_free, noisy_piles
from scenes import unseen_views

DEGREES, SHIFT_M = 10.0, 0.01
FAR_M = 0.0005
MOST_TOLD = 5
METHODS = ("icp", "render_and_compare")
BUSY = "import time\nend = time.time() + 600\nwhile time.time() < end: pass"


@dataclass(frozen=True)
class Arguments:
    """trials: noise-free ones. frames: of noisy piles. repeats: of each timing, after one that does not count.

    load: also measure beside two busy loops. child: only print one process' times as JSON (used by --load).
    """

    model: str = "demo"
    trials: int = 60
    frames: int = 40
    repeats: int = 5
    load: bool = False
    child: bool = False


def main(arguments: Arguments) -> None:
    """Measure and print the tables."""
    limit_threads(available_cpus())
    bundle = load_bundle(arguments.model)
    if arguments.child:
        print(json.dumps(pipeline_seconds(bundle, arguments.repeats)))
        return
    heading(f"Refinement: starts {DEGREES:g} degrees and {1e3 * SHIFT_M:g} mm off, model {bundle.version[:12]}")
    views = unseen_views(bundle.objects, arguments.frames)
    recovery(bundle, noise_free(bundle.objects, arguments.trials, DEGREES, SHIFT_M), "noise-free, true masks")
    piles = noisy_piles(views, bundle.segmenter, bundle.objects, DEGREES, SHIFT_M)
    recovery(bundle, piles, "piles with 1 mm noise, 5 % dropout, occlusion to 50 %, the detector's masks")
    frame_times(bundle, arguments.repeats)
    if arguments.load:
        under_load(arguments)


def refiner_of(bundle: PipelineBundle, method: str, **changes: object) -> IcpRefiner:
    """The bundle's refiner with another method."""
    refiner = bundle.refiner
    assert isinstance(refiner, IcpRefiner)
    config = replace(refiner.config, method=method, **changes)  # type: ignore[arg-type]
    return IcpRefiner(bundle.objects, config, refiner.calibration)


def recovery(bundle: PipelineBundle, trials: Sequence[Trial], title: str) -> None:
    """One row per method."""
    names, rows = list(bundle.objects), []
    descent = Descent(PartRenderer(bundle.objects, ()))
    for method in METHODS:
        refiner = refiner_of(bundle, method, expand_limit=0)
        errors, shares, undecided, told = [], [], [], []
        for trial in trials:
            found = {p.detection_index: p for p in refiner(trial.frame, trial.detections, trial.poses)}
            for start, truth in zip(trial.poses, trial.T_cam_obj, strict=True):
                pose, part = found.get(start.detection_index), bundle.objects[start.object_id]
                if pose is None:  # suppressed by another one: as far off as can be
                    errors.append(np.inf)
                    shares.append(np.inf)
                    undecided.append(False)
                    continue
                pair = np.stack([pose.T_cam_obj, truth])
                errors.append(add_m(part, *pair))
                shares.append(errors[-1] / part.diameter_m)
                place, number = start.detection_index, names.index(start.object_id)
                undecided.append(as_good_as_true(descent, trial, place, number, pair))
                if errors[-1] >= FAR_M:
                    fine = losses(descent, descent.config.fine, trial, place, number, pair)
                    told.append(f"{part.id} {1e3 * errors[-1]:.2f} mm: {fine[0]:.6f} against {fine[1]:.6f}")
        mm, alike = 1e3 * np.array(errors), np.array(undecided)
        far, wrong = mm >= 1e3 * FAR_M, np.array(shares) >= 0.05
        rows.append([
            method, f"{np.median(mm):.4f}", f"{np.quantile(mm, 0.9):.3f}", f"{mm[np.isfinite(mm)].max():.2f}",
            f"{far.sum()} ({(far & alike).sum()})", f"{wrong.sum()} ({(wrong & alike).sum()})",
            f"{1 - wrong.mean():.1%}", str(np.isinf(mm).sum()),
        ])  # fmt: skip
    print(f"{title}: {len(errors)} parts; in brackets those that explain the image as well as the truth;", end=" ")
    print("suppressed ones count as far off\n")
    if len(told) <= MOST_TOLD:
        print(f"{method}, those that are far, fine loss of what was found against the truth's: {'; '.join(told)}\n")
    header = ["method", "median mm", "90 % mm", "largest mm", ">= 0.5 mm", ">= 5 % of the diameter"]
    table([*header, "under 5 %", "suppressed"], rows)


def frame_times(bundle: PipelineBundle, repeats: int) -> None:
    """Wall-clock and processor milliseconds per frame with ten parts, methods in turns."""
    inputs = []
    for view in unseen_views(bundle.objects, 10, (10, 10)):
        detections = bundle.segmenter(view.frame)
        inputs.append((view.frame, detections, bundle.estimator(view.frame, detections)))
    times: dict[str, list[tuple[float, float, float]]] = {method: [] for method in METHODS}
    refiners = {method: refiner_of(bundle, method) for method in METHODS}
    for repeat in range(repeats + 1):
        for each in inputs:
            for method, refiner in refiners.items():
                wall, cpu = time.perf_counter(), time.process_time()
                refiner(*each)
                if repeat:
                    spent = time.perf_counter() - wall, time.process_time() - cpu
                    times[method].append((*spent, spent[1] / max(len(each[1]), 1)))
    print(f"One frame with ten parts, {available_cpus()} CPUs, {len(times['icp'])} measurements of each; ", end="")
    print("median (10th-90th percentile)\n")
    rows = [[m, *(spread(np.array(t)[:, i], 1e-3) for i in range(3))] for m, t in times.items()]
    table(["method", "wall-clock ms", "processor ms", "processor ms per detection"], rows)


def pipeline_seconds(bundle: PipelineBundle, repeats: int) -> list[float]:
    """Wall-clock times of whole frames with render-and-compare."""
    pipeline = bundle.using(refiner=refiner_of(bundle, "render_and_compare")).pipeline
    views, times = unseen_views(bundle.objects, 4, (10, 10)), []
    for repeat in range(repeats + 1):
        for view in views:
            began = time.perf_counter()
            pipeline(view.frame)
            if repeat:
                times.append(time.perf_counter() - began)
    return times


def under_load(arguments: Arguments) -> None:
    """The same frames in child processes: both wait policies, alone and beside two busy loops."""
    command = [sys.executable, __file__, "--child", "--model", arguments.model, "--repeats", str(arguments.repeats)]
    rows = []
    for busy in (0, 2):
        for policy in ("PASSIVE", "ACTIVE"):
            loops = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(busy)]
            try:
                environment = {**os.environ, "OMP_WAIT_POLICY": policy}
                done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            finally:
                for loop in loops:
                    loop.kill()
                    loop.wait()
            rows.append([f"{busy} busy loops", policy, spread(np.array(json.loads(done.stdout)), 1e-3, 0)])
    print("Detection to refinement of a frame with ten parts; binpose's own processes wait passively\n")
    table(["beside", "OMP_WAIT_POLICY", "wall-clock ms"], rows)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
