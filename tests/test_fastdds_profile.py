"""The profile for Fast DDS holds images, and is set wherever nodes are started, unless the user has chosen another."""

import os
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "config"
SPACE = {"": "http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles"}
FRAGMENT_BYTES = 65_500  # Fast DDS' largest message
RGBD_BYTES = 5  # per pixel: colour and 16-bit depth
FRAMES = 4  # that a receiver on a busy machine may be behind


@pytest.fixture(scope="module")
def profile() -> ElementTree.Element:
    return ElementTree.parse(CONFIG / "fastdds.xml").getroot()


@pytest.fixture(scope="module")
def transports(profile: ElementTree.Element) -> dict[str, dict[str, str]]:
    """The values of each transport, by its type."""
    found = {}
    for entry in profile.iterfind(".//transport_descriptor", SPACE):
        values = {child.tag.rpartition("}")[2]: child.text or "" for child in entry}
        found[values["type"]] = values
    return found


def test_shared_memory_holds_several_frames(transports: dict[str, dict[str, str]]) -> None:
    memory = transports["SHM"]
    assert int(memory["segment_size"]) >= FRAMES * 1920 * 1200 * RGBD_BYTES
    assert int(memory["port_queue_capacity"]) >= FRAMES * 2448 * 2048 * RGBD_BYTES / FRAGMENT_BYTES


def test_machines_are_reached_with_large_buffers(transports: dict[str, dict[str, str]]) -> None:
    network = transports["UDPv4"]
    assert min(int(network[name]) for name in ("sendBufferSize", "receiveBufferSize")) >= 640 * 480 * 3
    assert int(network["maxInitialPeersRange"]) >= 32


def test_every_process_uses_these_transports_alone(
    profile: ElementTree.Element, transports: dict[str, dict[str, str]]
) -> None:
    (participant,) = profile.iterfind(".//participant", SPACE)
    assert participant.get("is_default_profile") == "true"
    used = [entry.text for entry in participant.iterfind(".//userTransports/transport_id", SPACE)]
    assert sorted(used, key=str) == sorted(values["transport_id"] for values in transports.values())
    assert participant.findtext(".//useBuiltinTransports", namespaces=SPACE) == "false"


def test_it_is_installed_and_documented_first() -> None:
    assert "share/binpose/config = config/*" in (ROOT / "src/binpose/setup.cfg").read_text(encoding="utf-8")
    text = (ROOT / "docs/ros.md").read_text(encoding="utf-8")
    assert text.index("fastdds.sh") < text.index("## Start")


def test_docker_gives_it_to_every_command() -> None:
    assert "config/fastdds.sh" in (ROOT / "docker/entrypoint.sh").read_text(encoding="utf-8")
    assert "RMW_IMPLEMENTATION" not in (ROOT / "docker/Dockerfile").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "value"),
    [("", ""), ("FASTRTPS_DEFAULT_PROFILES_FILE", "/a.xml"), ("FASTDDS_DEFAULT_PROFILES_FILE", "/a.xml"),
     ("FASTDDS_BUILTIN_TRANSPORTS", "UDPv4")],
)  # fmt: skip
def test_sourcing_keeps_what_the_user_has_set(name: str, value: str) -> None:
    script = (
        f"set -eu; source {CONFIG / 'fastdds.sh'}; "
        "bash -c 'echo ${FASTRTPS_DEFAULT_PROFILES_FILE:-} ${FASTDDS_DEFAULT_PROFILES_FILE:-}'"
    )
    environment = {"PATH": os.environ["PATH"], **({name: value} if name else {})}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True)
    shipped = str(CONFIG / "fastdds.xml")
    expected = {"": [shipped, shipped], "FASTDDS_BUILTIN_TRANSPORTS": []}
    assert done.stdout.split() == expected.get(name, [value])
