import numpy as np

from binpose_refinement.hypothesis_batch import HypothesisBatch, PartRenderer
from binpose_refinement.kernels import evidence as e
from binpose_refinement.observation import observe


def test_the_tally_agrees_with_its_numpy_twin(parts, pile):
    part_renderer = PartRenderer(parts, (5000,))
    part = np.array([part_renderer.ids.index(name) for name in pile.ids], np.int64)
    shifted = pile.T_cam_obj.copy()
    shifted[:, :3, 3] += (0.006, 0.002, -0.001)
    batch = HypothesisBatch(np.arange(len(part)), part, shifted, np.ones(len(part)))
    seen, tolerance, size = observe(pile.frame, pile.detections, 2e-4), 0.002, 96
    windows = part_renderer.windows(batch, seen.camera, size, whole_steps=True)
    drawn = part_renderer.draw(batch, 0, windows, seen.camera, size)
    tally, explained = np.zeros((len(part), e.TALLIES)), np.zeros(drawn.depth_m.shape, np.uint8)
    e.tally_all(
        drawn.depth_m, drawn.face_ids, part_renderer.normals, part_renderer.first_face[part, 0], shifted, windows,
        seen.camera.intrinsics, seen.depth_m, seen.normals, seen.labels, seen.edges, batch.owner, tolerance, True,
        tally, explained,
    )  # fmt: skip
    normals = drawn.normals
    for b in range(len(part)):
        u0, v0, step = windows[b].astype(int)
        rows, columns = np.meshgrid(v0 + step * np.arange(size), u0 + step * np.arange(size), indexing="ij")
        assert rows.min() >= 0 and columns.min() >= 0 and rows.max() < 480 and columns.max() < 640
        z, zo, label = (
            drawn.depth_m[b].astype(float),
            seen.depth_m[rows, columns].astype(float),
            seen.labels[rows, columns],
        )
        rays = np.stack([(columns - 319.5) / 600, (rows - 239.5) / 600, np.ones_like(rows)], -1)
        slant = np.maximum(-(normals[b] * rays).sum(-1) / np.linalg.norm(rays, axis=-1), 0.2)
        d, both, own = (zo - z) * slant / tolerance, (z > 0) & (zo > 0), label == b
        assert tally[b, e.RENDERED] == np.count_nonzero(z > 0)
        assert np.isclose(tally[b, e.AGREED], np.clip(2 - np.abs(d), 0, 1)[both].sum(), rtol=1e-3)
        assert abs(tally[b, e.AGREED_HARD] - np.count_nonzero(both & (np.abs(d) < 1))) <= 1
        assert np.isclose(tally[b, e.VIOLATED], np.clip(d - 1, 0, 1)[both].sum(), rtol=1e-3, atol=0.01)
        assert np.isclose(tally[b, e.OCCLUDED], np.clip(-d - 1, 0, 1)[both & ~own].sum(), rtol=1e-3, atol=0.01)
        assert tally[b, e.UNKNOWN] == np.count_nonzero((z > 0) & (zo == 0) & ~own)
        assert tally[b, e.MASK_DRAWN] == np.count_nonzero((z > 0) & own)
        assert tally[b, e.MASK_DEPTH] == np.count_nonzero((zo > 0) & own)
        assert explained[b].sum() == tally[b, e.AGREED_HARD]
