"""Nodes in processes of their own, in a domain of their own on the loopback interface, and a client in this one."""

import contextlib
import fcntl
import importlib.util
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "src/binpose_pipeline/binpose_pipeline/models/demo"
MODULES = {
    "simulated_camera": "binpose_simulation.node",
    "detection": "binpose_detection.node",
    "pose_estimator": "binpose_estimator.node",
    "refinement": "binpose_refinement.node",
    "bin_picking": "binpose.node",
    "grasp_publisher": "binpose_grasping.node",
    "simulated_cell": "binpose_cell.node",
}
FASTDDS_FILES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")  # of Fast DDS 2, and of 3
# No multicast, no other interface; few big packets, and a receive buffer that holds a frame.
LOOPBACK = """<CycloneDDS><Domain><General><Interfaces><NetworkInterface name="lo"/></Interfaces>
<AllowMulticast>false</AllowMulticast><MaxMessageSize>65500B</MaxMessageSize><FragmentSize>65000B</FragmentSize></General>
<Internal><SocketReceiveBufferSize min="4MB"/></Internal>
<Discovery><ParticipantIndex>auto</ParticipantIndex><MaxAutoParticipantIndex>60</MaxAutoParticipantIndex>
<Peers><Peer address="127.0.0.1"/></Peers></Discovery></Domain></CycloneDDS>"""
PATIENCE_S = 120.0
DOMAINS = range(10, 100)
_candidates = itertools.cycle(DOMAINS)
_own: dict[int, IO[str]] = {}  # with the locks that keep other processes from them


def next_domain() -> int:
    """A ROS domain that no other process of tests on this machine uses; those of this one's first graphs come again."""
    for domain in itertools.islice(_candidates, len(DOMAINS)):
        if domain in _own:
            return domain
        lock = (Path(tempfile.gettempdir()) / f"binpose_tests_domain_{domain}").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        _own[domain] = lock
        return domain
    raise AssertionError(f"All {len(DOMAINS)} ROS domains are in use by tests on this machine.")


def use_loopback() -> None:
    """ROS reads these when it is initialised."""
    os.environ["CYCLONEDDS_URI"] = LOOPBACK
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    if not any(os.environ.get(name) for name in (*FASTDDS_FILES, "FASTDDS_BUILTIN_TRANSPORTS")):
        os.environ.update(dict.fromkeys(FASTDDS_FILES, str(ROOT / "config/fastdds.xml")))


def node_environment() -> dict[str, str]:
    """The environment of a node's process; skips where there is no ROS, or no way to have binpose's own messages."""
    if importlib.util.find_spec("rclpy") is None:
        pytest.skip("rclpy cannot be imported: source ROS 2's setup.bash first")
    environment = dict(os.environ)
    paths = [str(path) for path in sorted((ROOT / "src").iterdir()) if path.is_dir()]
    found = importlib.util.find_spec("binpose_interfaces")
    if found is not None and found.origin is not None:
        paths.append(str(Path(found.origin).parents[1]))  # this process may know it from an earlier call alone
    else:
        prefix = built_interfaces()
        site = next(prefix.glob("lib/python3*/site-packages"))
        paths.append(str(site))
        sys.path.append(str(site))
        for name, value in (("AMENT_PREFIX_PATH", prefix), ("LD_LIBRARY_PATH", prefix / "lib")):
            environment[name] = os.environ[name] = f"{value}{os.pathsep}{os.environ.get(name, '')}"
    environment["PYTHONPATH"] = os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")])
    return environment


def built_interfaces() -> Path:
    """Where binpose_interfaces is installed after it was built with the Python that ROS' own tools run with."""
    build = ROOT / "build" / "ros_tests"
    prefix = build / "install"
    tool = shutil.which("ros2")
    if tool is None or shutil.which("cmake") is None:
        pytest.skip("binpose_interfaces is not built: `colcon build` it and source install/setup.bash")
    python = Path(tool).read_text(errors="replace").splitlines()[0].removeprefix("#!").strip()
    configure = [
        "cmake", "-S", ROOT / "src/binpose_interfaces", "-B", build / "cmake", f"-DCMAKE_INSTALL_PREFIX={prefix}",
        f"-DPython3_EXECUTABLE={python}", f"-DCMAKE_INSTALL_RPATH={prefix}/lib", "-DBUILD_TESTING=OFF",
    ]  # fmt: skip
    environment = dict(os.environ, PATH=f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}")
    build.mkdir(parents=True, exist_ok=True)
    with (build / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Other workers of the test run wait for the first one.
        for command in (configure, ["cmake", "--build", build / "cmake", "--target", "install", "--parallel", "2"]):
            done = subprocess.run(command, capture_output=True, text=True, env=environment)
            if done.returncode:
                pytest.skip(f"binpose_interfaces could not be built: {done.stderr[-500:]}")
    return prefix


class Graph:
    """Nodes in processes of their own, and a client in this one."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor

        self.domain = next_domain()
        self.folder = folder
        self._environment = dict(environment, ROS_DOMAIN_ID=str(self.domain), PYTHONUNBUFFERED="1")
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._subscriptions: dict[str, Any] = {}
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=self.domain)
        self.node = rclpy.create_node("client", context=self.context)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._spinner = threading.Thread(target=self._spin, daemon=True)
        self._spinner.start()

    def _spin(self) -> None:
        from rclpy.executors import ExternalShutdownException

        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()

    def start(self, name: str, remap: tuple[str, str] | None = None, **parameters: Any) -> None:
        """Start a node; without other parameters with the demo's model, and with a topic under another name."""
        values = {"model": str(MODEL), **parameters}
        self.run(name, MODULES[name], values, [remap] if remap else [])

    def run(
        self,
        name: str,
        module: str,
        parameters: Mapping[str, Any],
        remappings: Iterable[tuple[str, str]] = (),
        further: Sequence[str] = (),
    ) -> None:
        """Start a module as a node; `further` are arguments for ROS."""
        texts = [part for key, value in parameters.items() for part in ("-p", f"{key}:={_yaml(value)}")]
        texts += [part for pair in remappings for part in ("-r", ":=".join(pair))]
        log = (self.folder / f"{name}.log").open("ab")
        self.processes[name] = subprocess.Popen(
            [sys.executable, "-m", module, "--ros-args", *texts, *further],
            env=self._environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def stop(self, name: str, how: int = signal.SIGTERM) -> int:
        """End a node's process; its exit status."""
        process = self.processes.pop(name)
        process.send_signal(how)
        try:
            return process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{name} did not end:\n{self.log(name)}") from None

    def close(self) -> None:
        failed = []
        for name in list(self.processes):  # Also after one that does not end: the others would run on.
            try:
                self.stop(name)
            except AssertionError as error:
                failed.append(error)
        self._executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()
        if failed:
            raise failed[0]

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text() if path.is_file() else ""

    def listen(self, topic: str, kind: Any, qos: Any = 50) -> list[Any]:
        """Messages of a topic, appended as they arrive."""
        heard: list[Any] = []
        self._subscriptions[topic] = self.node.create_subscription(kind, topic, heard.append, qos)
        return heard

    def forget(self, topic: str) -> None:
        """End the newest listening on a topic."""
        self.between_callbacks(lambda: self.node.destroy_subscription(self._subscriptions.pop(topic)))

    def between_callbacks(self, action: Callable[[], Any]) -> Any:
        """Do something in the executor's thread, which ends if another one destroys what it waits for."""
        task = self._executor.create_task(action)
        self.wait(task.done, "the executor of this process")
        return task.result()

    def wait(self, condition: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
        """Wait until something holds, and return it."""
        end = time.monotonic() + patience_s
        while not (result := condition()):
            dead = [name for name, process in self.processes.items() if process.poll() is not None]
            logs = "\n".join(f"--- {name}\n{self.log(name)[-3000:]}" for name in self.processes)
            assert not dead, f"{', '.join(dead)} ended while waiting for {what}\n{logs}"
            assert self._spinner.is_alive(), f"the executor of this process ended while waiting for {what}\n{logs}"
            assert time.monotonic() < end, f"no {what} within {patience_s:g} s\n{logs}"
            time.sleep(0.02)
        return result

    def asked(self, question: Callable[[], Any], what: str) -> Any:
        """What the future that a question to an action returns will hold.

        It is asked in the executor's thread: rclpy loses an answer that comes before it has noted the question.
        """
        answer = self.between_callbacks(question)
        self.wait(answer.done, what)
        return answer.result()

    def call(self, service: str, kind: Any, **fields: Any) -> Any:
        """The response of a service."""
        client = self.node.create_client(kind, service)
        self.wait(client.service_is_ready, f"service {service}")
        future = client.call_async(kind.Request(**fields))
        self.wait(future.done, f"answer of {service}")
        self.between_callbacks(lambda: self.node.destroy_client(client))
        return future.result()

    def set_parameters(self, name: str, **values: Any) -> list[Any]:
        """The results for parameters of a node; two underscores stand for a dot."""
        from rcl_interfaces.srv import SetParameters
        from rclpy.parameter import Parameter

        messages = [Parameter(key.replace("__", "."), value=value).to_parameter_msg() for key, value in values.items()]
        return list(self.call(f"/{name}/set_parameters", SetParameters, parameters=messages).results)

    def change_state(self, name: str, transition: str) -> bool:
        """Whether a node has made a transition of its lifecycle, such as "activate"."""
        from lifecycle_msgs.msg import Transition
        from lifecycle_msgs.srv import ChangeState

        number = getattr(Transition, f"TRANSITION_{transition.upper()}")
        return bool(self.call(f"/{name}/change_state", ChangeState, transition=Transition(id=number)).success)

    def statuses(self) -> list[Any]:
        """All that the nodes have told of themselves, the newest last."""
        if not hasattr(self, "_diagnostics"):
            from diagnostic_msgs.msg import DiagnosticArray

            self._diagnostics = self.listen("/diagnostics", DiagnosticArray)
        return [status for array in list(self._diagnostics) for status in array.status]

    def status(self, name: str) -> dict[str, str]:
        """The newest diagnostics of a node, its message as "message"; empty before there are any."""
        found = next((status for status in reversed(self.statuses()) if status.name == name), None)
        return {**{e.key: e.value for e in found.values}, "message": found.message} if found else {}


def _yaml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(f"'{item}'" for item in value) + "]"
    return f"'{value}'" if isinstance(value, str) else str(value)
