"""What the labels of a data set may be used for: `dataset_info.json` beside its splits.

Some data sets stand for recordings of a real cell. Their labels measure a model, and nothing may be trained on them.
Data sets without the file have no such limit.
"""

from pathlib import Path

from binpose_core.base.errors import BadFile, BinposeError
from binpose_core.base.files import write_json
from binpose_core.datasets.bop_json import read_json_object

DATASET_INFO = "dataset_info.json"
LABELS_FOR, EVALUATION = "labels_for", "evaluation"


def labels_for(root: Path | str) -> str:
    """What the labels of a data set are for: `EVALUATION`, or "" for everything.

    Raises:
        BinposeError: for a damaged file or an unknown use.
    """
    path = Path(root) / DATASET_INFO
    if not path.is_file():
        return ""
    use = read_json_object(path).get(LABELS_FOR, "")
    if use not in ("", EVALUATION):
        raise BadFile(
            f"{path} says that labels are for {use!r}; expected {EVALUATION!r} or no such entry; correct the file.",
            path,
        )
    return str(use)


def mark_for_evaluation(root: Path | str) -> None:
    """State that the labels of a data set are for evaluation only; other entries of the file are kept."""
    path = Path(root) / DATASET_INFO
    entries = read_json_object(path) if path.is_file() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, entries | {LABELS_FOR: EVALUATION})


def check_labels_may_train(root: Path | str) -> None:
    """Refuse labels that are for evaluation only.

    Raises:
        BinposeError: for a data set with such labels.
    """
    if labels_for(root) == EVALUATION:
        raise BinposeError(
            f"The labels of {root} are for evaluation only ({DATASET_INFO}); expected a data set whose labels may "
            "train; train on other labels, or use the frames without labels."
        )
