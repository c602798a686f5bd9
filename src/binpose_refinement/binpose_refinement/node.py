"""The node `refinement`: images, detections and poses in, verified poses out, with markers and an overlay."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from binpose_core.base.errors import ModelMismatch
from binpose_core.base.reasons import Reason
from binpose_core.base.settings import setting
from binpose_core.drawing.overlays import OverlayDrawer
from binpose_core.frames.filters import PoseFilter
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection, PoseEstimate
from binpose_core.learning.bundle import ModelBundle
from binpose_core.learning.model_store import StoredModel
from binpose_core.parts.drawn_scene import drawn_scene
from binpose_core.parts.empty_results import why_empty
from binpose_core.parts.objects import ObjectModel
from binpose_refinement.config import RefinerConfig
from binpose_refinement.refiner import IcpRefiner
from binpose_refinement.stored_refiner import stored_refiner
from binpose_ros.detections import read_detections
from binpose_ros.estimate_action import EstimateAction, FrameResult
from binpose_ros.frame_worker import FrameWorker
from binpose_ros.frames import header_of
from binpose_ros.images import from_color
from binpose_ros.inputs import COLOR, DEPTH, INFO, Input, Match, read
from binpose_ros.lifecycle import ManagedNode
from binpose_ros.markers import MeshResources, to_markers
from binpose_ros.model_follower import ModelFollower
from binpose_ros.model_holder import ModelHolder
from binpose_ros.monitor import Monitor
from binpose_ros.node_checks import frame_id_problem
from binpose_ros.node_diagnostics import stage_diagnostics
from binpose_ros.outcome import Outcome, empty_outcome
from binpose_ros.parameters import Parameters
from binpose_ros.poses import read_poses, transforms, with_detections, write_poses
from binpose_ros.results import Results
from binpose_ros.running import prepare_process, run_node
from binpose_ros.serialized import serialized_header
from binpose_ros.settings import Overrides, StageSettings, check_tf_name
from binpose_ros.stage_model import StageModel
from binpose_ros.stamps import Header
from binpose_ros.transforms import Transforms, placed
from binpose_ros.upstream_status import UpstreamStatus
from binpose_ros.vision_arrays import write_array

POSES = Input("pose_estimator/poses", "Detection3DArray", "reference", camera=False)
DETECTIONS = Input("detection/detections", "Detection2DArray", "same", camera=False)
MASK = Input("detection/instance_mask", "Image", "same", camera=False)
INPUTS = (POSES, DETECTIONS, MASK, COLOR, DEPTH, INFO)
NO_POSE = Outcome(Reason.NO_PARTS, "There was no pose to refine.")


@dataclass(frozen=True)
class RefinementSettings(StageSettings, PoseFilter):
    """Parameters of the node.

    overlay: publish the image with the parts drawn over it, when it has a subscriber.
    target_frame: frame in which poses, markers and transforms are published, such as the robot's base; that of the
        camera when empty. Its transform is looked up at the time of the image.
    tf: publish a transform <tf_prefix>/<object>_<n> for each part.
    tf_prefix: prefix of the names of the transforms; use a different one for each camera.
    mesh_directory: directory for the meshes that RViz displays.
    refiner: settings of the refinement that replace the model's own.
    """

    overlay: bool = setting(True, live=True)
    target_frame: str = setting("", live=True)
    tf: bool = setting(False, live=True)
    tf_prefix: str = setting("bin", live=True)
    mesh_directory: str = "~/.cache/binpose/meshes"
    refiner: Overrides[RefinerConfig] = field(
        default_factory=lambda: Overrides(RefinerConfig()), metadata={"live": True}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("target_frame", "tf_prefix"):
            check_tf_name(name, getattr(self, name))


class RefinementOutputs:
    """The topics of refined poses below a prefix."""

    def __init__(self, node: Any, prefix: str) -> None:
        self._node, self._types = node, node.types
        self._poses = node.output("Detection3DArray", f"{prefix}poses")
        self._markers = node.output("MarkerArray", f"{prefix}markers")
        self._overlay = node.output("Image", f"{prefix}overlay")
        self._tf = node.output("TFMessage", "/tf")
        self._prepared: tuple[str, str, OverlayDrawer, MeshResources] | None = None

    def publish(
        self,
        frame: RgbdFrame,
        verified: Sequence[PoseEstimate],
        model: ModelBundle[Any],
        settings: RefinementSettings,
        empty: Callable[[], Outcome],
    ) -> FrameResult:
        """Publish the poses of a frame that are to be reported, then their pictures.

        Args:
            frame: the images.
            verified: all poses, in the camera frame.
            model: that estimated them.
            settings: which poses are reported, and in which frame.
            empty: returns the reason where no pose is reported.

        Raises:
            BinposeError: with the reason TF_MISSING, before anything is published.
        """
        header, in_target = placed(self._node.transforms, header_of(frame), verified, settings.target_frame)
        poses, seen = settings.reported(in_target), settings.reported(verified)
        self._poses.publish(write_poses(poses, model.objects, header, model.version))
        if settings.tf and poses and not result_frame_problem(frame.frame_id, model.objects, settings):
            self._tf.publish(transforms(poses, header, self._types, settings.tf_prefix))
        if self._markers.get_subscription_count():
            drawer, meshes = self._drawing(model.objects, model.version, settings)
            colors = {name: (r / 255, g / 255, b / 255) for name, (r, g, b) in drawer.colors.items()}
            self._markers.publish(to_markers(poses, model.objects, meshes, colors, header, self._types))
        if settings.overlay and self._overlay.get_subscription_count():
            drawer, _ = self._drawing(model.objects, model.version, settings)
            self._overlay.publish(from_color(drawer(frame, seen), header_of(frame), self._types))
        self._node.monitor.reported(seen)
        outcome = Outcome() if poses else empty()
        outcome = replace(outcome, found=len(verified), reported=len(poses), version=model.version)
        return FrameResult(header, outcome, in_target, model.objects)

    def publish_empty(self, header: Header) -> None:
        """Publish that nothing was found."""
        self._poses.publish(write_array(header, ()))
        self._markers.publish(to_markers([], {}, {}, {}, header, self._types))

    def _drawing(
        self, objects: Mapping[str, ObjectModel], version: str, settings: RefinementSettings
    ) -> tuple[OverlayDrawer, MeshResources]:
        if self._prepared is None or self._prepared[0] != version:
            digest = "".join(part.digest for part in objects.values())
            if self._prepared is None or self._prepared[1] != digest:
                drawing = OverlayDrawer(objects), MeshResources(objects, Path(settings.mesh_directory))
            else:  # another version with the same parts
                drawing = self._prepared[2:]
            self._prepared = (version, digest, *drawing)
        return self._prepared[2:]


def why_unreported(
    frame: RgbdFrame,
    detections: Sequence[Detection],
    verified: Sequence[PoseEstimate],
    objects: Mapping[str, ObjectModel],
    settings: PoseFilter,
) -> Outcome:
    """Why no pose of a frame is reported.

    Args:
        frame: with the image and depth.
        detections: whose poses were estimated.
        verified: all poses.
        objects: the known parts by id.
        settings: which poses are reported.
    """
    return empty_outcome(why_empty(frame, detections, verified, settings.wanted(objects), settings.threshold))


def result_frame_problem(frame_id: str, objects: Mapping[str, ObjectModel], settings: RefinementSettings) -> str:
    """Why the results' frame cannot be a parent of the parts' own TF frames; empty when it can.

    Args:
        frame_id: of the images.
        objects: the known parts by id.
        settings: of the node.
    """
    parent = settings.target_frame or frame_id
    if problem := frame_id_problem(parent):
        return problem
    begin = f"{settings.tf_prefix}/" if settings.tf_prefix else ""
    name, _, number = parent.removeprefix(begin).rpartition("_")
    if not (parent.startswith(begin) and name in objects and number.isdecimal()):
        return ""
    return (
        f"The results are in frame {parent!r}, which is the name of a part's own frame; expected the camera's or "
        "target_frame, so that the transforms form no loop; rename it, or change tf_prefix. No transform is published."
    )


def build(stored: StoredModel, objects: Mapping[str, ObjectModel], settings: Any) -> IcpRefiner:
    """The refiner of a model."""
    return stored_refiner(stored, objects, settings.refiner.named, settings.device)


def warm_up(refiner: IcpRefiner, objects: Mapping[str, ObjectModel], frame: RgbdFrame) -> None:
    """Refine the poses of a drawing."""
    scene = drawn_scene(objects)
    refiner(scene.frame, scene.detections, scene.poses)


def other_refiner(before: RefinementSettings, after: RefinementSettings) -> bool:
    """Whether the refiner's own settings have changed."""
    return before.refiner != after.refiner


class RefinementNode(ManagedNode):
    """Publishes `~/poses`, `~/markers`, `~/overlay` and transforms of each frame's poses."""

    def __init__(self, **options: Any) -> None:
        super().__init__("refinement", **options)
        self.monitor, self.transforms = Monitor(), Transforms(self)
        self.parameters = Parameters(self, RefinementSettings())
        stage_model = StageModel(
            build,
            warm_up,
            check=RefinementSettings.check_objects,
            must_rebuild=other_refiner,
            parameters=refiner_parameters,
        )
        self.models = ModelHolder(self, stage_model)
        self.model_source = ModelFollower(self, self.models)
        self.upstream = UpstreamStatus(self, "pose_estimator/status")
        self.results = Results(self, lambda: RefinementOutputs(self, "~/"))
        self.frames = FrameWorker(
            self, INPUTS, self.models, self.results, self.process, self.publish_empty, self.check_frame_id
        )
        self.diagnostics = stage_diagnostics(self)
        self.action = EstimateAction(self)
        self.parts = (self.model_source, self.results, self.frames)

    def check_frame_id(self, frame_id: str) -> str:
        """Also whether the parts' transforms would form a loop."""
        return frame_id_problem(frame_id) or result_frame_problem(frame_id, self.models.find().objects, self.settings)

    def process(self, match: Match) -> Outcome:
        """Refine, with the model that the poses were made with."""
        data = match[POSES.topic]
        poses, version = read_poses(data)
        if not poses:
            return self.upstream.pass_on(serialized_header(data), NO_POSE, self.publish_empty)
        model, frame = self.models.find(version), self.frames.read(match)
        found, source = read_detections(match[DETECTIONS.topic], read(match, MASK, self.types), frame.camera)
        if source != version:
            raise ModelMismatch(
                f"Detections of model {source} with poses of {version}; expected one model.", source, [version]
            )
        poses = with_detections(poses, found)
        with self.monitor.measured("refinement"):
            verified = model.stage(frame, found, poses)
        settings = self.settings

        def empty() -> Outcome:
            return why_unreported(frame, found, verified, model.objects, settings)

        with self.monitor.measured("publish"):
            result = self.results.outputs.publish(frame, verified, model, settings, empty)
        self.action.put(result)
        return result.outcome

    def publish_empty(self, header: Header, outcome: Outcome) -> None:
        """Publish no poses."""
        self.results.outputs.publish_empty(header)
        self.action.put(FrameResult(header, outcome))


def refiner_parameters(refiner: IcpRefiner) -> dict[str, Any]:
    """The refiner's current settings by the names of their parameters."""
    return {f"refiner.{name}": value for name, value in asdict(refiner.config).items()}


def main() -> None:
    """Run the node."""
    prepare_process()
    run_node(RefinementNode)


if __name__ == "__main__":
    main()
