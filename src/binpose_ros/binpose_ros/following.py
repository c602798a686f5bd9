"""One node decides which model is used, and those that work on its results follow it.

The leader has its followers load and check a version before it uses it, and says in its latched `~/model_status` which
one it uses and which one it used before. A follower works with the version that its input names.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn

from binpose_core.base.errors import BinposeError
from binpose_core.base.reasons import Reason
from binpose_core.learning.bundle import ModelBundle, Unanswered
from binpose_core.learning.model_store import SHORT, ModelStore
from binpose_ros.announcing import LATCHED
from binpose_ros.model_node import Stage
from binpose_ros.outcome import EarlierOutcomes, Outcome
from binpose_ros.settings import StageSettings
from binpose_ros.stage_node import STATUS, StageNode
from binpose_ros.stamps import Header

STEP_S = 0.2
WORD_S = 2.0


class Followers:
    """The nodes that work on what a node sends, as this node asks them to hold a model.

    Args:
        node: that decides.
        names: of the others, relative or absolute.
    """

    def __init__(self, node: Any, names: Sequence[str]) -> None:
        from binpose_interfaces.srv import LoadModel

        group = MutuallyExclusiveCallbackGroup()  # not that of the service that waits
        self._node, self._kind = node, LoadModel
        self._asked = {
            name: node.create_client(LoadModel, f"{name}/load_model", callback_group=group) for name in names
        }

    def hold(self, model: ModelBundle[Any], timeout_s: float) -> None:
        """Have all of them load and check a model.

        Raises:
            Unanswered: when one has not answered in time, or holds no model yet with which it could compare.
            BinposeError: with the reasons of those that refuse it.
        """
        answers = self._answers(self._kind.Request(store=str(model.store), version=model.version), timeout_s)
        if silent := [
            name for name, answer in answers.items() if answer is None or not (answer.success or answer.version)
        ]:
            raise Unanswered(
                f"{', '.join(silent)} did not load model {model.version[:SHORT]} within {timeout_s:g} s; expected all "
                "that work on the results to hold it before it is used; start what is missing, or see its log."
            )
        if refused := [f"{name}: {answer.message}" for name, answer in answers.items() if not answer.success]:
            raise BinposeError(" ".join(refused))

    def _answers(self, request: Any, timeout_s: float) -> Mapping[str, Any]:
        """Their answers, None from those that give none; all of them work at the same time."""
        end, asked = time.monotonic() + timeout_s, {}
        for name, client in self._asked.items():
            while not client.service_is_ready() and self._may_wait(end):
                time.sleep(STEP_S)
            asked[name] = client.call_async(request)
        for name, future in asked.items():
            answered = threading.Event()
            future.add_done_callback(lambda _, answered=answered: answered.set())
            while not answered.wait(STEP_S) and self._may_wait(end):
                pass
            if not future.done():
                self._asked[name].remove_pending_request(future)
        return {name: future.result() if future.done() else None for name, future in asked.items()}

    def _may_wait(self, end: float) -> bool:
        return time.monotonic() < end and bool(self._node.context.ok())


class FollowerNode(StageNode[Stage]):
    """A stage that works on another node's results, with the model that they were made with.

    It holds the model that the leader uses, the one before, and the one that it was requested to hold last; it starts
    with its store's current one, until it receives the leader's status.

    earlier: topic on which the stage before publishes what became of each frame.
    """

    earlier: str

    def __init__(self, name: str, defaults: StageSettings, **options: Any) -> None:
        super().__init__(name, defaults, **options)
        from binpose_interfaces.msg import ModelStatus

        self._leading = ModelStatus()
        self._heard, self._following = threading.Event(), threading.Lock()
        heard = self.create_subscription(
            ModelStatus, "detection/model_status", self._hear, LATCHED, callback_group=self._group
        )
        self._outcomes = EarlierOutcomes()
        self._earlier = self.create_subscription(
            self.types.FrameStatus,
            self.earlier,
            self._outcomes.put,
            STATUS,
            callback_group=MutuallyExclusiveCallbackGroup(),
        )
        self.leader = heard.topic_name.rpartition("/")[0].lstrip("/")  # as remapped: bin_picking where it does all

    def nothing(self, header: Header, default: Outcome) -> Outcome:
        """Publish empty results for an empty array of the stage before, for the reason that this stage had.

        Args:
            header: of the array.
            default: the outcome when the stage before publishes none.

        Raises:
            BinposeError: with that stage's reason, when it could not process the frame.
        """
        is_published = self.count_publishers(self._earlier.topic_name) > 0
        earlier = self._outcomes.of(header.stamp_ns) if is_published else None
        if earlier is None or earlier.expect_processed().reason is Reason.OK:
            earlier = default
        outcome = replace(earlier, reported=0, version="")
        self.publish_nothing(header, outcome)
        return outcome

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load a model, and that of the leader where it is another one."""
        result = super().on_configure(state)
        self._watch()
        return result

    def swap(self, store: str, version: str) -> ModelBundle[Stage]:
        """Hold another version, until the leader uses it.

        Raises:
            BinposeError: with the reason when it is refused.
        """
        current = self.models.find("")
        settled = version and version in (self._leading.version, self._leading.previous)
        model = self._held(store, version, None if settled else current)
        self.models.offer(model)
        return model

    def roll_back(self) -> ModelBundle[Stage]:
        """Refuse it.

        Raises:
            BinposeError: with the name of the node to ask.
        """
        raise BinposeError(f"This node uses the model that {self.leader} uses; ask {self.leader} to roll back.")

    def first_model(self) -> ModelBundle[Stage]:
        """The store's current model, or that of the leader when the current one cannot be used."""
        try:
            return super().first_model()
        except BinposeError:
            if self.settings.version or not self._heard.wait(WORD_S):
                raise
            return self._load(self.settings.model, self._leading.version)

    def _hear(self, status: Any) -> None:
        self._leading = status
        self._heard.set()
        self._watch()

    def _watch(self) -> None:
        """Put the model in use that the leader uses."""
        with self._following:
            leading, current = self._leading, self.models.current
            if current is None or leading.version in ("", current.version):
                self.monitor.model_reason = ""
                return
            try:
                self._exchange(self._held(str(Path(leading.location).parent), leading.version, None))
            except Exception as error:
                self._refuse(self.describe_error(f"The model of {self.leader}", error))

    def _held(self, store: str, version: str, current: ModelBundle[Stage] | None) -> ModelBundle[Stage]:
        """A version that is held, or else is loaded from the first store that has it: a version is the same in all."""
        if version:
            for model in self.models.held():
                if model.version.startswith(version):
                    return model
        own = [str(self.models.find("").store), self.settings.model] if version else []
        for folder in map(Path.expanduser, map(Path, own)):
            if any(known.startswith(version) for known in ModelStore(folder).versions()):
                return self._load(str(folder), version, current)
        return self._load(store or str(self.models.find("").store), version, current)
