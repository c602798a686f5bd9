"""What may lie in the bins, and in which bins."""

from dataclasses import dataclass

from binpose_core.base.errors import BinposeError
from binpose_core.base.settings import FRACTION, check_bounds, setting
from binpose_simulation import bins
from binpose_simulation.given_bins import bin_of_mesh, bin_of_size
from binpose_simulation.mesh_bins import MeshBin
from binpose_simulation.viewpoint import check_range


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
    mixed_share: float = setting(0.75, bounds=FRACTION)
    types: tuple[int, int] = (2, 6)
    distractor_share: float = setting(0.4, bounds=FRACTION)
    distractors: tuple[int, int] = (1, 4)
    row_share: float = setting(0.35, bounds=FRACTION)
    row: tuple[int, int] = (2, 4)
    stranger_share: float = setting(0.4, bounds=FRACTION)
    max_faces: int = 2500
    max_pieces: int = 8
    bin_size_m: tuple[float, float, float] | None = None
    bin_mesh: str | None = None
    bin_unit: str = "mm"

    def __post_init__(self) -> None:
        check_bounds(self)
        name = type(self).__name__
        check_range(name, "parts", self.parts, 1, 500)
        check_range(name, "types", self.types, 1, 1000)
        check_range(name, "distractors", self.distractors, 0, 100)
        check_range(name, "row", self.row, 1, 10)
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
