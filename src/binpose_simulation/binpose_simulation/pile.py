"""Which parts lie in which bins, and how: the content of a scene after physics."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from manifold3d import Manifold

from binpose_core.catalogue import ObjectModel
from binpose_core.errors import BinposeError
from binpose_core.geometry import FloatArray
from binpose_core.meshes import Mesh
from binpose_core.rendering import Renderer
from binpose_simulation import bins
from binpose_simulation import parts as library
from binpose_simulation.gbuffer import SmoothMeshes, smooth_corner_normals
from binpose_simulation.given_bins import bin_of_mesh, bin_of_size, capacity, check_room
from binpose_simulation.mesh_bins import MeshBin
from binpose_simulation.physics import convex_pieces, settle
from binpose_simulation.viewpoint import check_range, check_share

OnPart = Callable[[int, int, str], None]
"""Called with a part's number from 1 on, how many there are, and its id."""
BIN_GAP_M = 0.012
# Diameters of unknown parts relative to the known ones, among them and in a bin of their own.
DISTRACTOR_SIZES, STRANGER_SIZES = (0.5, 1.3), (0.5, 2.5)
STRETCHED_SHARE, STRETCH = 0.5, (1.4, 3.0)


@dataclass(frozen=True)
class ContentConfig:
    """What lies in the bins.

    parts: smallest and largest number of parts in the scene.
    mixed_share: bins with several part types; the others hold one type.
    types: smallest and largest number of part types in a mixed bin.
    distractor_share: bins that also hold parts of no known type; distractors: how many.
    row_share: scenes with several bins side by side; row: how many.
    stranger_share: bins of a row that hold nothing but copies of one unknown part, beside at least one of known parts.
    max_faces: level of detail of the meshes; max_pieces: convex pieces per part for the physics.
    bin_size_m: inner length, width and height of every bin; bin_mesh: file with the mesh of every bin, in bin_unit (mm,
        cm, m or in). Without the two, bins are drawn at random around their content. A given bin takes fewer parts
        where it is full to the rim with them.
    """

    parts: tuple[int, int] = (5, 22)
    mixed_share: float = 0.75
    types: tuple[int, int] = (2, 6)
    distractor_share: float = 0.4
    distractors: tuple[int, int] = (1, 4)
    row_share: float = 0.35
    row: tuple[int, int] = (2, 4)
    stranger_share: float = 0.25
    max_faces: int = 2500
    max_pieces: int = 8
    bin_size_m: tuple[float, float, float] | None = None
    bin_mesh: str | None = None
    bin_unit: str = "mm"

    def __post_init__(self) -> None:
        name = type(self).__name__
        check_range(name, "parts", self.parts, 1, 500)
        check_range(name, "types", self.types, 1, 1000)
        check_range(name, "distractors", self.distractors, 0, 100)
        check_range(name, "row", self.row, 1, 10)
        for share in ("mixed_share", "distractor_share", "row_share", "stranger_share"):
            check_share(name, share, getattr(self, share))
        if self.max_faces < 20 or self.max_pieces < 1:
            raise BinposeError(f"{name}: max_faces >= 20 and max_pieces >= 1, got {self.max_faces}, {self.max_pieces}.")
        if self.bin_size_m is not None:
            bin_of_size(self.bin_size_m)
            if self.bin_mesh is not None:
                raise BinposeError(
                    f"A bin of size {self.bin_size_m} and of mesh {self.bin_mesh}; expected one of them; leave one out."
                )

    def given_bin(self, like: bins.BinSpec | None = None) -> bins.BinSpec | MeshBin | None:
        """The bin of the settings, None for random ones; one given by its size is made `like` another one.

        Raises:
            BinposeError: for a mesh that cannot be read, or is no open box.
        """
        if self.bin_mesh is not None:
            return bin_of_mesh(self.bin_mesh, self.bin_unit)
        return None if self.bin_size_m is None else bin_of_size(self.bin_size_m, like)


@dataclass(frozen=True)
class PreparedPart:
    """A part ready for physics and shading; made once, it pickles to the workers."""

    object_id: str
    mesh: Mesh
    corner_normals: npt.NDArray[np.float32]
    pieces: tuple[Mesh, ...]
    diameter_m: float
    axis: FloatArray


@dataclass(frozen=True)
class Pile:
    """Settled parts, distractors and bins; the known parts come first.

    mesh_ids: (M,) indices of the renderer's meshes. T_world_obj: (M, 4, 4) float64.
    groups: (M,) bodies of one group share a material: "part:<id>", "distractor:<n>", "bin:<n>".
    object_ids: (N,) of the known parts, the first N bodies. diameters_m (N,).
    axes: (M, 3) axis of each body about which it would be turned on a lathe, object frame.
    bin_boxes: (K, 2, 3) lowest and highest corner of each bin's outside in the world.
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


def prepare_parts(
    objects: Mapping[str, ObjectModel], config: ContentConfig, on_part: OnPart | None = None
) -> dict[str, PreparedPart]:
    """Level of detail, smooth normals and convex pieces of every part: seconds per part, the first time.

    Args:
        objects: the parts by id.
        config: how finely they are prepared.
        on_part: called before each part.

    Raises:
        BinposeError: for no objects.
    """
    if not objects:
        raise BinposeError("No objects to simulate; expected at least one part: add it with `binpose add`.")
    prepared = {}
    for number, (object_id, model) in enumerate(objects.items(), start=1):
        if on_part:
            on_part(number, len(objects), object_id)
        prepared[object_id] = _prepared(model, config)
    return prepared


def _prepared(model: ObjectModel, config: ContentConfig) -> PreparedPart:
    mesh = model.lod(config.max_faces)
    continuous = model.symmetries.continuous
    axis = np.asarray(continuous[0].axis, np.float64) if continuous else _longest_axis(mesh)
    pieces = tuple(convex_pieces(mesh, config.max_pieces))
    return PreparedPart(model.id, mesh, smooth_corner_normals(mesh), pieces, model.diameter_m, axis)


def _longest_axis(mesh: Mesh) -> FloatArray:
    return np.eye(3)[np.ptp(mesh.vertices, axis=0).argmax()]


def simulate_pile(
    rng: np.random.Generator,
    objects: Mapping[str, ObjectModel] | Mapping[str, PreparedPart],
    config: ContentConfig | None = None,
) -> Pile:
    """Draw bins and their content and let the parts fall.

    Args:
        rng: source of randomness.
        objects: the known parts by id, all equally likely. `prepare_parts` makes the second form,
            which saves seconds when many piles are made.
        config: what may lie where.

    Raises:
        BinposeError: for no objects, or a given bin that is none or too small for them.
    """
    config = config or ContentConfig()
    parts = as_prepared(objects, config)
    count = int(rng.integers(config.row[0], config.row[1] + 1)) if rng.random() < config.row_share else 1
    total = int(rng.integers(config.parts[0], config.parts[1] + 1))
    types = [_types(rng, list(parts.values()), max(1, total // count), config) for _ in range(count)]
    for k in range(1, count):
        if rng.random() < config.stranger_share:
            types[k] = [_stranger(rng, types[k])]
    numbers = _numbers(rng, types, total)
    given = config.given_bin()
    if given is not None:
        most = [capacity(_floor(given), _diameters_m(chosen)) for chosen in types]
        numbers = [min(pair) for pair in zip(numbers, most, strict=True)]
    contents = [_content(rng, chosen, n, config) for chosen, n in zip(types, numbers, strict=True)]
    return _assemble(rng, contents, config)


def _numbers(rng: np.random.Generator, types: Sequence[Sequence[PreparedPart]], total: int) -> list[int]:
    """How many parts lie in each bin: bins of a row are alike, so that of large parts hold fewer."""
    room = np.array([rng.uniform(0.5, 1.5) / np.mean([part.diameter_m**2 for part in chosen]) for chosen in types])
    numbers = np.maximum(np.round(total * room / room.sum()), 1)
    return [max(int(number), len(chosen)) for number, chosen in zip(numbers, types, strict=True)]


def as_prepared(
    objects: Mapping[str, ObjectModel] | Mapping[str, PreparedPart],
    config: ContentConfig,
    on_part: OnPart | None = None,
) -> Mapping[str, PreparedPart]:
    """The parts ready for the simulation, prepared only where that has not happened yet.

    Raises:
        BinposeError: for no objects, or a given bin that is none or too small for them.
    """
    check_bin(objects, config)
    if objects and all(isinstance(part, PreparedPart) for part in objects.values()):
        return objects  # type: ignore[return-value]
    return prepare_parts(objects, config, on_part)  # type: ignore[arg-type]


def check_bin(objects: Mapping[str, ObjectModel] | Mapping[str, PreparedPart], config: ContentConfig) -> None:
    """Refuse a given bin that is none, or too small for a part; random ones fit.

    Raises:
        BinposeError: saying what is wrong with it.
    """
    given = config.given_bin()
    if given is not None:
        check_room(_floor(given), objects)


def _types(
    rng: np.random.Generator, parts: Sequence[PreparedPart], number: int, config: ContentConfig
) -> list[PreparedPart]:
    """The types of one bin, all equally likely."""
    wanted = int(rng.integers(config.types[0], config.types[1] + 1)) if rng.random() < config.mixed_share else 1
    return [parts[i] for i in rng.permutation(len(parts))[: max(1, min(wanted, number))]]


def _content(
    rng: np.random.Generator, types: Sequence[PreparedPart], number: int, config: ContentConfig
) -> list[PreparedPart]:
    """Known parts, as many of each type, and distractors of one bin."""
    content = [types[i % len(types)] for i in range(number)]
    if rng.random() < config.distractor_share:
        diameter_m = _median_diameter_m(content)
        wanted = int(rng.integers(config.distractors[0], config.distractors[1] + 1))
        content += [_distractor(rng, diameter_m, DISTRACTOR_SIZES) for _ in range(wanted)]
    return [content[i] for i in rng.permutation(len(content))]


def _diameters_m(parts: Sequence[PreparedPart]) -> list[float]:
    return [part.diameter_m for part in parts]


def _median_diameter_m(parts: Sequence[PreparedPart]) -> float:
    return float(np.median(_diameters_m(parts)))


def _floor(shape: bins.BinSpec | MeshBin) -> bins.BinSpec:
    """The measures of a bin."""
    return shape.spec if isinstance(shape, MeshBin) else shape


def _stranger(rng: np.random.Generator, types: Sequence[PreparedPart]) -> PreparedPart:
    """An unknown part with a bin of its own: of any kind, or a longer sister of a known one, as pins have in rods."""
    if rng.random() < STRETCHED_SHARE:
        return _stretched(types[int(rng.integers(len(types)))], rng.uniform(*STRETCH))
    return _distractor(rng, _median_diameter_m(types), STRANGER_SIZES)


def _stretched(part: PreparedPart, factor: float) -> PreparedPart:
    """The part drawn out along its longest axis; convex pieces stay convex."""
    scale = np.where(_longest_axis(part.mesh) > 0, factor, 1.0)
    mesh, *pieces = (Mesh((m.vertices * scale).astype(np.float32), m.faces) for m in (part.mesh, *part.pieces))
    size_m = float(np.linalg.norm(np.ptp(mesh.vertices, axis=0)))
    return PreparedPart("", mesh, smooth_corner_normals(mesh), tuple(pieces), size_m, part.axis)


def _distractor(rng: np.random.Generator, diameter_m: float, sizes: tuple[float, float]) -> PreparedPart:
    """A part of no known type, at `sizes` times the diameter of the known ones; its hull collides."""
    mesh = library.make_distractor(rng)
    size_m = diameter_m * rng.uniform(*sizes)
    scale = size_m / np.linalg.norm(np.ptp(mesh.vertices, axis=0))
    mesh = Mesh((mesh.vertices * scale).astype(np.float32), mesh.faces)
    hull = Manifold.hull_points(mesh.vertices).to_mesh()
    piece = Mesh(np.asarray(hull.vert_properties[:, :3], np.float32), np.asarray(hull.tri_verts, np.int32))
    return PreparedPart("", mesh, smooth_corner_normals(mesh), (piece,), size_m, _longest_axis(mesh))


def _assemble(rng: np.random.Generator, contents: Sequence[Sequence[PreparedPart]], config: ContentConfig) -> Pile:
    """Settle each bin's content by itself, then stand the bins side by side along x."""
    fullest = max(contents, key=lambda content: sum(part.diameter_m**2 for part in content))
    random = bins.random_bin(rng, _diameters_m(fullest), len(fullest))
    shape = config.given_bin(like=random) or random
    bin_mesh = shape.mesh if isinstance(shape, MeshBin) else bins.make_bin_mesh(shape)
    low, high = bin_mesh.vertices.min(0).astype(np.float64), bin_mesh.vertices.max(0).astype(np.float64)
    axis = int(rng.random() < 0.8)  # storage bins open towards x and stand side by side along y
    step = (high - low)[axis] + rng.uniform(0.0, BIN_GAP_M)
    known: list[tuple[PreparedPart, FloatArray]] = []
    strangers: list[tuple[PreparedPart, FloatArray]] = []
    boxes = []
    for k, content in enumerate(contents):
        shift = np.zeros(3)
        shift[axis] = (k - (len(contents) - 1) / 2) * step
        boxes.append(np.stack([low + shift, high + shift]))
        settled = settle([part.pieces for part in content], shape, rng)
        settled.T_world_obj[:, :3, 3] += shift
        for part, T_world_obj, kept in zip(content, settled.T_world_obj, settled.kept, strict=True):
            if kept:
                (known if part.object_id else strangers).append((part, T_world_obj))
    return _packed(known, strangers, bin_mesh, np.array(boxes))


def _packed(
    known: list[tuple[PreparedPart, FloatArray]],
    strangers: list[tuple[PreparedPart, FloatArray]],
    bin_mesh: Mesh,
    boxes: FloatArray,
) -> Pile:
    box = PreparedPart("", bin_mesh, smooth_corner_normals(bin_mesh), (), 0.0, np.array([0.0, 0.0, 1.0]))
    placed = [(box, _translation(low, bin_mesh)) for low, _ in boxes]
    bodies = [*known, *strangers, *placed]
    meshes: dict[int, PreparedPart] = {}
    for part, _ in bodies:
        meshes.setdefault(id(part), part)
    index = {key: i for i, key in enumerate(meshes)}
    groups = [f"part:{part.object_id}" for part, _ in known]
    groups += [f"distractor:{index[id(part)]}" for part, _ in strangers] + [f"bin:{i}" for i in range(len(boxes))]
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
    )


def _translation(low: FloatArray, mesh: Mesh) -> FloatArray:
    T_world_obj = np.eye(4)
    T_world_obj[:3, 3] = low - mesh.vertices.min(0)
    return T_world_obj
