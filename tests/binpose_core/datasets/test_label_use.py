import json

import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.datasets.label_use import DATASET_INFO, check_labels_may_train, labels_for, mark_for_evaluation


def test_a_data_set_without_the_file_may_train(tmp_path):
    assert labels_for(tmp_path) == ""
    check_labels_may_train(tmp_path)


def test_a_mark_keeps_what_else_the_file_says(tmp_path):
    (tmp_path / DATASET_INFO).write_text('{"name": "cell 3"}')
    mark_for_evaluation(tmp_path)
    assert json.loads((tmp_path / DATASET_INFO).read_text()) == {"name": "cell 3", "labels_for": "evaluation"}
    with pytest.raises(BinposeError, match="for evaluation only"):
        check_labels_may_train(tmp_path)


@pytest.mark.parametrize("text", ['{"labels_for": "fun"}', "[1]", "{"])
def test_a_damaged_file_does_not_open_the_labels(tmp_path, text):
    (tmp_path / DATASET_INFO).write_text(text)
    with pytest.raises(BinposeError):
        check_labels_may_train(tmp_path)
