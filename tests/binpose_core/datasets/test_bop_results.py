"""Results files read back as they were written, and say which line is wrong."""

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.datasets.bop_results import BopResult, read_results, write_results
from binpose_core.geometry.transforms import from_rotation_translation, random_rotation

LINE = "2,5,1,0.5,1 0 0 0 1 0 0 0 1,10 20 500,0.25\n"


def test_round_trip(tmp_path):
    rng = np.random.default_rng(0)
    results = [
        BopResult(14, n, n % 3, rng.random(), from_rotation_translation(random_rotation(rng), rng.normal(size=3)), 0.1)
        for n in range(5)
    ]
    write_results(tmp_path / "results.csv", results)
    read = read_results(tmp_path / "results.csv")
    for before, after in zip(results, read, strict=True):
        np.testing.assert_allclose(after.T_cam_obj, before.T_cam_obj, rtol=1e-14, atol=1e-15)
        keys = ("scene_id", "image_id", "obj_id", "score", "time_s")
        assert [getattr(after, key) for key in keys] == [getattr(before, key) for key in keys]


def test_the_file_is_bops(tmp_path):
    pose = np.array([[0, -1, 0, 0.01], [1, 0, 0, 0.02], [0, 0, 1, 0.5], [0, 0, 0, 1.0]])
    write_results(tmp_path / "results.csv", [BopResult(2, 5, 1, 0.5, pose)])
    header, line = (tmp_path / "results.csv").read_text().splitlines()
    assert header == "scene_id,im_id,obj_id,score,R,t,time"
    assert line == "2,5,1,0.5,0.0 -1.0 0.0 1.0 0.0 0.0 0.0 0.0 1.0,10.0 20.0 500.0,-1.0"


def test_headings_and_blank_lines_may_be_there_or_not(tmp_path):
    for text in (LINE, "scene_id,im_id,obj_id,score,R,t,time\n" + LINE, "\n" + LINE + "\n"):
        (tmp_path / "results.csv").write_text(text)
        (result,) = read_results(tmp_path / "results.csv")
        np.testing.assert_allclose(result.T_cam_obj[:3, 3], [0.01, 0.02, 0.5])
    write_results(tmp_path / "results.csv", [])
    assert read_results(tmp_path / "results.csv") == []


@pytest.mark.parametrize(
    "line",
    [
        "2,5,1\n",
        LINE.replace("0.5,", "much,"),
        LINE.replace("500", ""),
        LINE.replace("500", "nan"),
        LINE.replace("0.5,", "nan,"),
    ],
)
def test_a_line_that_is_no_result_is_named(tmp_path, line):
    (tmp_path / "results.csv").write_text(LINE + line)
    with pytest.raises(BinposeError, match=r"Line 2 of .*results.csv is not a BOP result"):
        read_results(tmp_path / "results.csv")


def test_a_missing_file(tmp_path):
    with pytest.raises(
        BinposeError, match=r"Cannot read results .*expected the CSV file that `binpose estimate` writes"
    ):
        read_results(tmp_path / "none.csv")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks_are_understood(tmp_path, encoding):
    (tmp_path / "results.csv").write_text("scene_id,im_id,obj_id,score,R,t,time\n" + LINE, encoding=encoding)
    (result,) = read_results(tmp_path / "results.csv")
    assert (result.scene_id, result.image_id) == (2, 5)
