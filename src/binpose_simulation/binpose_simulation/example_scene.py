"""The scene of the demo and of the simulated camera."""

from binpose_simulation.appearance import AppearanceConfig
from binpose_simulation.content_config import ContentConfig
from binpose_simulation.scene import SceneConfig
from binpose_simulation.viewpoint import ViewpointConfig


def example_scene() -> SceneConfig:
    """One full bin of several types, seen slightly from the side in room light."""
    return SceneConfig(
        content=ContentConfig(parts=(12, 18), mixed_share=1.0, types=(5, 8), distractor_share=0.0, row_share=0.0),
        viewpoint=ViewpointConfig(
            fov_rad=(0.7, 0.9),
            part_size_px=(120.0, 145.0),
            tilt_rad=0.5,
            steep_share=0.0,
            aim=0.1,
            roll_aligned_share=1.0,
        ),
        appearance=AppearanceConfig(projector_lit_share=0.0, room_level=(0.4, 0.8)),
        views_per_pile=2,
        breadboard_share=0.0,
    )
