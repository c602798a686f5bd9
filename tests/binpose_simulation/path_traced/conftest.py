from dataclasses import replace

import pytest

from binpose_simulation.path_traced.config import PathTracedConfig, StereoConfig

SMALLEST = PathTracedConfig(
    cell=1, samples=2, max_depth=3, variant="scalar_rgb", stereo=StereoConfig(samples=1, max_depth=2, speckle_px=4)
)


@pytest.fixture(scope="session")
def tiny(small):
    """A configuration of views of 64x48 pixels."""
    return replace(small, viewpoint=replace(small.viewpoint, width=64, height=48, part_size_px=(10, 16)))


@pytest.fixture(scope="session")
def traced():
    """Settings of the path tracer with the fewest paths."""
    pytest.importorskip("mitsuba", reason="needs the extra: pip install 'binpose[path_traced]'")
    pytest.importorskip("pyoidn", reason="needs the extra: pip install 'binpose[path_traced]'")
    return SMALLEST
