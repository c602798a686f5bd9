import json

import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.datasets.bop import BopDataset
from binpose_core.datasets.labelled_views import labelled_views
from binpose_core.parts.catalogue import make_object
from binpose_simulation import stream
from binpose_simulation.export import export_bop


@pytest.fixture
def objects(parts, monkeypatch):
    """Two objects whose convex pieces are known, so that nothing has to be decomposed."""
    monkeypatch.setattr(stream, "as_prepared", lambda models, *_: {key: parts[key] for key in models})
    return [make_object(parts[key].mesh, key, number) for number, key in enumerate(("block", "disc"), 1)]


def test_path_traced_views_are_for_evaluation_and_are_resumed(objects, tiny, traced, tmp_path):
    class Stop(Exception):
        pass

    def stop(done, count):
        raise Stop

    with pytest.raises(Stop):
        export_bop(tmp_path / "a", objects, 2, tiny, 3, workers=0, on_view=stop, path_traced=traced)
    assert json.loads((tmp_path / "a" / "dataset_info.json").read_text()) == {"labels_for": "evaluation"}
    assert export_bop(tmp_path / "a", objects, 2, tiny, 3, workers=0, path_traced=traced) == 1
    assert export_bop(tmp_path / "b", objects, 2, tiny, 3, workers=0, path_traced=traced) == 2
    names = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.png"))
    assert len(names) > 4
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    with pytest.raises(BinposeError, match="for evaluation only"):
        labelled_views(BopDataset(tmp_path / "a"))
    assert len(list(labelled_views(BopDataset(tmp_path / "a"), purpose="evaluation"))) == 2


def test_views_of_both_renderers_do_not_mix(objects, tiny, traced, tmp_path):
    export_bop(tmp_path, objects, 1, tiny, 3, workers=0)
    with pytest.raises(BinposeError, match="whose labels may train; expected a data set of path-traced views alone"):
        export_bop(tmp_path, objects, 1, tiny, 4, workers=0, path_traced=traced)
    with pytest.raises(BinposeError, match="made with other settings"):
        export_bop(tmp_path, objects, 1, tiny, 3, workers=0, path_traced=traced)
    assert not (tmp_path / "dataset_info.json").exists()
