# mypy: disable-error-code="no-untyped-def"
"""The gradient of the gray image."""

from numba import njit, prange


@njit(parallel=True, cache=True)
def image_gradient(gray, needed, edges):
    """Sobel gradient (H, W, 2) in gray levels per pixel, where `needed`."""
    height, width = gray.shape
    for v in prange(1, height - 1):
        for u in range(1, width - 1):
            if not needed[v, u]:
                continue
            a, b, c = float(gray[v - 1, u - 1]), float(gray[v - 1, u]), float(gray[v - 1, u + 1])
            d, f = float(gray[v, u - 1]), float(gray[v, u + 1])
            g, h, i = float(gray[v + 1, u - 1]), float(gray[v + 1, u]), float(gray[v + 1, u + 1])
            edges[v, u, 0] = (c + 2 * f + i - a - 2 * d - g) / 8
            edges[v, u, 1] = (g + 2 * h + i - a - 2 * b - c) / 8
