from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from binpose_core.base.errors import BinposeError
from binpose_core.geometry.transforms import from_rotation_translation, random_rotation
from binpose_core.parts.catalogue import GRASPS, Catalogue, objects_from_tensors, objects_to_tensors
from binpose_core.parts.grasps import GraspSet, grasp_arrays, grasps_from_arrays
from binpose_core.parts.objects import ObjectModel


def grasps(rng: np.random.Generator, part: str = "", count: int = 4) -> GraspSet:
    T = from_rotation_translation(random_rotation(rng, (count,)), rng.uniform(-0.05, 0.05, (count, 3)))
    tool = np.zeros(count, np.uint8)
    return GraspSet(
        T, rng.uniform(0, 0.08, count), rng.random(count), rng.random(count), rng.random((count, 2, 3)), tool,
        {"part": part, "gripper": {"opening_m": 0.08}},
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("catalogue")
    trimesh.creation.box((0.03, 0.02, 0.01)).export(folder / "box.stl")
    Catalogue(folder / "objects").add(folder / "box.stl", "box", "m")
    return folder


@pytest.fixture
def part(folder: Path) -> ObjectModel:
    return Catalogue(folder / "objects").load("box", with_grasps=False)


def equal(a: GraspSet, b: GraspSet) -> bool:
    theirs = grasp_arrays(b)
    return dict(a.info) == dict(b.info) and all(np.array_equal(v, theirs[k]) for k, v in grasp_arrays(a).items())


def test_the_catalogue_gives_back_what_was_stored(folder: Path, part: ObjectModel, rng: np.random.Generator) -> None:
    catalogue, some = Catalogue(folder / "objects"), grasps(rng, part.digest)
    assert part.grasps is None
    catalogue.store_grasps("box", some, b"picture")
    loaded = catalogue.load("box")
    assert loaded.grasps is not None and equal(loaded.grasps, some)
    assert loaded.digest == part.digest


def test_a_model_stores_grasps_with_its_parts(part: ObjectModel, rng: np.random.Generator) -> None:
    some = grasps(rng, part.digest)
    again = objects_from_tensors(*objects_to_tensors([replace(part, grasps=some), part]))
    assert again[0].grasps is not None and equal(again[0].grasps, some)
    (alone,) = objects_from_tensors(*objects_to_tensors([part]))
    assert alone.grasps is None


def test_grasps_of_another_mesh_and_damaged_ones_name_the_command(
    folder: Path, part: ObjectModel, rng: np.random.Generator
) -> None:
    catalogue = Catalogue(folder / "objects")
    catalogue.store_grasps("box", grasps(rng, "another"))
    with pytest.raises(BinposeError, match="of another mesh or other symmetries of 'box'; make them again with `bin"):
        catalogue.load("box")
    (folder / "objects/box" / GRASPS).write_bytes(b"damaged")
    with pytest.raises(BinposeError, match="expected what `binpose grasps` writes; make them again with `binp"):
        catalogue.load("box")
    catalogue.store_grasps("box", grasps(rng, part.digest))
    assert catalogue.load("box").grasps is not None


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("quality", 1.5, "Grasp 1 has the quality 1.5; expected 0 to 1"),
        ("success", -0.1, "Grasp 1 has the success -0.1; expected 0 to 1"),
        ("width_m", 3.0, "Grasp 1 has the width 3 m; expected 0 to 1 m"),
        ("width_m", np.nan, "Grasp 1 holds a number that is not finite"),
        ("tool", 7, "Grasp 1 has the tool 7; expected 0 to 1"),
        ("T_obj_hand", 2 * np.eye(4), "Grasp 1 has a T_obj_hand that is no rigid motion"),
        ("T_obj_hand", np.diag([1, 1, -1, 1]), "Grasp 1 has a T_obj_hand that is no rigid motion"),
    ],
)
def test_arrays_that_are_no_grasps_are_refused(
    rng: np.random.Generator, name: str, value: object, sentence: str
) -> None:
    arrays = {key: array.copy() for key, array in grasp_arrays(grasps(rng)).items()}
    arrays[name][1] = value
    with pytest.raises(BinposeError, match=sentence):
        grasps_from_arrays(arrays, {})


def test_missing_arrays_and_wrong_shapes_are_refused(rng: np.random.Generator) -> None:
    arrays = grasp_arrays(grasps(rng))
    with pytest.raises(BinposeError, match=r"GraspSet.width_m has the shape \(3,\); expected \(4,\)"):
        grasps_from_arrays({**arrays, "width_m": arrays["width_m"][:3]}, {})
    del arrays["tool"]
    with pytest.raises(BinposeError, match="Stored grasps lack tool; expected what `binpose grasps` writes"):
        grasps_from_arrays(arrays, {})


def test_taking_joining_and_ordering(rng: np.random.Generator) -> None:
    some = grasps(rng)
    ordered = some.best_first()
    assert (np.diff(ordered.quality) <= 0).all()
    assert equal(some.take(np.array([0, 1])).joined(some.take(np.array([2, 3]))), some)
    assert len(GraspSet.none()) == 0
