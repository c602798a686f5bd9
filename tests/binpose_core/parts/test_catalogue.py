"""The folder of parts: what is added is loaded again, and what cannot be added leaves no trace."""

import json

import numpy as np
import pytest
import trimesh

from binpose_core.base.errors import BinposeError
from binpose_core.frames.image_files import read_color
from binpose_core.parts import catalogue as catalogue_module
from binpose_core.parts.catalogue import Catalogue, Symmetries
from binpose_core.parts.symmetry_picture import LABEL_PX, TILE_PX


@pytest.fixture
def box(tmp_path):
    """A box as an STL file in millimetres."""
    path = tmp_path / "box.stl"
    trimesh.creation.box((60, 40, 20)).export(path)
    return path


@pytest.fixture
def parts(tmp_path) -> Catalogue:
    return Catalogue(tmp_path / "objects")


def add(parts: Catalogue, path, id: str, **options):
    """With given symmetries: the search is tested elsewhere."""
    return parts.add(path, id, "mm", symmetries=Symmetries.none(), **options)


def test_what_is_added_is_loaded(parts, box):
    """Found symmetries, mesh and samples, from another catalogue object on the same folder."""
    added = parts.add(box, "box")
    loaded = Catalogue(parts.directory).load("box")
    assert len(loaded.symmetries.discrete) == 4
    assert np.allclose(loaded.symmetries.discrete, added.symmetries.discrete, atol=1e-15)
    assert np.array_equal(loaded.mesh.vertices, added.mesh.vertices) and np.array_equal(loaded.points, added.points)
    assert np.allclose(trimesh.load(parts.directory / "box" / "mesh.ply").extents, [0.06, 0.04, 0.02])


def test_bop_numbers(parts, box, tmp_path):
    """From the file's name, else the next free one; a number that is taken is refused, and one can be given."""
    named = tmp_path / "obj_000005.stl"
    named.write_bytes(box.read_bytes())
    assert add(parts, named, "five").bop_id == 5
    assert add(parts, box, "six").bop_id == 6
    with pytest.raises(
        BinposeError, match=r"BOP number 5 for object 'other' is that of 'five'.* --bop-id, for example 7"
    ):
        add(parts, named, "other")
    assert add(parts, named, "other", bop_id=1).bop_id == 1
    assert parts.ids() == ["other", "five", "six"] and [parts.load(id).id for id in parts.ids()] == parts.ids()


def test_zero_is_a_number(parts, box, tmp_path):
    """Data sets of BOP-Industrial begin with it; the next free number stays 1, and negative ones are refused."""
    named = tmp_path / "obj_000000.stl"
    named.write_bytes(box.read_bytes())
    assert add(parts, named, "zero").bop_id == 0 and parts.load("zero").bop_id == 0
    assert add(parts, box, "one").bop_id == 1
    assert add(parts, box, "zero", bop_id=0, replace=True).bop_id == 0
    assert add(parts, box, "zero", replace=True).bop_id == 0
    with pytest.raises(BinposeError, match=r"BOP number -1 .* is negative; expected a free number from 0 on"):
        add(parts, box, "other", bop_id=-1)


def test_a_picture_shows_the_symmetries(parts, tmp_path):
    """A row for each, and red where a near one differs: at both places of a hole."""
    plate = trimesh.creation.box((60, 40, 3)).difference(trimesh.creation.cylinder(3, 10).apply_translation([20, 0, 0]))
    plate.export(tmp_path / "plate.stl")
    steps: list[str] = []
    model = parts.add(tmp_path / "plate.stl", "plate", "mm", report=steps.append)
    picture = read_color(parts.directory / "plate" / "symmetries.png").astype(int)
    assert len(picture) == 2 * LABEL_PX + 3 * (LABEL_PX + TILE_PX)
    assert (len(model.symmetries.discrete), len(model.symmetries.near)) == (2, 2)
    red = (picture[..., 0] - picture[..., 1] > 100).any(axis=1)
    rows = red[2 * LABEL_PX :].reshape(3, -1)[:, LABEL_PX:].any(axis=1)
    assert rows.tolist() == [False, True, True]
    assert steps[0] == "reading the mesh" and "finding its symmetries" in steps


def test_very_fine_meshes_are_reduced(parts, tmp_path, monkeypatch):
    """Where that keeps the shape; the entry names what it was and how far it is off."""
    monkeypatch.setattr("binpose_core.meshes.decimation.STORED_FACES", 2000)
    ball = trimesh.creation.icosphere(5, 20.0)
    ball.export(tmp_path / "ball.ply")
    model = add(parts, tmp_path / "ball.ply", "ball")
    entry = json.loads((parts.directory / "ball" / "object.json").read_text())
    assert len(model.mesh.faces) == 20480 and entry["source_faces"] == 20480 and entry["reduction_error_m"] == 0
    monkeypatch.setattr("binpose_core.meshes.decimation.STORED_FACES", 15000)
    model = add(parts, tmp_path / "ball.ply", "ball", replace=True)
    entry = json.loads((parts.directory / "ball" / "object.json").read_text())
    assert len(model.mesh.faces) <= 15001 and model.watertight
    assert 0 < entry["reduction_error_m"] < 5e-4 * model.diameter_m


def test_a_catalogue_that_is_a_file_is_refused(tmp_path, box):
    (tmp_path / "objects").write_text("")
    with pytest.raises(BinposeError, match=r"Could not write .*objects"):
        add(Catalogue(tmp_path / "objects"), box, "box")


def test_unknown_ids_name_the_known_ones(parts, box):
    """And how to add one."""
    with pytest.raises(
        BinposeError, match=r"No object 'cog_12' in .*objects/; known: none yet. Add it with `binpose add`."
    ):
        parts.load("cog_12")
    add(parts, box, "cog_1")
    with pytest.raises(BinposeError, match=r"known: cog_1\. Add"):
        parts.load("cog_12")
    with pytest.raises(BinposeError, match=r"No object '\.\./cog_1'"):
        parts.load("../cog_1")


def test_an_id_is_added_once_unless_replaced(parts, box, tmp_path):
    """Also when it differs in case only, which some file systems do not tell apart."""
    add(parts, box, "box")
    for id in ("box", "Box"):
        with pytest.raises(BinposeError, match="'box' is already in"):
            add(parts, box, id)
    trimesh.creation.box((30, 30, 30)).export(tmp_path / "cube.stl")
    replaced = add(parts, tmp_path / "cube.stl", "box", replace=True)
    assert replaced.bop_id == 1 and parts.load("box").diameter_m == pytest.approx(0.03 * np.sqrt(3))
    assert [path.name for path in parts.directory.iterdir()] == ["box"]


@pytest.mark.parametrize("id", ["", "../x", "a b", ".x", "x/y", "-x", "ü", "a" * 65])
def test_ids_that_are_no_folder_names_are_refused(parts, box, id):
    """They would be confused with paths and options."""
    with pytest.raises(BinposeError, match="Object id"):
        add(parts, box, id)


@pytest.mark.parametrize("id", ["library", "all", "All"])
def test_words_of_the_command_line_are_no_ids(parts, box, id):
    with pytest.raises(BinposeError, match=f"Object id '{id}' is a reserved word"):
        add(parts, box, id)
    assert parts.ids() == []


def test_open_meshes_need_a_flag(parts, tmp_path):
    """And are marked as open."""
    lidless = trimesh.creation.box((60, 40, 20))
    lidless.update_faces(np.abs(lidless.face_normals[:, 2] - 1) > 1e-6)
    lidless.export(tmp_path / "open.stl")
    with pytest.raises(BinposeError, match=r"not watertight.* --allow-open"):
        add(parts, tmp_path / "open.stl", "lidless")
    assert parts.ids() == []
    assert not add(parts, tmp_path / "open.stl", "lidless", allow_open=True).watertight
    assert not parts.load("lidless").watertight


def test_symmetries_can_be_overridden_in_the_file(parts, box):
    """In BOP's form, millimetres; nonsense there is named."""
    add(parts, box, "box")
    path = parts.directory / "box" / "object.json"
    entry = json.loads(path.read_text())
    entry["symmetries_continuous"] = [{"axis": [0, 0, 1], "offset": [5, 0, 0]}]
    path.write_text(json.dumps(entry))
    assert np.allclose(parts.load("box").symmetries.continuous[0].offset, [0.005, 0, 0])
    entry["symmetries_discrete"] = [[2.0] * 16]
    path.write_text(json.dumps(entry))
    with pytest.raises(BinposeError, match="not a rigid motion"):
        parts.load("box")


def test_a_diameter_that_is_not_the_meshs_is_refused(parts, box):
    """A size is no entry to be edited: the mesh would keep its own."""
    add(parts, box, "box")
    path = parts.directory / "box" / "object.json"
    entry = json.loads(path.read_text())
    path.write_text(json.dumps({**entry, "diameter_m": 10 * entry["diameter_m"]}))
    with pytest.raises(BinposeError, match="binpose add --unit"):
        parts.load("box")


def test_a_failed_write_leaves_the_old_part(parts, box, monkeypatch):
    """A disk that fills up in the middle."""
    add(parts, box, "box")
    before = sorted(path.name for path in parts.directory.rglob("*"))

    def full(*_args, **_options):
        raise BinposeError("no space is left")

    monkeypatch.setattr(catalogue_module, "write_json", full)
    with pytest.raises(BinposeError, match="no space"):
        add(parts, box, "box", replace=True)
    with pytest.raises(BinposeError, match="no space"):
        add(parts, box, "other")
    assert sorted(path.name for path in parts.directory.rglob("*")) == before
    assert parts.load("box").diameter_m > 0


def test_damaged_files_are_named(parts, box):
    """Cut arrays, an entry of another part, an entry that is no JSON."""
    add(parts, box, "box")
    folder = parts.directory / "box"
    arrays = (folder / "arrays.safetensors").read_bytes()
    (folder / "arrays.safetensors").write_bytes(arrays[: len(arrays) // 2])
    with pytest.raises(BinposeError, match=r"Could not read .*arrays.safetensors"):
        parts.load("box")
    (folder / "object.json").write_text('{"id": "other", "bop_id": 1}')
    with pytest.raises(BinposeError, match="does not describe object 'box'"):
        parts.load("box")
    (folder / "object.json").write_text('{"id": "box"}')
    with pytest.raises(BinposeError, match="expected its id and bop_id"):
        parts.ids()
    (folder / "object.json").write_text("{")
    with pytest.raises(BinposeError, match="no valid JSON"):
        parts.load("box")
