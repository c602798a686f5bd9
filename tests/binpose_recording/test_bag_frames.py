import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from binpose_core.base.errors import BinposeError, UnknownTopic
from binpose_recording.bag_frames import bag_frames
from binpose_recording.bag_reader import is_bag
from binpose_recording.bag_topics import CameraTopics
from binpose_recording.cdr import CAMERA_INFO, COMPRESSED_IMAGE, IMAGE, BagTypes, standard_types, write_message
from binpose_ros.frames import from_camera
from binpose_ros.images import from_color, from_depth_m
from binpose_ros.stamps import Header, to_header

from .conftest import SECOND, START_NS
from .test_frame_bag import CAMERA

TYPES = BagTypes()
COLOR, DEPTH, INFO = "/cam/color/image_raw", "/cam/aligned_depth_to_color/image_raw", "/cam/color/camera_info"
PICTURE = np.arange(120 * 160 * 3, dtype=np.uint32).astype(np.uint8).reshape(120, 160, 3)
DEPTH_M = np.linspace(0.3, 0.9, 120 * 160, dtype=np.float32).reshape(120, 160)


def header(index, frame_id="optical", shift_ns=0):
    return Header(START_NS + index * SECOND // 10 + shift_ns, frame_id)


def camera_messages(count=3, encoding="32FC1", shift_ns=0):
    """(topic, type, index, message) of a camera."""
    for index in range(count):
        yield INFO, CAMERA_INFO, index, from_camera(CAMERA, header(index), TYPES)
        yield COLOR, IMAGE, index, from_color(PICTURE, header(index), TYPES)
        yield DEPTH, IMAGE, index, from_depth_m(DEPTH_M, header(index, shift_ns=shift_ns), TYPES, encoding)


def write(path, messages, plugin=StoragePlugin.MCAP, compression=None, version=9):
    """A bag as another recorder writes it."""
    writer = Writer(path, version=version, storage_plugin=plugin)
    if compression:
        writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer:
        connections = {}
        for topic, kind, index, message in messages:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=standard_types())
            writer.write(connections[topic], START_NS + index * SECOND // 10, write_message(message))
    return path


def one_frame(path, *options, **more):
    return bag_frames(path, *options, **more).frames[0].read()


@pytest.mark.parametrize("plugin", list(StoragePlugin))
@pytest.mark.parametrize("version", [8, 9])
@pytest.mark.parametrize("compression", [None, *(mode for mode in CompressionMode if mode is not CompressionMode.NONE)])
def test_bags_of_other_recorders_are_read(tmp_path, plugin, version, compression):
    if compression is CompressionMode.STORAGE and plugin is StoragePlugin.SQLITE3:
        pytest.skip("SQLite does not compress by itself")
    path = write(tmp_path / "bag", camera_messages(), plugin, compression, version)
    assert is_bag(path)
    frames = bag_frames(path).frames
    assert len(frames) == 3
    for index, source in enumerate(frames):
        frame = source.read()
        np.testing.assert_array_equal(frame.color, PICTURE)
        np.testing.assert_allclose(frame.depth_m, DEPTH_M, atol=6e-6)  # frames round to 0.01 mm
        assert frame.camera == CAMERA and frame.stamp_ns == header(index).stamp_ns


@pytest.mark.parametrize("plugin", list(StoragePlugin))
def test_a_single_file_and_a_folder_without_metadata_are_read_too(tmp_path, plugin):
    path = write(tmp_path / "bag", camera_messages(), plugin)
    (file,) = [item for item in path.iterdir() if item.name != "metadata.yaml"]
    assert is_bag(file) and len(bag_frames(file).frames) == 3
    (path / "metadata.yaml").write_text("not: [what")
    assert len(bag_frames(path).frames) == 3
    (path / "metadata.yaml").unlink()
    assert is_bag(path) and len(bag_frames(path).frames) == 3


def test_millimetres_are_read_as_metres(tmp_path):
    frame = one_frame(write(tmp_path / "bag", camera_messages(encoding="16UC1")))
    np.testing.assert_allclose(frame.depth_m, DEPTH_M, atol=0.00051)


def test_compressed_images_are_read(tmp_path):
    def compressed(topic, kind, index, message):
        pixels = message.data.view(np.uint16 if message.encoding == "16UC1" else np.uint8)
        pixels = pixels.reshape(message.height, message.width, -1)
        data = cv2.imencode(".png", pixels[..., ::-1] if pixels.shape[2] == 3 else pixels)[1].tobytes()
        deep = message.encoding == "16UC1"
        name = "16UC1; compressedDepth png" if deep else "rgb8; png compressed bgr8"
        octets = TYPES.octets(bytes(12) + data if deep else data)
        changed = TYPES.CompressedImage(header=message.header, format=name, data=octets)
        return f"{topic}/compressed{'Depth' if deep else ''}", COMPRESSED_IMAGE, index, changed

    messages = [item if item[1] == CAMERA_INFO else compressed(*item) for item in camera_messages(encoding="16UC1")]
    frame = one_frame(write(tmp_path / "bag", messages))
    np.testing.assert_array_equal(frame.color, PICTURE)
    np.testing.assert_allclose(frame.depth_m, DEPTH_M, atol=0.00051)
    both = [*camera_messages(encoding="16UC1"), *messages]  # The raw ones are preferred.
    assert bag_frames(write(tmp_path / "both", both)).topics == CameraTopics(COLOR, DEPTH, INFO)


def test_stamps_within_the_slop_belong_together_and_others_are_told(tmp_path):
    path = write(tmp_path / "bag", camera_messages(shift_ns=15_000_000))
    assert len(bag_frames(path).frames) == 3
    with pytest.raises(BinposeError, match=r"3 images .* have no depth"):
        bag_frames(path, slop_s=0.01)
    lost = [item for item in camera_messages(6) if not (item[0] == DEPTH and item[2] % 2)]
    found = bag_frames(write(tmp_path / "lost", lost))
    assert len(found.frames) == 3 and "3 images" in found.notes[0]


def test_the_intrinsics_are_those_that_held_at_the_time(tmp_path):
    messages = list(camera_messages(4))
    messages = [item for item in messages if item[0] != INFO]
    for index, fx in ((0, 200.0), (2, 300.0)):
        info = from_camera(CAMERA, header(index), TYPES)
        info.k[0] = fx
        messages.append((INFO, CAMERA_INFO, index, info))
    path = write(tmp_path / "bag", sorted(messages, key=lambda item: item[2]))
    assert [source.read().camera.fx for source in bag_frames(path).frames] == [200, 200, 300, 300]


def test_two_frames_with_one_stamp_have_two_names(tmp_path):
    messages = [item for item in camera_messages(1) for _ in range(2)]
    frames = bag_frames(write(tmp_path / "bag", messages)).frames
    assert len(frames) == 2 and len({frame.name for frame in frames}) == 2


def other(topic, message, kind=IMAGE):
    return [(topic, kind, index, message) for index in range(3)]


def test_the_aligned_depth_and_the_coloured_picture_are_found_among_others(tmp_path):
    messages = [
        *camera_messages(),
        *other("/cam/depth/image_rect_raw", from_depth_m(DEPTH_M, header(0, "depth"), TYPES)),
        *other("/cam/depth/camera_info", from_camera(CAMERA, header(0, "depth"), TYPES), CAMERA_INFO),
        *other("/cam/infra1/image_rect_raw", from_color(PICTURE[..., 0], header(0, "infra"), TYPES)),
        *other("/cam/infra1/camera_info", from_camera(CAMERA, header(0, "infra"), TYPES), CAMERA_INFO),
        *other("/detection/instance_mask", from_depth_m(DEPTH_M, header(0), TYPES, "16UC1")),
        *other("/refinement/overlay", from_color(PICTURE, header(0), TYPES)),
    ]
    assert bag_frames(write(tmp_path / "bag", messages)).topics == CameraTopics(COLOR, DEPTH, INFO)


def test_of_two_cameras_one_must_be_chosen(tmp_path):
    second = [(item[0].replace("/cam/", "/second/"), *item[1:]) for item in camera_messages()]
    path = write(tmp_path / "bag", [*camera_messages(), *second])
    with pytest.raises(BinposeError, match="--color-topic"):
        bag_frames(path)
    found = bag_frames(path, CameraTopics(color="/second/color/image_raw")).topics
    assert found == CameraTopics(*(topic.replace("/cam/", "/second/") for topic in (COLOR, DEPTH, INFO)))
    with pytest.raises(UnknownTopic, match=r"has no messages of /third.*/second/color/image_raw \(Image\)"):
        bag_frames(path, CameraTopics(color="/third"))


def test_of_two_depth_cameras_beside_a_picture_one_must_be_chosen(tmp_path):
    second = other("/cam/left_aligned/image_raw", from_depth_m(DEPTH_M, header(0), TYPES))
    path = write(tmp_path / "bag", [*camera_messages(), *second])
    with pytest.raises(BinposeError, match="--depth-topic"):
        bag_frames(path)
    assert bag_frames(path, CameraTopics(depth=DEPTH)).topics == CameraTopics(COLOR, DEPTH, INFO)


def without(topic):
    return [item for item in camera_messages() if item[0] != topic]


@pytest.mark.parametrize(
    ("messages", "sentence"),
    [
        (without(INFO), "no camera info; expected /cam/color/camera_info"),
        (without(COLOR), "no colour images"),
        ([], "no colour images .* no topics at all"),
    ],
)
def test_a_bag_without_a_frame_is_refused_with_the_reason(tmp_path, messages, sentence):
    with pytest.raises(BinposeError, match=sentence):
        bag_frames(write(tmp_path / "bag", messages))


def damaged_message(topic, **changes):
    messages = list(camera_messages(2))
    for index, item in enumerate(messages):
        if item[0] == topic:
            for name, value in changes.items():
                setattr(item[3], name, value)
            messages[index] = item
            break
    return messages


@pytest.mark.parametrize(
    ("messages", "sentence"),
    [
        (damaged_message(DEPTH, encoding="64FC1"), "encoding '64FC1'"),
        (damaged_message(DEPTH, header=to_header(header(0, "depth_optical"), TYPES)), "aligned"),
        (damaged_message(DEPTH, height=60), "76800 bytes in rows of 640; expected 60 rows"),
        (damaged_message(DEPTH, height=60, data=np.ones(60 * 160, np.float32).view(np.uint8)), "align"),
        (damaged_message(INFO, binning_x=2), r"160x120 pixels, .* of 80x120 \(160x120, binning 2x0\)"),
        (damaged_message(INFO, distortion_model="equidistant"), "'equidistant'"),
        (damaged_message(INFO, d=np.full(5, np.nan)), "distortion coefficients .* expected finite numbers"),
        (damaged_message(COLOR, data=np.zeros(100, np.uint8)), "100 bytes"),
        (damaged_message(COLOR, encoding="bayer_42"), "bayer_42"),
        (damaged_message(INFO, width=320), "320"),
        (damaged_message(INFO, k=np.zeros(9)), "uncalibrated"),
        (damaged_message(DEPTH, data=np.zeros(120 * 160 * 4, np.uint8)), "no valid pixel"),
    ],
)
def test_a_bad_frame_says_what_is_wrong_and_the_next_is_read(tmp_path, messages, sentence):
    first, second = bag_frames(write(tmp_path / "bag", messages)).frames
    with pytest.raises(BinposeError, match=sentence):
        first.read()
    assert second.read().camera == CAMERA


def test_a_bag_that_was_cut_is_read_as_far_as_it_goes_and_says_how_to_repair_it(tmp_path):
    path = write(tmp_path / "bag", camera_messages(30))
    file = path / "bag.mcap"
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    for given in (path, file):
        found = bag_frames(given)
        assert 18 <= len(found.frames) <= 20 and "--repair" in found.notes[0]
        np.testing.assert_array_equal(found.frames[-1].read().color, PICTURE)
    (path / "metadata.yaml").unlink()
    file.rename(path / "bag_0.mcap.active")
    for given in (path, path / "bag_0.mcap.active"):
        assert is_bag(given)
        with pytest.raises(BinposeError, match=r"unfinished.*--repair"):
            bag_frames(given)


def test_a_file_that_is_still_written_is_told_and_the_others_are_read(tmp_path):
    path = write(tmp_path / "bag", camera_messages())
    (path / "bag_1.mcap.active").write_bytes(b"")
    found = bag_frames(path)
    assert len(found.frames) == 3 and "bag_1.mcap.active is unfinished" in found.notes[0]


@pytest.mark.parametrize("name", ["bag.mcap", "bag.db3", "bag.bag"])
def test_what_only_looks_like_a_bag_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"something else" * 100)
    assert is_bag(tmp_path / name)
    with pytest.raises(BinposeError):
        bag_frames(tmp_path / name)


def test_frames_are_no_bag(tmp_path):
    (tmp_path / "a.png").touch()
    assert not is_bag(tmp_path) and not is_bag(tmp_path / "a.png")
    with pytest.raises(BinposeError, match="Nothing at"):
        bag_frames(tmp_path / "missing")
