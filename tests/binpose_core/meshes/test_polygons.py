"""Solids of polygons keep their volume, area and extents in every format, however the file is written."""

import struct

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st

from binpose_core.base.errors import BinposeError
from binpose_core.meshes.mesh import Mesh, is_watertight, signed_volumes
from binpose_core.meshes.mesh_files import load_mesh
from binpose_core.meshes.polygons import MalformedMesh, Polygons, triangulated

CHANNEL = [(0, 0), (30, 0), (30, 20), (25, 20), (25, 5), (5, 5), (5, 20), (0, 20)]
KEYHOLE = [(0, 0), (40, 0), (40, 30), (0, 30), (0, 0), (10, 10), (10, 20), (30, 20), (30, 10), (10, 10)]


def prism(outline, height):
    """Corners (2 n, 3) and polygons of an outline drawn up along z: two n-gons and n quadrilaterals."""
    n = len(outline)
    vertices = [(x, y, z) for z in (0.0, height) for x, y in outline]
    sides = [[i, (i + 1) % n, n + (i + 1) % n, n + i] for i in range(n)]
    return np.array(vertices, float), [list(range(n))[::-1], list(range(n, 2 * n)), *sides]


def outline_area(outline):
    x, y = np.array(outline, float).T
    return abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def outline_length(outline):
    corners = np.array(outline, float)
    return np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1).sum()


def obj(vertices, polygons, *, negative=False, attributes=False, end="\n"):
    lines = ["mtllib missing.mtl", "o part", "usemtl steel", *(f"v {x} {y} {z}" for x, y, z in vertices)]
    lines += ["vt 0.5 0.5", "vn 0 0 1"] if attributes else []
    for polygon in polygons:
        numbers = [i - len(vertices) if negative else i + 1 for i in polygon]
        lines.append("f " + " ".join(f"{i}/1/1" if attributes else str(i) for i in numbers))
    return end.join([*lines, ""]).encode()


def off(vertices, polygons):
    rows = [" ".join(f"{value}" for value in vertex) for vertex in vertices]
    rows += [" ".join(map(str, [len(polygon), *polygon])) + " 255 0 0" for polygon in polygons]
    return "\n".join(["OFF # of a test", f"{len(vertices)} {len(polygons)} 0", *rows, ""]).encode()


def ply(vertices, polygons, kind="ascii", counter=("uchar", "B"), index=("int", "i")):
    """With colours and normals of vertices, an edge element, and an attribute before and behind each list."""
    header = (
        f"ply\nformat {kind} 1.0\ncomment caf\u00e9\nelement edge 1\nproperty int a\nproperty int b\n"
        f"element vertex {len(vertices)}\nproperty double x\nproperty double y\nproperty double z\n"
        "property float nx\nproperty uchar red\nproperty uchar green\nproperty uchar blue\n"
        f"element face {len(polygons)}\nproperty uchar flags\nproperty list {counter[0]} {index[0]} vertex_indices\n"
        "property list uchar float texcoord\nend_header\n"
    ).encode("latin-1")
    if kind == "ascii":
        rows = ["0 1", *(f"{x} {y} {z} 0.5 1 2 3" for x, y, z in vertices)]
        rows += [" ".join(map(str, [7, len(p), *p, 2, 0.25, 0.75])) for p in polygons]
        return header + "\n".join([*rows, ""]).encode()
    order = "<" if "little" in kind else ">"
    body = struct.pack(order + "2i", 0, 1)
    body += b"".join(struct.pack(order + "3df3B", *vertex, 0.5, 1, 2, 3) for vertex in vertices)
    for p in polygons:
        body += struct.pack(f"{order}B{counter[1]}{len(p)}{index[1]}B2f", 7, len(p), *p, 2, 0.25, 0.75)
    return header + body


FORMATS = {
    "plain.obj": obj,
    "attributes.obj": lambda v, p: obj(v, p, attributes=True),
    "negative.obj": lambda v, p: obj(v, p, negative=True, attributes=True),
    "windows.OBJ": lambda v, p: obj(v, p, end="\r\n"),
    "text.off": off,
    "text.ply": ply,
    "little.ply": lambda v, p: ply(v, p, "binary_little_endian"),
    "big.PLY": lambda v, p: ply(v, p, "binary_big_endian", ("int", "i"), ("uint", "I")),
    "short.ply": lambda v, p: ply(v, p, "binary_little_endian", ("uint8", "B"), ("uint16", "H")),
}


def loaded(folder, name, vertices, polygons):
    path = folder / name
    path.write_bytes(FORMATS[name](vertices, polygons))
    return load_mesh(path, "mm", allow_odd_size=True)


def assert_same_solid(mesh: Mesh, outline, height):
    area, length = outline_area(outline), outline_length(outline)
    assert mesh.watertight
    assert signed_volumes(mesh.vertices, mesh.faces).sum() * 1e9 == pytest.approx(area * height, rel=1e-4)
    assert mesh.face_areas.sum() * 1e6 == pytest.approx(2 * area + length * height, rel=1e-4)
    extents = [*np.ptp(np.array(outline, float), axis=0), height]
    assert np.ptp(mesh.vertices, axis=0) * 1e3 == pytest.approx(extents, rel=1e-4)


@pytest.mark.parametrize("name", FORMATS)
def test_a_channel_has_its_concave_ends(tmp_path, name):
    assert_same_solid(loaded(tmp_path, name, *prism(CHANNEL, 30.0)), CHANNEL, 30.0)


@st.composite
def stars(draw):
    """Outlines with 3 to 14 corners at random distances around a middle: concave, never crossing."""
    count = draw(st.integers(3, 14))
    radii = draw(st.lists(st.floats(4.0, 40.0), min_size=count, max_size=count))
    turn = draw(st.floats(0.0, 6.0))
    angles = turn + 2 * np.pi * np.arange(count) / count
    return [(r * np.cos(a), r * np.sin(a)) for r, a in zip(radii, angles, strict=True)]


@given(outline=stars(), height=st.floats(5.0, 60.0), name=st.sampled_from(list(FORMATS)))
def test_random_solids_are_the_same_in_every_format(tmp_path_factory, outline, height, name):
    folder = tmp_path_factory.mktemp("solid")
    assert_same_solid(loaded(folder, name, *prism(outline, height)), outline, height)


def test_a_bridge_to_a_hole_stays_a_hole():
    """The outline of a face with a hole runs along the same bridge in and out."""
    vertices = np.array([(x, y, 0.0) for x, y in KEYHOLE])
    faces = triangulated(Polygons(vertices, np.arange(10), np.array([10])))
    mesh = Mesh(vertices.astype(np.float32), faces.astype(np.int32))
    areas, normals = mesh.face_areas, mesh.face_normals
    assert areas.sum() == pytest.approx(1000) and np.allclose(normals[areas > 1e-6], [0, 0, 1])


@pytest.mark.parametrize(
    "outline", [[(0, 0), (10, 10), (10, 0), (0, 10)], [(0, 0), (20, 20), (20, 0), (0, 10)], "pentagram"]
)
def test_an_outline_that_crosses_itself_is_refused(outline):
    if outline == "pentagram":
        outline = [(np.cos(a), np.sin(a)) for a in 4 * np.pi / 5 * np.arange(5)]
    vertices = np.array([(x, y, 0.0) for x, y in outline])
    with pytest.raises(MalformedMesh, match=r"number 1, of . corners\) whose outline crosses itself"):
        triangulated(Polygons(vertices, np.arange(len(outline)), np.array([len(outline)])))


def test_warped_and_degenerate_polygons():
    """A warped quadrilateral keeps its corners; repeated corners and two-cornered faces drop out; lines stay lines."""
    vertices = np.array([[0, 0, 0], [10, 0, 1], [10, 10, 0], [0, 10, 1], [5, 0, 0.5], [20, 0, 2]], float)
    warped = triangulated(Polygons(vertices, np.array([0, 1, 2, 3]), np.array([4])))
    assert len(warped) == 2 and set(warped.ravel()) == {0, 1, 2, 3}
    repeated = triangulated(Polygons(vertices, np.array([0, 1, 1, 2, 0, 1, 2, 2]), np.array([4, 2, 2])))
    assert repeated.tolist() == [[0, 1, 2]]
    assert len(triangulated(Polygons(vertices, np.array([0, 4, 1, 5]), np.array([4])))) == 2


def test_corners_on_an_edge_are_kept():
    """A neighbour's corner in the middle of an edge, as exporters leave them, keeps the solid closed."""
    outline = [(0, 0), (10, 0), (20, 0), (20, 10), (10, 10), (0, 10)]
    vertices, polygons = prism(outline, 10.0)
    faces = triangulated(Polygons(vertices, np.concatenate(polygons), np.array([len(p) for p in polygons])))
    assert is_watertight(faces) and signed_volumes(vertices, faces).sum() == pytest.approx(2000)


def test_relative_indices_count_the_vertices_so_far(tmp_path):
    """Each body writes its corners and then faces that count back from there."""
    text = ""
    for shift in (0, 30):
        vertices, polygons = prism([(0, 0), (20, 0), (20, 20), (0, 20)], 20.0)
        text += f"o body{shift}\ng side\n" + "".join(f"v {x + shift} {y} {z}\n" for x, y, z in vertices)
        text += "".join("f " + " ".join(str(i - 8) for i in polygon) + "\n" for polygon in polygons)
    (tmp_path / "two.obj").write_text(text)
    mesh = load_mesh(tmp_path / "two.obj", "mm")
    assert len(mesh.faces) == 24 and np.allclose(np.ptp(mesh.vertices, axis=0), [0.05, 0.02, 0.02])


def test_obj_dialects(tmp_path):
    """Continued lines, tabs, comments at the end, colours behind coordinates, a fourth coordinate, Latin-1 names."""
    vertices, polygons = prism([(0, 0), (20, 0), (20, 20), (0, 20)], 20.0)
    lines = [
        "# Geh\xe4use \x85 v 1 2 3",
        "o Geh\xe4use",
        *(f"v\t{x} {y} {z} 1 0 0.5  # corner" for x, y, z in vertices),
    ]
    lines += ["f " + " ".join(str(i + 1) for i in polygon[:2]) + " \\\n" + " ".join(str(i + 1) for i in polygon[2:])
              for polygon in polygons]  # fmt: skip
    lines += ["l 1 2", "p 1", "s off"]
    (tmp_path / "box.obj").write_bytes("\n".join(lines).encode("latin-1"))
    mesh = load_mesh(tmp_path / "box.obj", "mm")
    assert len(mesh.faces) == 12 and (mesh.colors == [255, 0, 128]).all()


def test_off_dialects(tmp_path):
    """Counts on the first line, no keyword, colours of vertices."""
    vertices, polygons = prism([(0, 0), (20, 0), (20, 20), (0, 20)], 20.0)
    body = "".join(f"{x} {y} {z} 10 20 30 255\n" for x, y, z in vertices)
    body += "".join(" ".join(map(str, [len(p), *p])) + "\n" for p in polygons)
    for name, head in (("one", "OFF 8 6 12\n"), ("bare", "8 6\n"), ("color", "COFF\n\n8 6 0 # counts\n")):
        path = tmp_path / f"{name}.off"
        path.write_text(head + body)
        assert len(load_mesh(path, "mm").faces) == 12


def stl_of(mesh: trimesh.Trimesh) -> bytes:
    return mesh.export(file_type="stl")


@pytest.mark.parametrize("rest", [b"\0" * 50, b"\0" * 512, b"trailing words", b"\r\n"])
def test_bytes_behind_a_binary_stl_are_no_triangles(tmp_path, rest):
    (tmp_path / "box.stl").write_bytes(b"solid as SolidWorks writes it".ljust(80) + stl_of(box())[80:] + rest)
    assert len(load_mesh(tmp_path / "box.stl", "mm").faces) == 12


def box() -> trimesh.Trimesh:
    return trimesh.creation.box((60, 40, 20))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_text_stl_dialects(tmp_path, end):
    """Upper case, indents, a name that is a keyword, two solids in one file, and a byte order mark."""
    text = trimesh.exchange.stl.export_stl_ascii(box()).replace("\n", "\n  ").upper().replace("SOLID", "solid", 1)
    other = trimesh.exchange.stl.export_stl_ascii(box().apply_translation([100, 0, 0]))
    text = text.replace("solid ", "solid vertex facet", 1) + "\n" + other
    (tmp_path / "two.stl").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", end).encode())
    mesh = load_mesh(tmp_path / "two.stl", "mm")
    assert len(mesh.faces) == 24 and np.ptp(mesh.vertices[:, 0]) == pytest.approx(0.16)


TEXT_STL = trimesh.exchange.stl.export_stl_ascii(trimesh.creation.box((60, 40, 20)))
REFUSED = {
    "more.stl": (stl_of(box()) + stl_of(box())[84:134], "announces 12 triangles in its binary STL header, but has"),
    "cut_text.stl": (TEXT_STL[: len(TEXT_STL) // 2].encode(), "ends in the middle of a solid"),
    "open_text.stl": (TEXT_STL.replace("endsolid", "").encode(), "ends in the middle of a solid"),
    "comma.stl": (TEXT_STL.replace(".", ",").encode(), "in the place of a vertex of three coordinates; expected num"),
    "zero.obj": (b"v 0 0 0\nv 9 0 0\nv 0 9 0\nf 0 1 2\n", "vertex number 0; expected 1 to 3, or a negative"),
    "beyond.obj": (b"v 0 0 0\nv 9 0 0\nv 0 9 0\nf 1 2 4\n", "vertex number 4; expected 1 to 3"),
    "back.obj": (b"v 0 0 0\nv 9 0 0\nv 0 9 0\nf -1 -2 -4\n", "vertex number -4; expected 1 to 3"),
    "words.obj": (b"v 0 0 0\nv 9 0 0\nv 0 9 0\nf 1 2 c\n", "has 'c' in the place of the number of a vertex"),
    "short.obj": (b"v 0 0\nv 9 0 0\nv 0 9 0\nf 1 2 3\n", "has '0 0' in the place of a vertex of three coordinates"),
    "line.obj": (b"v 0 0 0\nv 9 0 0\nl 1 2\n", "has no faces"),
    "free.obj": (b"v 0 0 0\nsurf 0 1 0 1 1 2 3\n", "has free-form surfaces"),
    "json.obj": (b'{"faces": [1, 2, 3]}', r"holds JSON \(.gltf\); expected OBJ"),
    "json.ply": (b'{"faces": [1, 2, 3]}', r"holds JSON \(.gltf\); expected PLY"),
    "json.off": (b'{"faces": [1, 2, 3]}', "holds JSON"),
    "json.stl": (b'{"faces": [1, 2, 3]}', "holds JSON"),
    "json.gltf": (b'{"faces": [1, 2, 3]}', "is no glTF file"),
    "off.stl": (off(*prism(CHANNEL, 9.0)).replace(b"OFF #", b"OFF\n#"), r"holds an OFF file \(.off\); expected STL"),
    "ply.obj": (ply(*prism(CHANNEL, 9.0)), r"holds a PLY file"),
    "zip.stl": (b"PK\3\4" + bytes(200), "holds a ZIP archive"),
    "page.ply": (b"<!DOCTYPE html><html></html>", "holds XML or a web page"),
    "pointer.obj": (b"version https://git-lfs.github.com/spec/v1\n", "holds a pointer of Git LFS"),
    "far.off": (off(prism(CHANNEL, 9.0)[0] + 1e6, prism(CHANNEL, 9.0)[1]), "times its size away from its origin"),
    "deep.gltf": (b"[" * 200_000, "is no glTF file"),
    "cut.off": (off(*prism(CHANNEL, 9.0))[:-60], "lines of vertices and faces; expected 26|fewer corners"),
    "binary.off": (b"OFF BINARY\n" + bytes(90), "OFF file of another form"),
    "four.off": (b"4OFF\n1 0 0\n1 2 3 4\n", "OFF file of another form"),
    "cut.ply": (ply(*prism(CHANNEL, 9.0), "binary_little_endian")[:-9], "ends before the last of 10 elements 'face'"),
    "cut_text.ply": (ply(*prism(CHANNEL, 9.0))[:-40], "ends before the last of 10|without the '"),
    "long.ply": (ply(*prism(CHANNEL, 9.0), "binary_big_endian") + b"more", "has 4 bytes behind its last element"),
    "cloud.ply": (b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z\n"
                  b"end_header\n0 0 0\n", "has no faces"),
    "kind.ply": (b"ply\nformat ascii 1.0\nelement vertex 1\nproperty vector x\nend_header\n0\n", "property vector x"),
    "minus.ply": (ply(*prism(CHANNEL, 9.0)).replace(b" 0 1 9 8 ", b" -1 1 9 8 "), "vertex number -1"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_named_in_one_sentence(tmp_path, name):
    content, reason = REFUSED[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BinposeError, match=reason) as error:
        load_mesh(tmp_path / name, "mm")
    assert "\n" not in str(error.value) and str(tmp_path / name) in str(error.value)


def test_bent_files_end_in_a_sentence_or_a_mesh(tmp_path):
    """Cuts and flipped bytes in each format."""
    rng = np.random.default_rng(0)
    for name, write in FORMATS.items():
        whole = write(*prism(CHANNEL, 30.0))
        for trial in range(30):
            data = bytearray(whole[: rng.integers(1, len(whole))] if trial % 2 else whole)
            data[rng.integers(len(data))] ^= int(rng.integers(1, 256))
            (tmp_path / name).write_bytes(data)
            try:
                load_mesh(tmp_path / name, "mm")
            except BinposeError as error:
                assert "\n" not in str(error), name
