from itertools import permutations

from binpose_recording.pairing import PENDING, Infos, Pairer

MS = 1_000_000


def feed(pairer, events):
    pairs = [(pairer.add_color if kind == "c" else pairer.add_depth)(stamp, f"{kind}{stamp}") for kind, stamp in events]
    return [pair for pair in pairs if pair is not None]


def test_the_order_of_arrival_does_not_matter():
    events = [("c", 0), ("c", 33 * MS), ("d", 2 * MS), ("d", 35 * MS)]
    for order in permutations(events):
        pairs = {(pair.color, pair.depth) for pair in feed(Pairer(20 * MS), order)}
        assert pairs == {("c0", f"d{2 * MS}"), (f"c{33 * MS}", f"d{35 * MS}")}


def test_each_image_is_used_once_and_every_other_is_counted():
    pairer = Pairer(5 * MS)
    events = [("c", step * 100 * MS) for step in range(40)] + [("d", step * 100 * MS) for step in range(30, 60)]
    pairs = feed(pairer, events)
    pairer.finish()
    used = [pair.color for pair in pairs] + [pair.depth for pair in pairs]
    assert len(set(used)) == len(used) and pairs
    assert len(pairs) + pairer.colors_without_depth == 40
    assert len(pairs) + pairer.depths_without_color == 30


def test_images_beyond_the_slop_do_not_pair_and_memory_is_bounded():
    pairer = Pairer(5 * MS)
    assert feed(pairer, [("c", 0), ("d", 6 * MS)]) == []
    feed(pairer, [("c", step) for step in range(1000 * MS, 2000 * MS, MS)])
    assert len(pairer._colors) == PENDING


def test_without_a_depth_camera_every_colour_image_is_a_frame():
    pairs = feed(Pairer(0, with_depth=False), [("c", 5), ("d", 5), ("c", 6)])
    assert [(pair.color, pair.depth) for pair in pairs] == [("c5", None), ("c6", None)]


def test_intrinsics_are_those_of_the_stamp_else_the_last_before_else_the_first_after():
    infos = Infos()
    assert infos.at(3) is None
    for stamp in (20, 10, 30):  # Also when they come late.
        infos.add(stamp, f"i{stamp}")
    assert [infos.at(stamp) for stamp in (5, 10, 19, 20, 35)] == ["i10", "i10", "i10", "i20", "i30"]


def test_only_the_youngest_infos_are_kept():
    infos = Infos(limit=2)
    for stamp in range(100):
        infos.add(stamp, stamp)
    assert infos.at(0) == 98 and len(infos._items) == 2
