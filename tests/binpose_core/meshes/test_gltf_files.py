"""glTF is read without its materials; STEP in metres, whatever unit it states, with the extra `step`."""

import builtins
import json

import numpy as np
import pytest
import trimesh

from binpose_core.base.errors import BinposeError
from binpose_core.meshes.mesh import signed_volumes
from binpose_core.meshes.mesh_files import load_mesh


def gltf_of(mesh: trimesh.Trimesh, **changes) -> bytes:
    """A glTF file with its buffer inside, changed at the top level."""
    files = trimesh.exchange.gltf.export_gltf(trimesh.Scene(mesh), embed_buffers=True)
    return json.dumps({**json.loads(files["model.gltf"]), **changes}).encode()


def box() -> trimesh.Trimesh:
    return trimesh.creation.box((0.06, 0.04, 0.02))


def test_a_mirrored_node_faces_outwards(tmp_path):
    """Beside its twin: the volumes of both add up."""
    scene = trimesh.Scene()
    scene.add_geometry(box(), node_name="plain")
    scene.add_geometry(box(), node_name="mirrored", transform=np.diag([-1.0, 1, 1, 1]) + np.eye(4, k=3) * 0.1)
    scene.export(tmp_path / "two.glb")
    mesh = load_mesh(tmp_path / "two.glb")
    assert signed_volumes(mesh.vertices, mesh.faces).sum() == pytest.approx(2 * 0.06 * 0.04 * 0.02, rel=1e-4)


def test_materials_and_missing_textures_do_not_matter(tmp_path):
    materials = {
        "images": [{"uri": "missing.png"}],
        "textures": [{"source": 0}],
        "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
    }
    (tmp_path / "box.gltf").write_bytes(gltf_of(box(), **materials))
    assert len(load_mesh(tmp_path / "box.gltf").faces) == 12


@pytest.mark.parametrize("name", ["KHR_draco_mesh_compression", "EXT_meshopt_compression"])
def test_compressed_files_are_refused(tmp_path, name):
    """Without its decoder, trimesh would read zeros in the place of the vertices."""
    (tmp_path / "box.gltf").write_bytes(gltf_of(box(), extensionsUsed=[name]))
    with pytest.raises(BinposeError, match=rf"is compressed \({name}\); expected plain glTF"):
        load_mesh(tmp_path / "box.gltf")


def test_a_missing_buffer_is_refused(tmp_path):
    (tmp_path / "box.gltf").write_bytes(gltf_of(box(), buffers=[{"uri": "missing.bin", "byteLength": 100}]))
    with pytest.raises(BinposeError, match=r"cannot be read as glTF .*missing.bin"):
        load_mesh(tmp_path / "box.gltf")


UNITS = {
    "mm": "( LENGTH_UNIT() NAMED_UNIT(*) SI_UNIT(.MILLI.,.METRE.) )",
    "m": "( LENGTH_UNIT() NAMED_UNIT(*) SI_UNIT($,.METRE.) )",
    "inch": "( CONVERSION_BASED_UNIT('INCH',#9001) LENGTH_UNIT() NAMED_UNIT(#9002) )",
}
METRES = {"mm": 1e-3, "m": 1.0, "inch": 0.0254}


def step_of(extents, unit: str) -> bytes:
    """A block with plane faces as AP214 writes it: faces bounded by loops of points."""
    a, b, c = extents
    corners = [(x, y, z) for z in (0, c) for x, y in ((0, 0), (a, 0), (a, b), (0, b))]
    faces = [[3, 2, 1, 0], [4, 5, 6, 7], [0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7]]
    lines: list[str] = []

    def add(text: str) -> str:
        lines.append(f"#{len(lines) + 1}={text};")
        return f"#{len(lines)}"

    def real(values) -> str:
        return f"({','.join(f'{float(v)}' for v in values)})"

    vertices = [add(f"CARTESIAN_POINT('',{real(corner)})") for corner in corners]
    points = [add(f"VERTEX_POINT('',{vertex})") for vertex in vertices]
    edges: dict[tuple[int, int], str] = {}
    shell = []
    for face in faces:
        loop = []
        for i, j in zip(face, np.roll(face, -1), strict=True):
            low, high = min(i, j), max(i, j)
            if (low, high) not in edges:
                along = np.subtract(corners[high], corners[low]).astype(float)
                vector = add(
                    f"VECTOR('',{add(f'DIRECTION({chr(39)}{chr(39)},{real(along / np.linalg.norm(along))})')},1.)"
                )
                line = add(f"LINE('',{vertices[low]},{vector})")
                edges[low, high] = add(f"EDGE_CURVE('',{points[low]},{points[high]},{line},.T.)")
            loop.append(add(f"ORIENTED_EDGE('',*,*,{edges[low, high]},.{'T' if i < j else 'F'}.)"))
        p, q, r = (np.array(corners[k], float) for k in face[:3])
        normal, right = np.cross(q - p, r - q), q - p
        axis = add(f"DIRECTION('',{real(normal / np.linalg.norm(normal))})")
        side = add(f"DIRECTION('',{real(right / np.linalg.norm(right))})")
        plane = add(f"PLANE('',{add(f'AXIS2_PLACEMENT_3D({chr(39)}{chr(39)},{vertices[face[0]]},{axis},{side})')})")
        bound = add(f"FACE_OUTER_BOUND('',{add(f'EDGE_LOOP({chr(39)}{chr(39)},({chr(44).join(loop)}))')},.T.)")
        shell.append(add(f"ADVANCED_FACE('',({bound}),{plane},.T.)"))
    solid = add(f"MANIFOLD_SOLID_BREP('',{add(f'CLOSED_SHELL({chr(39)}{chr(39)},({chr(44).join(shell)}))')})")
    z, x = add("DIRECTION('',(0.,0.,1.))"), add("DIRECTION('',(1.,0.,0.))")
    place = add(f"AXIS2_PLACEMENT_3D('',{add('CARTESIAN_POINT({0}{0},(0.,0.,0.))'.format(chr(39)))},{z},{x})")
    length = add(UNITS[unit])
    angle = add("( NAMED_UNIT(*) PLANE_ANGLE_UNIT() SI_UNIT($,.RADIAN.) )")
    cone = add("( NAMED_UNIT(*) SI_UNIT($,.STERADIAN.) SOLID_ANGLE_UNIT() )")
    exact = add(f"UNCERTAINTY_MEASURE_WITH_UNIT(LENGTH_MEASURE(1.E-07),{length},'distance_accuracy_value','')")
    context = add(
        f"( GEOMETRIC_REPRESENTATION_CONTEXT(3) GLOBAL_UNCERTAINTY_ASSIGNED_CONTEXT(({exact})) "
        f"GLOBAL_UNIT_ASSIGNED_CONTEXT(({length},{angle},{cone})) REPRESENTATION_CONTEXT('','3D') )"
    )
    shape = add(f"ADVANCED_BREP_SHAPE_REPRESENTATION('',({place},{solid}),{context})")
    app = add("APPLICATION_CONTEXT('automotive design')")
    product = add(
        f"PRODUCT('block','block','',({add(f'PRODUCT_CONTEXT({chr(39)}{chr(39)},{app},{chr(39)}mechanical{chr(39)})')}))"
    )
    formation = add(f"PRODUCT_DEFINITION_FORMATION('','',{product})")
    definition_context = add(f"PRODUCT_DEFINITION_CONTEXT('part definition',{app},'design')")
    definition = add(f"PRODUCT_DEFINITION('design','',{formation},{definition_context})")
    add(
        f"SHAPE_DEFINITION_REPRESENTATION({add(f'PRODUCT_DEFINITION_SHAPE({chr(39)}{chr(39)},{chr(39)}{chr(39)},{definition})')},{shape})"
    )
    if unit == "inch":
        lines.append("#9000=( LENGTH_UNIT() NAMED_UNIT(*) SI_UNIT(.MILLI.,.METRE.) );")
        lines.append("#9001=LENGTH_MEASURE_WITH_UNIT(LENGTH_MEASURE(25.4),#9000);")
        lines.append("#9002=DIMENSIONAL_EXPONENTS(1.,0.,0.,0.,0.,0.,0.);")
    head = (
        "ISO-10303-21;\nHEADER;\nFILE_DESCRIPTION((''),'2;1');\nFILE_NAME('','',(''),(''),'','','');\n"
        "FILE_SCHEMA(('AUTOMOTIVE_DESIGN { 1 0 10303 214 1 1 1 1 }'));\nENDSEC;\nDATA;\n"
    )
    return (head + "\n".join(lines) + "\nENDSEC;\nEND-ISO-10303-21;\n").encode()


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("suffix", ["step", "STP"])
def test_a_block_has_its_size_and_axes(tmp_path, unit, suffix):
    pytest.importorskip("cascadio", reason="needs the extra: pip install 'binpose[step]'")
    extents_m = np.array([0.06, 0.04, 0.02])
    path = tmp_path / f"block.{suffix}"
    path.write_bytes(step_of(extents_m / METRES[unit], unit))
    mesh = load_mesh(path)
    assert np.allclose(np.ptp(mesh.vertices, axis=0), extents_m) and mesh.watertight
    assert signed_volumes(mesh.vertices, mesh.faces).sum() == pytest.approx(np.prod(extents_m), rel=1e-4)
    assert mesh.vertices.min() == pytest.approx(0, abs=1e-7)


def test_a_step_file_states_its_own_unit(tmp_path):
    pytest.importorskip("cascadio", reason="needs the extra: pip install 'binpose[step]'")
    (tmp_path / "block.step").write_bytes(step_of((60, 40, 20), "mm"))
    with pytest.raises(BinposeError, match=r"Unit 'mm' for block.step; expected none"):
        load_mesh(tmp_path / "block.step", "mm")


@pytest.mark.parametrize("content", [b"ISO-10303-21;\nHEADER;\n", b"words", step_of((60, 40, 20), "mm")[:900]])
def test_damaged_step_files_are_refused(tmp_path, content, capfd):
    pytest.importorskip("cascadio", reason="needs the extra: pip install 'binpose[step]'")
    (tmp_path / "part.stp").write_bytes(content)
    with pytest.raises(BinposeError, match=r"export it again|no faces"):
        load_mesh(tmp_path / "part.stp")
    assert capfd.readouterr() == ("", "")


def test_without_the_extra_a_sentence_names_it(tmp_path, monkeypatch):
    (tmp_path / "part.step").write_bytes(step_of((60, 40, 20), "mm"))
    real = builtins.__import__

    def without(name, *args, **options):
        if name == "cascadio":
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(BinposeError, match=r"pip install 'binpose\[step\]'.* or export the part as STL"):
        load_mesh(tmp_path / "part.step")
