"""The content of a scene after physics: parts, distractors and bins with their poses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from binpose_core.geometry.transforms import FloatArray
from binpose_core.meshes.mesh import Mesh
from binpose_core.parts.catalogue import ObjectModel
from binpose_core.rendering.renderer import Renderer
from binpose_simulation import bins
from binpose_simulation.content_config import ContentConfig
from binpose_simulation.gbuffer import SmoothMeshes, smooth_corner_normals
from binpose_simulation.given_bins import capacity, floor_of
from binpose_simulation.mesh_bins import MeshBin
from binpose_simulation.physics import settle
from binpose_simulation.prepared_parts import PreparedPart, as_prepared
from binpose_simulation.unknown_parts import distractor, unknown_part

BIN_GAP_M = 0.012


@dataclass(frozen=True)
class Pile:
    """Settled parts, distractors and bins; the known parts come first.

    mesh_ids: (M,) indices of the renderer's meshes. T_world_obj: (M, 4, 4) float64.
    groups: (M,) bodies of one group have the same material: "part:<id>", "distractor:<n>", "bin:<n>".
    object_ids: (N,) of the known parts, the first N bodies. diameters_m (N,).
    axes: (M, 3) axis of rotation of each body's material (turning grooves), object frame.
    bin_boxes: (K, 2, 3) lowest and highest corner of each bin's outside in the world; bins are the last K bodies.
    sides: walls and floor of every bin, in the bin's frame.
    """

    renderer: Renderer
    smooth: SmoothMeshes
    mesh_ids: npt.NDArray[np.int64]
    T_world_obj: FloatArray
    groups: tuple[str, ...]
    object_ids: tuple[str, ...]
    diameters_m: FloatArray
    axes: FloatArray
    bin_boxes: FloatArray
    sides: tuple[bins.Wall, ...]

    @cached_property
    def bounds(self) -> npt.NDArray[np.float32]:
        """(M, 2, 3) lowest and highest corner of each body, object frame."""
        each = [(mesh.vertices.min(0), mesh.vertices.max(0)) for mesh in self.renderer.meshes]
        return np.array(each, np.float32).reshape(-1, 2, 3)[self.mesh_ids]


def simulate_pile(
    rng: np.random.Generator,
    objects: Mapping[str, ObjectModel] | Mapping[str, PreparedPart],
    config: ContentConfig | None = None,
) -> Pile:
    """Draw bins and their content at random and simulate the physics.

    Args:
        rng: random number generator.
        objects: the known parts by id, all equally likely. `prepare_parts` makes the second form,
            which saves seconds when many piles are made.
        config: content of the bins.

    Raises:
        BinposeError: for no objects, or a given bin that is invalid or too small for them.
    """
    config = config or ContentConfig()
    parts = as_prepared(objects, config)
    count = int(rng.integers(config.row[0], config.row[1] + 1)) if rng.random() < config.row_share else 1
    total = int(rng.integers(config.parts[0], config.parts[1] + 1))
    types = [_types(rng, list(parts.values()), max(1, total // count), config) for _ in range(count)]
    for k in range(1, count):
        if rng.random() < config.stranger_share:
            types[k] = [unknown_part(rng, types[k], _median_diameter_m(types[k]))]
    numbers = _numbers(rng, types, total)
    given = config.given_bin()
    if given is not None:
        most = [capacity(floor_of(given), _diameters_m(chosen)) for chosen in types]
        numbers = [min(pair) for pair in zip(numbers, most, strict=True)]
    contents = [_content(rng, chosen, n, config) for chosen, n in zip(types, numbers, strict=True)]
    return _assemble(rng, contents, config)


def _numbers(rng: np.random.Generator, types: Sequence[Sequence[PreparedPart]], total: int) -> list[int]:
    """The number of parts in each bin: bins of a row have equal size, so bins of large parts hold fewer."""
    room = np.array([rng.uniform(0.5, 1.5) / np.mean([part.diameter_m**2 for part in chosen]) for chosen in types])
    numbers = np.maximum(np.round(total * room / room.sum()), 1)
    return [max(int(number), len(chosen)) for number, chosen in zip(numbers, types, strict=True)]


def _types(
    rng: np.random.Generator, parts: Sequence[PreparedPart], number: int, config: ContentConfig
) -> list[PreparedPart]:
    """The types of one bin, all equally likely."""
    wanted = int(rng.integers(config.types[0], config.types[1] + 1)) if rng.random() < config.mixed_share else 1
    return [parts[i] for i in rng.permutation(len(parts))[: max(1, min(wanted, number))]]


def _content(
    rng: np.random.Generator, types: Sequence[PreparedPart], number: int, config: ContentConfig
) -> list[PreparedPart]:
    """The known parts of one bin, equally many of each type, and its distractors."""
    content = [types[i % len(types)] for i in range(number)]
    if rng.random() < config.distractor_share:
        diameter_m = _median_diameter_m(content)
        wanted = int(rng.integers(config.distractors[0], config.distractors[1] + 1))
        content += [distractor(rng, diameter_m) for _ in range(wanted)]
    return [content[i] for i in rng.permutation(len(content))]


def _diameters_m(parts: Sequence[PreparedPart]) -> list[float]:
    return [part.diameter_m for part in parts]


def _median_diameter_m(parts: Sequence[PreparedPart]) -> float:
    return float(np.median(_diameters_m(parts)))


def _assemble(rng: np.random.Generator, contents: Sequence[Sequence[PreparedPart]], config: ContentConfig) -> Pile:
    """Settle each bin's content separately, then place the bins side by side along x."""
    fullest = max(contents, key=lambda content: sum(part.diameter_m**2 for part in content))
    random = bins.random_bin(rng, _diameters_m(fullest), len(fullest))
    shape = config.given_bin(like=random) or random
    bin_mesh = shape.mesh if isinstance(shape, MeshBin) else bins.make_bin_mesh(shape)
    low, high = bin_mesh.vertices.min(0).astype(np.float64), bin_mesh.vertices.max(0).astype(np.float64)
    axis = int(rng.random() < 0.8)  # storage bins open towards x and are placed side by side along y
    step = (high - low)[axis] + rng.uniform(0.0, BIN_GAP_M)
    known: list[tuple[PreparedPart, FloatArray]] = []
    unknown: list[tuple[PreparedPart, FloatArray]] = []
    boxes = []
    for k, content in enumerate(contents):
        shift = np.zeros(3)
        shift[axis] = (k - (len(contents) - 1) / 2) * step
        boxes.append(np.stack([low + shift, high + shift]))
        settled = settle([part.pieces for part in content], shape, rng)
        settled.T_world_obj[:, :3, 3] += shift
        for part, T_world_obj, kept in zip(content, settled.T_world_obj, settled.kept, strict=True):
            if kept:
                (known if part.object_id else unknown).append((part, T_world_obj))
    return packed(known, unknown, bin_mesh, np.array(boxes), bins.bin_sides(floor_of(shape)))


def packed(
    known: Sequence[tuple[PreparedPart, FloatArray]],
    unknown: Sequence[tuple[PreparedPart, FloatArray]],
    bin_mesh: Mesh,
    boxes: FloatArray,
    sides: tuple[bins.Wall, ...],
) -> Pile:
    """A pile from settled parts with T_world_obj (4, 4); a copy of bin_mesh is at each of the boxes (K, 2, 3)."""
    box = PreparedPart("", bin_mesh, smooth_corner_normals(bin_mesh), (), 0.0, np.array([0.0, 0.0, 1.0]))
    placed = [(box, _translation(low, bin_mesh)) for low, _ in boxes]
    bodies = [*known, *unknown, *placed]
    meshes: dict[int, PreparedPart] = {}
    for part, _ in bodies:
        meshes.setdefault(id(part), part)
    index = {key: i for i, key in enumerate(meshes)}
    groups = [f"part:{part.object_id}" for part, _ in known]
    groups += [f"distractor:{index[id(part)]}" for part, _ in unknown] + [f"bin:{i}" for i in range(len(boxes))]
    return Pile(
        renderer=Renderer([part.mesh for part in meshes.values()]),
        smooth=SmoothMeshes([p.mesh for p in meshes.values()], [p.corner_normals for p in meshes.values()]),
        mesh_ids=np.array([index[id(part)] for part, _ in bodies], np.int64),
        T_world_obj=np.array([T for _, T in bodies], np.float64).reshape(-1, 4, 4),
        groups=tuple(groups),
        object_ids=tuple(part.object_id for part, _ in known),
        diameters_m=np.array([part.diameter_m for part, _ in known], np.float64),
        axes=np.array([part.axis for part, _ in bodies], np.float64).reshape(-1, 3),
        bin_boxes=boxes,
        sides=sides,
    )


def _translation(low: FloatArray, mesh: Mesh) -> FloatArray:
    T_world_obj = np.eye(4)
    T_world_obj[:3, 3] = low - mesh.vertices.min(0)
    return T_world_obj
