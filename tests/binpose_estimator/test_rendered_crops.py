"""A rendered crop shows what a crop of the rendered frame shows."""

import numpy as np
import pytest
import torch

from binpose_core.frames.working_view import make_working_view
from binpose_estimator.crop_content import CropContent
from binpose_estimator.crops import extract_crops, network_input
from binpose_estimator.rendered_crops import CropRenderer

CONTENT = CropContent(("points", "valid", "mask", "normals"))


@pytest.fixture
def seen(views, objects):
    """Crops of a view around the true centres, moved by a few millimetres, and the poses in their frames."""
    view, names = views[0], list(objects)
    ids = np.array([names.index(name) for name in view.object_ids])
    diameters = np.array([objects[name].diameter_m for name in view.object_ids])
    pairs = zip(view.object_ids, view.T_cam_obj, strict=True)
    true = np.array([T[:3, :3] @ objects[name].center_m + T[:3, 3] for name, T in pairs])
    places = true + np.random.default_rng(0).normal(0, 0.002, true.shape)
    working = make_working_view(view.frame, 0.8e-3, 640 * 480)
    order = np.arange(len(ids), dtype=np.int32)
    crops = extract_crops(working, CONTENT, working.labels(view.instance_ids), order, places, diameters)
    R = np.swapaxes(crops.R_cam_crop, 1, 2)
    center = (R @ true[..., None])[..., 0] - np.c_[np.zeros((len(ids), 2)), np.linalg.norm(places, axis=1)]
    values = R @ view.T_cam_obj[:, :3, :3], center / diameters[:, None]
    return torch.from_numpy(ids), network_input(crops), *(torch.from_numpy(v.astype(np.float32)) for v in values)


def test_points_normals_and_mask_are_those_of_a_crop(seen, objects) -> None:
    classes, inputs, rotation, center = seen
    drawn = CropRenderer([*objects.values()], CONTENT)(classes, rotation, center, inputs.distance)
    mask, silhouette = inputs["mask"], drawn.silhouette
    assert float((mask * silhouette).sum() / torch.maximum(mask, silhouette).sum()) > 0.9
    both = (mask * silhouette)[:, 0] > 0
    for name, tolerance in (("points", 0.02), ("normals", 0.2)):
        error = (drawn.inputs[name] - inputs[name]).norm(dim=1)[both]
        assert float(error.median()) < tolerance
    assert float((drawn.inputs["points"] - inputs["points"]).norm(dim=1)[both].quantile(0.9)) < 0.05


def test_the_pose_has_gradients_from_every_image(seen, objects) -> None:
    classes, inputs, rotation, center = seen
    content = CropContent(("points", "mask", "luma", "rgb"))
    renderer = CropRenderer([*objects.values()], content)
    for name in content.names:
        moved = center.clone().requires_grad_()
        renderer(classes, rotation, moved, inputs.distance).inputs[name].square().sum().backward()
        assert torch.isfinite(moved.grad).all() and (moved.grad.abs().sum(1) > 0).all(), name
