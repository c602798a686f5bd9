"""Records messages of known content until it is killed: `python recording_child.py FOLDER`.

Before each message it tells its number and the time on standard output, unbuffered, so that nothing of it dies with it.
"""

import os
import sys
import time
from pathlib import Path

import numpy as np

from binpose_recording.config import BagConfig, RecorderConfig, Role
from binpose_recording.messages import Topic
from binpose_recording.recorder import Recorder

TOPIC = Topic("/pick_outcome", "std_msgs/msg/String", Role.EVENT)


def content(number):
    """Bytes that differ from message to message, half of them noise, up to 40 kB."""
    rng = np.random.default_rng(number)
    size = int(rng.integers(1, 40_000))
    return number.to_bytes(8, "little") + rng.bytes(size // 2) + bytes(size // 2)


def main(folder, compression):
    bag = BagConfig(segment_mb=1.0, compression=compression)
    recorder = Recorder([TOPIC], RecorderConfig(Path(folder), min_free_gb=0.0, bag=bag))
    recorder.start()
    number = 0
    while True:
        data = content(number)
        os.write(1, f"{number} {time.monotonic()}\n".encode())
        recorder.add(TOPIC.name, time.time_ns(), data)
        number += 1
        time.sleep(0.004)


if __name__ == "__main__":
    main(*sys.argv[1:])
