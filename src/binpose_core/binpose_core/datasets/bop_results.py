"""Estimated poses as the BOP challenge exchanges them: one CSV file, millimetres, rotations row by row."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from binpose_core.base.errors import BadFile
from binpose_core.base.files import decode_text, write_text
from binpose_core.geometry.transforms import FloatArray, from_rotation_translation

HEADER = ("scene_id", "im_id", "obj_id", "score", "R", "t", "time")


@dataclass(frozen=True)
class BopResult:
    """One estimated pose.

    T_cam_obj: (4, 4), metres.
    time_s: what the whole image took, the same in all its results; -1 where it was not measured.
    """

    scene_id: int
    image_id: int
    obj_id: int
    score: float
    T_cam_obj: FloatArray
    time_s: float = -1.0


def write_results(path: Path | str, results: Iterable[BopResult]) -> None:
    """Write results as CSV, beside the target and renamed. Numbers are written so that they read back equal."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for result in results:
        pose = np.asarray(result.T_cam_obj, dtype=np.float64)
        rotation, translation_mm = _numbers(pose[:3, :3]), _numbers(pose[:3, 3] * 1e3)
        score, time_s = float(result.score), float(result.time_s)
        writer.writerow(
            (
                result.scene_id,
                result.image_id,
                result.obj_id,
                score,
                rotation,
                translation_mm,
                time_s,
            )
        )
    write_text(path, text.getvalue())


def read_results(path: Path | str) -> list[BopResult]:
    """The results in a CSV file, with or without its line of headings.

    Raises:
        BinposeError: for a file that is missing or a line that is not a result, with its number.
    """
    try:
        lines = decode_text(Path(path).read_bytes()).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(
            f"Cannot read results {path}: {error}; expected the CSV file that `binpose estimate` writes.", path
        ) from error
    results = []
    for number, row in enumerate(csv.reader(lines), start=1):
        if not row or row[0].strip() == HEADER[0]:
            continue
        try:
            results.append(_result(row))
        except ValueError as error:
            raise BadFile(
                f"Line {number} of {path} is not a BOP result ({error}); expected {','.join(HEADER)} with 9 numbers "
                "in R and 3 in t; write the file again.",
                path,
            ) from error
    return results


def _result(row: list[str]) -> BopResult:
    if len(row) != len(HEADER):
        raise ValueError(f"{len(row)} columns")
    rotation, translation_mm = (np.array(cell.split(), dtype=np.float64) for cell in row[4:6])
    pose = from_rotation_translation(rotation.reshape(3, 3), translation_mm.reshape(3) * 1e-3)
    if not np.isfinite(pose).all():
        raise ValueError("a pose that is not finite")
    score, time_s = float(row[3]), float(row[6])
    if not np.isfinite([score, time_s]).all():
        raise ValueError("a score or time that is not finite")
    return BopResult(int(row[0]), int(row[1]), int(row[2]), score, pose, time_s)


def _numbers(values: FloatArray) -> str:
    return " ".join(repr(float(value)) for value in np.ravel(values))
