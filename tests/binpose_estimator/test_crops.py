from dataclasses import replace

import numpy as np
import pytest
import torch

from binpose_core.frames.working_view import WorkingView, make_working_view
from binpose_core.geometry.transforms import from_rotation_translation, inverse, transform
from binpose_core.rendering.renderer import Renderer
from binpose_estimator.crop_content import CHANNELS, CROP_DIAMETERS, CROP_PX, CropContent
from binpose_estimator.crops import (
    MASK,
    REACH_DIAMETERS,
    VALID,
    Crops,
    concatenate,
    extract_crops,
    local_contrast,
    look_at,
    network_input,
)

CONTENT = CropContent(("points", "valid", "mask", "luma", "normals"))
ROLLS = np.array([0.0, 0.7, -2.0, np.pi / 2, 3.0])


def crops_of(
    known, objects, gsd_m: float, offset_m: np.ndarray, roll_rad: np.ndarray
) -> tuple[WorkingView, Crops, np.ndarray]:
    """The view, crops of all parts around their centres moved by offset_m (N, 3), and these places (N, 3)."""
    view = make_working_view(known.frame, gsd_m, 640 * 480)
    centers = [
        transform(T, objects[n].center_m[None])[0] for n, T in zip(known.object_ids, known.T_cam_obj, strict=True)
    ]
    places = np.array(centers) + offset_m
    diameters = np.array([objects[n].diameter_m for n in known.object_ids])
    instances = np.arange(len(places), dtype=np.int32)
    labels = view.labels(known.instance_ids)
    return view, extract_crops(view, CONTENT, labels, instances, places, diameters, roll_rad), places


@pytest.mark.parametrize("gsd_m", [0.8e-3, 1.2e-3, 1.7e-3])
@pytest.mark.parametrize("number", range(3))
def test_crops_show_what_the_virtual_camera_sees(views, objects, number: int, gsd_m: float, rng) -> None:
    """Their points, moved by the true pose, are the object coordinates of a rendering by that camera."""
    known = views[number]
    view, crops, places = crops_of(known, objects, gsd_m, rng.normal(0, 0.003, (5, 3)), ROLLS)
    xyz = network_input(crops)["points"].permute(0, 2, 3, 1).numpy().astype(np.float64)
    names = list(objects)
    renderer = Renderer([objects[name].mesh for name in names])
    for b, (name, T_cam_obj) in enumerate(zip(known.object_ids, known.T_cam_obj, strict=True)):
        diameter, distance = objects[name].diameter_m, np.linalg.norm(places[b])
        T_cam_crop = from_rotation_translation(crops.R_cam_crop[b], np.zeros(3))
        T_crop_obj = inverse(T_cam_crop) @ T_cam_obj
        focal = CROP_PX * distance / (CROP_DIAMETERS * diameter)
        intrinsics = np.array([[focal, focal, (CROP_PX - 1) / 2, (CROP_PX - 1) / 2]])
        rendering = renderer.crops(np.array([names.index(name)]), T_crop_obj[None], intrinsics, CROP_PX, CROP_PX)
        expected = rendering.object_coordinates[0]
        mask = (crops.flags[b] & MASK) > 0
        assert (mask & rendering.mask[0]).sum() > 0.9 * (mask | rendering.mask[0]).sum()
        both = mask & rendering.mask[0]
        points = transform(inverse(T_crop_obj), xyz[b][both] * diameter + [0, 0, distance])
        error = np.linalg.norm(points - expected[both], axis=-1)
        assert error.mean() < 0.7 * max(view.gsd_m, 0.55 / known.frame.camera.fx)


def test_normals_are_turned_with_the_camera(views, objects) -> None:
    known = views[0]
    _, crops, _ = crops_of(known, objects, 1e-3, np.zeros((5, 3)), ROLLS)
    normals = network_input(crops)["normals"].permute(0, 2, 3, 1).numpy()
    for b, (name, T_cam_obj) in enumerate(zip(known.object_ids, known.T_cam_obj, strict=True)):
        if name == "rod":
            continue
        mask = ((crops.flags[b] & MASK) > 0) & (np.linalg.norm(normals[b], axis=-1) > 0.9)
        n_obj = normals[b][mask] @ (crops.R_cam_crop[b].T @ T_cam_obj[:3, :3])
        # All faces of block and bracket are square to their axes.
        assert np.median(np.abs(n_obj).max(-1)) > 0.98


def test_the_virtual_camera_looks_at_the_centre(rng: np.random.Generator) -> None:
    centers, rolls = rng.normal([0, 0, 0.6], 0.2, (20, 3)), rng.uniform(-np.pi, np.pi, 20)
    R_cam_crop = look_at(centers, rolls)
    forward = centers / np.linalg.norm(centers, axis=1, keepdims=True)
    np.testing.assert_allclose(R_cam_crop[:, :, 2], forward, atol=1e-12)
    np.testing.assert_allclose(
        R_cam_crop @ R_cam_crop.transpose(0, 2, 1), np.broadcast_to(np.eye(3), (20, 3, 3)), atol=1e-12
    )
    assert (np.linalg.det(R_cam_crop) > 0).all()
    # The roll turns it about its own axis.
    level = look_at(centers, np.zeros(20))
    between = level.transpose(0, 2, 1) @ R_cam_crop
    np.testing.assert_allclose(np.arctan2(between[:, 1, 0], between[:, 0, 0]), rolls, atol=1e-9)


def test_the_input_is_finite_and_bounded(views, objects) -> None:
    frame = views[0].frame
    seen = np.random.default_rng(0).random(frame.depth_m.shape) > 0.5
    noisy = replace(views[0], frame=replace(frame, depth_m=frame.depth_m * seen))
    _, crops, _ = crops_of(noisy, objects, 1e-3, np.zeros((5, 3)), ROLLS)
    x = network_input(crops).x
    assert x.shape == (5, CONTENT.channels, CROP_PX, CROP_PX) and x.dtype == torch.float32
    assert torch.isfinite(x).all() and x.abs().max() <= 2
    assert x[:, :3].abs().max() <= REACH_DIAMETERS + 1e-6
    valid, mask = x[:, 3], x[:, 4]
    assert set(valid.unique().tolist()) <= {0.0, 1.0} and set(mask.unique().tolist()) <= {0.0, 1.0}
    assert not (x[:, :3].abs().sum(1) * (1 - valid)).any()
    np.testing.assert_array_equal(valid.numpy() > 0, (crops.flags & VALID) > 0)


def test_beyond_the_image_there_is_nothing(views, objects) -> None:
    known = views[0]
    _, crops, _ = crops_of(known, objects, 1e-3, np.array([0.5, 0, 0]), np.zeros(5))
    gone = ~(crops.flags > 0).any((1, 2))
    assert gone.any() and not network_input(crops).x[gone, :5].any()


def test_the_mask_is_of_the_crops_own_part(views, objects) -> None:
    known = views[0]
    view = make_working_view(known.frame, 1e-3, 640 * 480)
    labels = np.zeros(view.depth_m.shape, np.int32)
    centers = np.tile([[0.0, 0.0, 0.55]], (2, 1))
    crops = extract_crops(view, CONTENT, labels, np.array([0, 1]), centers, np.array([0.05, 0.05]))
    assert (crops.flags[0] & MASK).all() and not (crops.flags[1] & MASK).any()


def test_crops_are_taken_and_joined_by_index(views, objects) -> None:
    _, crops, _ = crops_of(views[0], objects, 1e-3, np.zeros((5, 3)), ROLLS)
    joined = concatenate([crops[2:], crops[np.array([0, 1])]])
    assert len(joined) == len(crops) == 5
    np.testing.assert_array_equal(network_input(joined).x, network_input(crops[np.array([2, 3, 4, 0, 1])]).x)
    np.testing.assert_array_equal(joined.R_cam_crop[3], crops.R_cam_crop[0])


def test_brightness_knows_no_exposure() -> None:
    luma = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
    contrast = local_contrast(luma)
    torch.testing.assert_close(local_contrast(luma + 0.3), contrast, rtol=1e-4, atol=1e-5)
    assert (local_contrast(0.5 * luma) * contrast > 0).float().mean() > 0.98
    assert local_contrast(torch.full((1, 8, 8), 0.4)).abs().max() < 1e-4


def images_of(known, objects, content: CropContent) -> tuple[Crops, dict[str, torch.Tensor]]:
    view = make_working_view(known.frame, 1e-3, 640 * 480)
    labels, instances = view.labels(known.instance_ids), np.arange(5, dtype=np.int32)
    centers = np.array(
        [transform(T, objects[n].center_m[None])[0] for n, T in zip(known.object_ids, known.T_cam_obj, strict=True)]
    )
    diameters = np.array([objects[n].diameter_m for n in known.object_ids])
    crops = extract_crops(view, content, labels, instances, centers, diameters, ROLLS)
    inputs = network_input(crops)
    return crops, {name: inputs[name] for name in content.names}


@pytest.mark.parametrize("name", CHANNELS)
def test_an_image_is_the_same_whatever_else_is_carried(views, objects, name: str) -> None:
    """And nothing else is computed."""
    _, all_of_them = images_of(views[0], objects, CropContent(tuple(CHANNELS)))
    crops, alone = images_of(views[0], objects, CropContent((name,)))
    assert torch.equal(alone[name], all_of_them[name])
    made = {image for image in ("depth", "normals", "luma", "rgb") if getattr(crops, image).size}
    assert made == {name.replace("points", "depth")} - {"valid", "mask"}
    joined = concatenate([crops[3:], crops[:3]]).turned(1)
    assert torch.equal(network_input(joined[np.array([2])]).x, network_input(crops[:1].turned(1)).x)


def test_colours_are_those_of_the_pixels(views, objects) -> None:
    frame = replace(views[0].frame, color=np.full_like(views[0].frame.color, (10, 20, 30)))
    _, images = images_of(replace(views[0], frame=frame), objects, CropContent(("mask", "rgb")))
    on_part = images["mask"][:, 0] > 0
    for channel, value in enumerate((10, 20, 30)):
        torch.testing.assert_close(images["rgb"][:, channel][on_part].unique(), torch.tensor([value / 255.0]))


def test_larger_crops_show_more_at_the_same_resolution(views, objects) -> None:
    small = CropContent(("points", "mask"))
    large = replace(small, size_px=2 * small.size_px, diameters=2 * small.diameters)
    (_, inner), (_, outer) = (images_of(views[0], objects, content) for content in (small, large))
    edge = small.size_px // 2
    torch.testing.assert_close(outer["points"][..., edge:-edge, edge:-edge], inner["points"])
    assert (outer["mask"].sum((1, 2, 3)) >= inner["mask"].sum((1, 2, 3))).all()
