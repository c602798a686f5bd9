"""What all packages share: frames, meshes, rendering, parts, evaluation, data sets and the model store.

Its modules are its public interface: import what you need from them, for example
`binpose_core.frames.rgbd_frame.RgbdFrame`.

Importing it sets where numba keeps compiled kernels, as numba must know before it is imported.
"""

from binpose_core.base.cache import use_kernel_cache

use_kernel_cache()
