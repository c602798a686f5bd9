import numpy as np
import pytest

from binpose_recording.config import KeyframeConfig
from binpose_recording.keyframes import KeyframeChooser, Thumbnail

STEP_NS = 200_000_000


class Bench:
    """A cluttered scene 0.8 m away under a noisy camera: 2 mm and 6 grey levels, 5 % dropout, edges that flicker."""

    def __init__(self, seed=0):
        self.rng = np.random.default_rng(seed)
        relief = self.rng.random((48, 64)).repeat(10, 0).repeat(10, 1)
        self.depth_m = (0.8 + 0.05 * relief).astype(np.float32)
        self.gray = self.rng.integers(40, 200, (48, 64)).repeat(10, 0).repeat(10, 1).astype(np.float32)
        self.time_ns = 0

    def with_part(self, x, y, size=24, height_m=0.01):
        changed = Bench()
        changed.__dict__.update(self.__dict__, depth_m=self.depth_m.copy(), gray=self.gray.copy())
        changed.depth_m[y : y + size, x : x + size] -= height_m
        changed.gray[y : y + size, x : x + size] = 255 - changed.gray[y, x]
        return changed

    def frame(self, brightness=1.0, color=True):
        depth = self.depth_m + self.rng.normal(0, 0.002, self.depth_m.shape)
        depth[self.rng.random(depth.shape) < 0.05] = 0
        flicker = (self.rng.random((120, 160)) < 0.5).repeat(4, 0).repeat(4, 1)
        depth[200:212][flicker[200:212]] = 0
        gray = np.clip(brightness * self.gray + self.rng.normal(0, 6, self.gray.shape), 0, 255)
        return Thumbnail.of(gray.astype(np.uint8) if color else np.zeros((480, 640), np.uint8), depth)


def chosen(chooser, frames):
    found = []
    for index, frame in enumerate(frames):
        if chooser(frame, index * STEP_NS):
            found.append(index)
    return found


@pytest.mark.parametrize("seed", range(2))
def test_a_static_scene_gives_one_keyframe_whatever_the_noise_and_the_daylight(seed):
    bench = Bench(seed)
    frames = (bench.frame(brightness=1 + 0.2 * np.sin(step / 10)) for step in range(60))
    assert chosen(KeyframeChooser(), frames) == [0]


@pytest.mark.parametrize("color", [True, False])
def test_a_part_of_two_centimetres_that_was_taken_gives_one_keyframe_and_so_does_each_next(color):
    bench = Bench()
    scenes = [bench.with_part(200, 120), bench, bench.with_part(400, 300), bench.with_part(60, 260)]
    frames = [scene.frame(color=color) for scene in scenes for _ in range(6)]
    assert chosen(KeyframeChooser(), frames) == [0, 7, 13, 19]  # The first that resembles the one before it.


def test_while_an_arm_moves_through_the_picture_nothing_is_kept_until_it_has_left():
    bench = Bench()
    moving = [bench.with_part(40 * step, 100, size=120, height_m=0.2).frame() for step in range(8)]
    after = [bench.with_part(300, 300).frame() for _ in range(4)]
    frames = [bench.frame(), bench.frame(), *moving, *after]
    assert chosen(KeyframeChooser(), frames) == [0, 11]


def test_a_scene_that_never_rests_gives_a_keyframe_each_time_the_patience_ends():
    bench = Bench()
    frames = [bench.with_part(7 * step, 100, size=120, height_m=0.1).frame() for step in range(40)]
    found = chosen(KeyframeChooser(KeyframeConfig(patience_s=2.0)), frames)
    assert np.all(np.diff(found) >= 10) and len(found) >= 3


def test_a_part_that_returns_is_seen_again():
    bench = Bench()
    scenes = [bench, bench.with_part(100, 100), bench, bench.with_part(100, 100)]
    assert len(chosen(KeyframeChooser(), [scene.frame() for scene in scenes for _ in range(4)])) == 4


def test_depth_that_is_gone_is_a_change_and_scattered_holes_are_none():
    bench = Bench()
    chooser = KeyframeChooser()
    assert chosen(chooser, [bench.frame() for _ in range(10)]) == [0]
    hole = bench.frame()
    hole.valid[10:14, 10:14], hole.depth_m[10:14, 10:14] = 0, np.nan
    assert chooser.differ(hole, bench.frame())
    scattered = bench.frame()
    scattered.valid[5::12, 5::12], scattered.depth_m[5::12, 5::12] = 0, np.nan
    assert not chooser.differ(scattered, bench.frame())


def test_without_depth_the_colour_decides():
    gray = np.full((480, 640), 100, np.uint8)
    other = gray.copy()
    other[200:240, 300:340] = 180
    frames = [Thumbnail.of(image, None) for image in (gray, gray, gray, other, other, other)]
    assert chosen(KeyframeChooser(), frames) == [0, 4]


def test_stamps_that_go_backwards_do_no_harm():
    bench, chooser = Bench(), KeyframeChooser()
    assert chooser(bench.frame(), 10**15)
    scene = bench.with_part(200, 200)
    assert not chooser(scene.frame(), 5)
    assert chooser(scene.frame(), 4)


@pytest.mark.parametrize("size", [(48, 64), (720, 1280), (31, 50)])
def test_thumbnails_are_means_whatever_the_size(size):
    depth = np.full(size, 0.7, np.float32)
    depth[:, : size[1] // 2] = 0
    thumbnail = Thumbnail.of(np.full(size, 9, np.uint8), depth)
    assert np.allclose(thumbnail.gray, 9) and np.allclose(thumbnail.depth_m[:, 36:], 0.7)
    assert np.isnan(thumbnail.depth_m[:, :28]).all()
    assert abs(thumbnail.valid.mean() - 0.5) < 0.02
