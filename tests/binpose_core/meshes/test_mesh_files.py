"""Meshes are read from every format into metres, and what is no part is refused in one sentence."""

import io
from dataclasses import replace

import numpy as np
import pytest
import trimesh

from binpose_core.base.errors import BinposeError
from binpose_core.meshes.mesh import Mesh
from binpose_core.meshes.mesh_files import load_mesh, ply_bytes
from binpose_core.parts.objects import make_object, objects_from_tensors, objects_to_tensors


def box_mm() -> trimesh.Trimesh:
    return trimesh.creation.box((60, 40, 20))


@pytest.mark.parametrize("suffix", ["stl", "obj", "ply", "off", "glb"])
def test_every_format_gives_the_same_part(tmp_path, suffix):
    """A closed box of 60 x 40 x 20 mm, its triangles' corners welded; glTF is in metres by its standard."""
    path = tmp_path / f"box.{suffix}"
    (box_mm().apply_scale(1e-3) if suffix == "glb" else box_mm()).export(path)
    mesh = load_mesh(path)
    assert mesh.vertices.dtype == np.float32 and mesh.faces.dtype == np.int32
    assert len(mesh.vertices) == 8 and len(mesh.faces) == 12 and mesh.watertight
    assert np.allclose(np.sort(np.ptp(mesh.vertices, axis=0)), [0.02, 0.04, 0.06])


def test_a_scene_is_merged_with_its_transforms(tmp_path):
    """Two boxes, one of them moved by its node."""
    scene = trimesh.Scene()
    move = trimesh.transformations.translation_matrix([0.1, 0, 0])
    scene.add_geometry(trimesh.creation.box((0.02, 0.02, 0.02)), node_name="a")
    scene.add_geometry(trimesh.creation.box((0.02, 0.02, 0.02)), node_name="b", transform=move)
    scene.export(tmp_path / "two.glb")
    mesh = load_mesh(tmp_path / "two.glb")
    assert len(mesh.faces) == 24 and np.isclose(np.ptp(mesh.vertices[:, 0]), 0.12)


@pytest.mark.parametrize(("unit", "scale"), [("m", 1.0), ("mm", 1e-3), ("cm", 1e-2), ("in", 0.0254), ("inch", 0.0254)])
def test_the_declared_unit_counts(tmp_path, unit, scale):
    """A box of 2 units."""
    trimesh.creation.box((2, 1, 1)).export(tmp_path / "box.stl")
    mesh = load_mesh(tmp_path / "box.stl", unit, allow_odd_size=True)
    assert np.isclose(np.ptp(mesh.vertices[:, 0]), 2 * scale)


@pytest.mark.parametrize(("extent", "metres"), [(60.0, 0.06), (0.06, 0.06), (900.0, 0.9), (0.9, 0.9)])
def test_the_unit_is_guessed_from_the_size(tmp_path, extent, metres):
    """Millimetres or metres, whichever makes a part."""
    trimesh.creation.box((extent, extent / 9, extent / 9)).export(tmp_path / "box.stl")
    assert np.isclose(np.ptp(load_mesh(tmp_path / "box.stl").vertices[:, 0]), metres)


def test_odd_sizes_are_questioned_unless_allowed(tmp_path):
    """Too large, too small, and nothing that fits."""
    box_mm().export(tmp_path / "box.stl")
    with pytest.raises(BinposeError, match=r"in m is 74.83 m across; expected a part of 5 mm to 1 m; --unit mm would"):
        load_mesh(tmp_path / "box.stl", "m")
    trimesh.creation.box((2, 1, 1)).export(tmp_path / "two.stl")
    with pytest.raises(BinposeError, match=r"measures 2.449 units .* declare its unit with --unit"):
        load_mesh(tmp_path / "two.stl")
    assert np.isclose(load_mesh(tmp_path / "two.stl", allow_odd_size=True).diameter_m, 0.002449, rtol=1e-3)
    with pytest.raises(BinposeError, match="Unit 'furlong'; expected one of mm"):
        load_mesh(tmp_path / "box.stl", "furlong")


def test_cheap_repairs(tmp_path):
    """A small hole, two faces turned inside out, a doubled face and corners that differ by rounding: closed again."""
    ball = trimesh.creation.icosphere(4, 20)
    faces = np.array(ball.faces)[1:]
    faces[5:7] = faces[5:7, ::-1]
    soup = ball.vertices[np.concatenate([faces, faces[-1:]])]
    soup = soup + np.random.default_rng(0).uniform(-1e-6, 1e-6, soup.shape)
    trimesh.Trimesh(soup.reshape(-1, 3), np.arange(3 * len(soup)).reshape(-1, 3), process=False).export(
        tmp_path / "ball.ply"
    )
    mesh = load_mesh(tmp_path / "ball.ply", "mm")
    assert len(mesh.faces) == len(ball.faces) and mesh.watertight
    normals = mesh.face_normals
    assert ((normals * mesh.vertices[mesh.faces].mean(axis=1)).sum(axis=1) > 0).all()


def test_a_part_inside_out_is_turned(tmp_path):
    """Normals point outwards whatever the file says."""
    turned = box_mm()
    turned.invert()
    turned.export(tmp_path / "box.off")
    mesh = load_mesh(tmp_path / "box.off", "mm")
    assert ((mesh.face_normals * mesh.vertices[mesh.faces].mean(axis=1)).sum(axis=1) > 0).all()


def test_a_large_hole_stays_open(tmp_path):
    """A box without its lid is no solid, and is not made one."""
    part = box_mm()
    part.update_faces(np.abs(part.face_normals[:, 2] - 1) > 1e-6)
    part.export(tmp_path / "open.stl")
    mesh = load_mesh(tmp_path / "open.stl", "mm")
    assert len(mesh.faces) == 10 and not mesh.watertight


BROKEN = {
    "missing.stl": (None, "No mesh at .*missing.stl"),
    "empty.stl": (b"", "is empty"),
    "part.igs": (b"S      1", r"is of type .igs; expected one of .stl, .obj, .ply, .off, .glb, .gltf, .step, .stp"),
    "cut.ply": (
        ply_bytes(Mesh(np.eye(3, dtype=np.float32), np.array([[0, 1, 2]], np.int32)))[:-20],
        "ends before the last of 3 elements 'vertex'",
    ),
    "noise.glb": (bytes(range(200)), "is no glTF file"),
    "words.stl": (b"this is not a mesh at all", "has 25 bytes and does not begin with 'solid'"),
    "points.obj": (b"v 0 0 0\nv 1 0 0\nv 0 1 0\n", "no face"),
    "line.off": (b"OFF\n3 1 0\n0 0 0\n10 0 0\n20 0 0\n3 0 1 2\n", "no face with an area"),
    "flat.off": (b"OFF\n4 2 0\n0 0 5\n10 0 5\n10 10 5\n0 10 5\n3 0 1 2\n3 0 2 3\n", "is flat"),
    "cut.stl": (bytes(80) + (12).to_bytes(4, "little") + bytes(130), "ends after 214 bytes; expected 684"),
    "nan.off": (b"OFF\n4 2 0\n0 0 0\n10 0 0\n0 10 0\nnan 0 0\n3 0 1 2\n3 1 2 3\n", "1 of 4 vertices that are NaN"),
    "beyond.off": (b"OFF\n3 1 0\n0 0 0\n10 0 0\n0 10 0\n3 0 1 7\n", "vertex number 7, counted from 0; expected 0 to 2"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_mesh_is_refused_in_one_sentence(tmp_path, name):
    """Each kind of damage has its reason."""
    content, reason = BROKEN[name]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BinposeError, match=reason) as error:
        load_mesh(tmp_path / name, "mm")
    assert "\n" not in str(error.value)


def test_written_ply_is_read_back(tmp_path):
    """By our reader and by trimesh, in the unit it was written in."""
    mesh = Mesh((box_mm().vertices / 1e3).astype(np.float32), box_mm().faces.astype(np.int32))
    (tmp_path / "box.ply").write_bytes(ply_bytes(mesh, 1e3, "unit: millimetre"))
    assert np.allclose(np.sort(load_mesh(tmp_path / "box.ply").vertices, 0), np.sort(mesh.vertices, 0))
    other = trimesh.load(io.BytesIO(ply_bytes(mesh)), file_type="ply")
    assert np.allclose(other.extents, [0.06, 0.04, 0.02])


def test_real_parts_close(shared_data):
    """All recorded CAD models are read by their size alone, and are solids after repair."""
    paths = [*shared_data.glob("*/models/*.ply"), *(shared_data / "cad").glob("*.stl")]
    assert len(paths) >= 15
    for path in paths:
        mesh = load_mesh(path)
        assert mesh.watertight, path
        assert np.isclose(load_mesh(path, "mm").diameter_m, mesh.diameter_m)


def test_colours_of_vertices_stay_at_their_places(tmp_path):
    """Through welding, the catalogue and a model's tensors; a file without them has none."""
    box = trimesh.creation.box((20.0, 30.0, 40.0))
    loose = trimesh.Trimesh(box.vertices[box.faces].reshape(-1, 3), np.arange(36).reshape(-1, 3), process=False)
    loose.visual.vertex_colors = np.where(loose.vertices[:, 2:] > 0, [200, 10, 20], [10, 20, 200]).astype(np.uint8)
    loose.export(tmp_path / "box.ply")
    mesh = load_mesh(tmp_path / "box.ply")
    assert len(mesh.vertices) == 8
    np.testing.assert_array_equal(mesh.colors, np.where(mesh.vertices[:, 2:] > 0, [200, 10, 20], [10, 20, 200]))
    painted = make_object(mesh, "box")
    bare = replace(painted, mesh=replace(mesh, colors=None))
    (back, plain) = objects_from_tensors(*objects_to_tensors([painted, replace(bare, id="plain")]))
    np.testing.assert_array_equal(back.mesh.colors, mesh.colors)
    assert plain.mesh.colors is None and painted.digest != bare.digest
    box.export(tmp_path / "bare.ply")
    assert load_mesh(tmp_path / "bare.ply").colors is None
