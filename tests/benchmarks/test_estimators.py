"""The rows of the comparison of estimators."""

from types import ModuleType

import pytest

from binpose_core.base.errors import BinposeError
from binpose_estimator import CodebookPreset, DefaultPreset


@pytest.fixture
def estimators(benchmarks: None) -> ModuleType:
    import estimators

    return estimators


def test_a_row_names_a_preset_its_settings_and_what_teaches_it(estimators: ModuleType) -> None:
    plain, set_, taught = (
        estimators.Row.of(given) for given in ("default", "default:conditioning=film,hypotheses=3", "default+kd+ht")
    )
    assert plain.preset == DefaultPreset() and plain.taught == ()
    assert set_.preset == DefaultPreset(hypotheses=3, conditioning="film")
    assert taught.preset == plain.preset and taught.taught == ("kd", "ht")
    assert taught.distillation.hint > 0 == estimators.Row.of("default+kd").distillation.hint
    assert set_.separate.preset == DefaultPreset(hypotheses=3, conditioning="single")
    assert estimators.Row.of("codebook").separate.preset == CodebookPreset(), "it has no conditioning"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("default+ht", r"ends with \+ht; expected \+kd, \+kd\+ht, or nothing"),
        ("default:colour=red", "no setting 'colour'; expected widths, hypotheses, conditioning"),
        ("nothing", "pose preset 'nothing' is unknown"),
    ],
)
def test_other_rows_are_refused(estimators: ModuleType, given: str, problem: str) -> None:
    with pytest.raises(BinposeError, match=problem):
        estimators.Row.of(given)


def test_rows_of_the_same_settings_share_their_files(estimators: ModuleType, tmp_path) -> None:
    trainer = estimators.Trainer({}, (), 96, 24, "", tmp_path)
    row, teacher = estimators.Row.of("default+kd"), estimators.Row.of("default:conditioning=single")
    assert trainer.file(row.separate, "") == trainer.file(teacher, "")
    assert trainer.file(row, "") != trainer.file(estimators.Row.of("default"), "")
