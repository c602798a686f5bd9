"""Relative names of a camera's topics."""

COLOR_TOPIC = "color/image_raw"
INFO_TOPIC = "color/camera_info"
DEPTH_TOPIC = "aligned_depth_to_color/image_raw"
