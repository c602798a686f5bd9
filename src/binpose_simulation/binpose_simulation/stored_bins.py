"""Settled bins in a file: what is drawn from them is the same on every processor.

Physics is chaotic: the last bit of a product, which depends on the processor, decides how a pile comes to lie. A file
keeps what physics settled: poses, meshes of the bins and of parts without a name, and the camera of each bin. Numbers
are float32, rotations quaternions.

Rendering from it repeats: pose products are rounded (`viewpoint.rounded`), and the kernels that make depth, masks and
sensor noise add and multiply in a fixed order. Colour passes through libraries whose last bits depend on the processor:
fewer than one in 1000 of its 8-bit values differ, by up to 4.
"""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BadFile, BinposeError
from binpose_core.base.files import write_bytes
from binpose_core.frames.camera import Camera
from binpose_core.geometry.transforms import (
    FloatArray,
    from_rotation_translation,
    quat_xyzw_from_rotation,
    rotation_from_quat_xyzw,
)
from binpose_core.meshes.mesh import Mesh
from binpose_core.parts.catalogue import ObjectModel
from binpose_simulation.bins import Wall
from binpose_simulation.content_config import ContentConfig
from binpose_simulation.gbuffer import smooth_corner_normals
from binpose_simulation.pile import Pile, packed
from binpose_simulation.prepared_parts import PreparedPart, drawn_part
from binpose_simulation.viewpoint import rounded

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class StoredBin:
    """A settled pile and where it is seen from: T_cam_world (4, 4)."""

    pile: Pile
    camera: Camera
    T_cam_world: FloatArray


def write_bins(path: Path | str, bins: Sequence[StoredBin], objects: Mapping[str, ObjectModel]) -> None:
    """Write bins that hold parts of these objects.

    Raises:
        BinposeError: the file cannot be written.
    """
    parts = {name: model.digest for name, model in objects.items()}
    arrays: dict[str, npt.NDArray[Any]] = {"header": _encoded({"parts": parts, "bins": len(bins)})}
    for number, stored in enumerate(bins):
        arrays |= {f"{number:03d}.{name}": array for name, array in _arrays(stored).items()}
    with io.BytesIO() as data:
        np.savez_compressed(data, **arrays)  # type: ignore[arg-type]
        write_bytes(Path(path), data.getvalue())


def stored_parts(path: Path | str) -> dict[str, str]:
    """Digests by id (`ObjectModel.digest`) of the parts in a file of bins.

    Raises:
        BinposeError: the file cannot be read.
    """
    return dict(_loaded(path)[0]["parts"])


def read_bins(path: Path | str, objects: Mapping[str, ObjectModel], config: ContentConfig) -> list[StoredBin]:
    """Bins written by `write_bins`, their known parts drawn from these objects.

    Raises:
        BinposeError: the file cannot be read, or was written for other parts.
    """
    header, arrays = _loaded(path)
    if header["parts"] != {name: model.digest for name, model in objects.items()}:
        raise BinposeError(
            f"The stored bins {path} hold the parts {', '.join(header['parts'])}; these objects are "
            f"{', '.join(objects) or 'none'}, or others of the same names; use the parts that were stored."
        )
    parts = {name: drawn_part(model, config) for name, model in objects.items()}
    try:
        return [_bin(_of_bin(arrays, number), parts) for number in range(header["bins"])]
    except (KeyError, ValueError, IndexError) as error:
        raise _unreadable(path, error) from error


def _loaded(path: Path | str) -> tuple[dict[str, Any], Arrays]:
    try:
        with np.load(path) as data:
            arrays = {name: data[name] for name in data.files}
        header = json.loads(arrays["header"].tobytes())
        return {"parts": dict(header["parts"]), "bins": int(header["bins"])}, arrays
    except (ValueError, OSError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path | str, error: Exception) -> BinposeError:
    return BadFile(
        f"The stored bins {path} cannot be read ({type(error).__name__}); expected a file that `write_bins` wrote; "
        "restore it.",
        path,
    )


def _of_bin(arrays: Arrays, number: int) -> dict[str, npt.NDArray[Any]]:
    prefix = f"{number:03d}."
    return {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}


def _arrays(stored: StoredBin) -> dict[str, npt.NDArray[Any]]:
    pile, camera = stored.pile, stored.camera
    known, bodies = len(pile.object_ids), len(pile.mesh_ids) - len(pile.bin_boxes)
    arrays: dict[str, npt.NDArray[Any]] = {
        "header": _encoded({"object_ids": pile.object_ids, "size": [camera.width, camera.height]}),
        "T_world_obj": _to_rows(pile.T_world_obj[:bodies]),
        "axes": pile.axes[known:bodies].astype(np.float32),
        "T_cam_world": _to_rows(stored.T_cam_world[None]),
        "intrinsics": camera.intrinsics.astype(np.float32),
        "boxes": pile.bin_boxes.astype(np.float32),
        "sides": np.array([[*wall.point, *wall.normal, wall.top_m] for wall in pile.sides], np.float32),
    }
    for place, body in enumerate([*range(known, bodies), -1]):
        mesh = pile.renderer.meshes[pile.mesh_ids[body]]
        arrays[f"vertices{place}"] = mesh.vertices.astype(np.float32)
        arrays[f"faces{place}"] = mesh.faces.astype(np.uint16 if len(mesh.vertices) <= 0xFFFF else np.int32)
    return arrays


def _bin(arrays: Arrays, parts: Mapping[str, PreparedPart]) -> StoredBin:
    header = json.loads(arrays["header"].tobytes())
    names, poses = header["object_ids"], _from_rows(arrays["T_world_obj"])
    unnamed = [_unnamed(arrays, place, axis) for place, axis in enumerate(arrays["axes"].astype(np.float64))]
    pile = packed(
        [(parts[name], pose) for name, pose in zip(names, poses[: len(names)], strict=True)],
        list(zip(unnamed, poses[len(names) :], strict=True)),
        _mesh(arrays, len(unnamed)),
        arrays["boxes"].astype(np.float64),
        tuple(Wall(row[:3], row[3:6], float(row[6])) for row in arrays["sides"].astype(np.float64)),
    )
    camera = Camera(*arrays["intrinsics"].astype(np.float64).tolist(), *header["size"])
    return StoredBin(pile, camera, _from_rows(arrays["T_cam_world"])[0])


def _unnamed(arrays: Arrays, place: int, axis: FloatArray) -> PreparedPart:
    mesh = _mesh(arrays, place)
    diameter_m = float(np.linalg.norm(np.ptp(mesh.vertices, axis=0)))
    return PreparedPart("", mesh, smooth_corner_normals(mesh), (), diameter_m, axis)


def _mesh(arrays: Arrays, place: int) -> Mesh:
    return Mesh(arrays[f"vertices{place}"], arrays[f"faces{place}"].astype(np.int32))


def _to_rows(T: FloatArray) -> npt.NDArray[np.float32]:
    """(N, 7) quaternion x, y, z, w and translation of poses (N, 4, 4)."""
    return np.concatenate([quat_xyzw_from_rotation(T[:, :3, :3]), T[:, :3, 3]], axis=1).astype(np.float32)


def _from_rows(rows: npt.NDArray[np.float32]) -> FloatArray:
    """Poses (N, 4, 4) float64 of rows (N, 7)."""
    exact = rows.astype(np.float64)
    return rounded(from_rotation_translation(rotation_from_quat_xyzw(exact[:, :4]), exact[:, 4:]))


def _encoded(header: Mapping[str, Any]) -> npt.NDArray[np.uint8]:
    return np.frombuffer(json.dumps(header).encode(), np.uint8)
