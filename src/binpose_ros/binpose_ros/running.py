"""Starting and ending a node's process."""

import os
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from binpose_core.base.errors import BinposeError
from binpose_ros.ros_packages import packages_in_use

THREADS = 4
BAD_PARAMETER = 2  # exit status; the launch file does not start such a node again


def prepare_process() -> None:
    """Set what must be set before torch is imported: OpenMP's threads wait without spinning."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def run_node(make: Callable[[], Any], arguments: Sequence[str] | None = None) -> None:
    """Spin a lifecycle node until it is interrupted.

    Args:
        make: the node; called after ROS is initialised.
        arguments: of the process, ROS' own among them; by default those of the command line.

    Raises:
        SystemExit: with status 2 after the reason is logged, when the arguments are none that ROS understands, or a
            parameter has a value that the node refuses.
    """
    import rclpy
    from rclpy.exceptions import InvalidHandle, ParameterException
    from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor

    try:
        rclpy.init(args=None if arguments is None else list(arguments))
    except RuntimeError as error:  # rclpy's own class for it has a private name
        not_started(str(error).partition(", at /")[0])
    executor, node = MultiThreadedExecutor(THREADS), None
    try:
        node = make()
        node.get_logger().info(f"ROS packages in use: {packages_in_use()}")
        executor.add_node(node)
        executor.create_task(start, node)
        while rclpy.ok():
            try:
                executor.spin()
            except (KeyboardInterrupt, ExternalShutdownException):
                raise
            except InvalidHandle:  # A callback has destroyed what the executor was about to wait for.
                node.get_logger().debug(traceback.format_exc())
            except Exception:  # One request that fails does not end the node; the executor's own end is none.
                if rclpy.ok():
                    node.get_logger().error(traceback.format_exc())
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (BinposeError, ParameterException) as error:
        not_started(str(error))
    finally:
        patience_s = None if node is None else node.patience_s
        # The executor joins the threads of its callbacks, whatever its own limit is.
        within(patience_s, lambda: executor.shutdown(timeout_sec=2.0))
        if node is not None:
            node.close()
            if patience_s is not None:
                end_if_busy()
            node.destroy_node()
        rclpy.try_shutdown()


def within(patience_s: float | None, action: Callable[[], Any]) -> bool:
    """Do something that may block; False if it goes on after `patience_s` seconds. None = without a limit."""
    if patience_s is None:
        action()
        return True
    thread = threading.Thread(target=action, name="within", daemon=True)
    thread.start()
    thread.join(patience_s)
    return not thread.is_alive()


def end_if_busy() -> None:
    """End the process with status 0 if a thread still computes: Python would wait for it.

    Compiled code cannot be interrupted, and must not run on while the process is taken apart.
    """
    if all(thread is threading.current_thread() for thread in threading.enumerate()):
        return
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def not_started(reason: str) -> NoReturn:
    """Log why there is no node, and end the process.

    Raises:
        SystemExit: with status 2.
    """
    from rclpy.logging import get_logger

    get_logger("binpose").fatal(f"The node is not started: {' '.join(reason.split())}")
    sys.exit(BAD_PARAMETER)


def start(node: Any) -> None:
    """Configure and activate a node, unless it leaves that to a lifecycle manager."""
    from rclpy.lifecycle import TransitionCallbackReturn

    try:
        if node.settings.autostart and node.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            node.trigger_activate()
    except Exception:
        if node.context.ok():  # Otherwise the process was ended meanwhile, and the transition cannot be published.
            raise
