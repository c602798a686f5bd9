"""The version loaded is the version saved, or there is one clear sentence."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open as open_weights
from safetensors.numpy import save as save_tensors

from binpose_core.base.errors import BinposeError, DamagedModel
from binpose_core.learning.model_store import ModelStore, Tensors

SOURCE = Path(__file__).resolve().parents[3] / "src" / "binpose_core"

SAVE_ON_A_FULL_DISK = """
import resource, signal, sys
import numpy as np
from binpose_core.base.errors import BinposeError, DamagedModel
from binpose_core.learning.model_store import ModelStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    ModelStore(sys.argv[1]).save({"w": np.ones(5000, np.float32)}, {"config": "c" * 50_000})
except BinposeError as error:
    print(error)
"""


def tensors(seed: int = 0) -> Tensors:
    rng = np.random.default_rng(seed)
    return {
        "encoder.weight": rng.normal(size=(4, 3, 2)).astype(np.float32),
        "encoder.bias": rng.normal(size=4).astype(np.float32),
        "faces": rng.integers(0, 99, size=(5, 3)).astype(np.int32),
        "steps": np.array(7, dtype=np.int64),
    }


def assert_same(actual: Tensors, expected: Tensors) -> None:
    assert set(actual) == set(expected)
    for name, value in expected.items():
        assert actual[name].dtype == value.dtype
        np.testing.assert_array_equal(actual[name], value, err_msg=name)


def weights_file(store: ModelStore, version: str) -> Path:
    return store.directory / f"weights-{version[:12]}.safetensors"


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


def test_what_was_saved_is_loaded(store: ModelStore) -> None:
    version = store.save(tensors(), {"config": {"width": 64}, "objects": [{"id": "cog"}], "metrics": {"recall": 0.9}})
    model = store.load()
    assert_same(model.tensors, tensors())
    assert (model.version, model.parent) == (version, None)
    assert model.header["config"] == {"width": 64}
    assert model.header["objects"] == [{"id": "cog"}]


def test_the_version_is_the_hash_of_the_file(store: ModelStore) -> None:
    version = store.save(tensors(), {})
    assert hashlib.sha256(weights_file(store, version).read_bytes()).hexdigest() == version


def test_the_version_depends_on_the_tensors_and_on_the_header_alone(store: ModelStore, tmp_path: Path) -> None:
    version = store.save(tensors(), {"metrics": 1})
    shuffled = dict(reversed(tensors().items()))
    assert ModelStore(tmp_path / "other").save(shuffled, {"metrics": 1}) == version
    assert store.save(tensors(), {"metrics": 2}) != version
    assert store.save(tensors(1), {"metrics": 1}) != version


HEADER = {
    "config": {"width": 64, "names": ["a", "b"], "on": True, "none": None, "deep": [{"x": [1.5, -2]}]},
    "objects": [{"id": "cog", "diameter_m": 0.084, "symmetries": [[0.0, 1.0]]}],
    "metrics": {"recall": 0.9, "not measured": float("nan")},
    "calibrated": True,
}


def leaves(value: object, path: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    """The place of every value in JSON data, and of every list and mapping."""
    yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from leaves(item, (*path, key))


def other(value: object, rng: np.random.Generator) -> object:
    """A value that differs: of the same kind, of another, or none."""
    kind = rng.integers(4)
    if kind == 0 or value is None:
        return "other"
    if kind == 1:
        return not value if isinstance(value, bool) else -value - 1 if isinstance(value, int | float) else None
    return {"more": value} if kind == 2 else [value]


@pytest.mark.parametrize("seed", range(5))
def test_no_other_value_in_the_header_is_accepted(store: ModelStore, seed: int) -> None:
    version = store.save(tensors(), HEADER)
    path = weights_file(store, version).with_suffix(".json")
    text, rng = path.read_text(), np.random.default_rng(seed)
    for *parents, key in list(leaves(json.loads(text)))[1:]:
        header = json.loads(text)
        place = header
        for step in parents:
            place = place[step]
        if rng.random() < 0.2:
            del place[key]
        else:
            place[key] = other(place[key], rng)
        if header.get("parent") is None and key == "parent":
            continue  # It was left out, which means the same.
        path.write_text(json.dumps(header))
        with pytest.raises(BinposeError, match=path.stem) as caught:
            store.load(version)
        assert "\n" not in str(caught.value)
    path.write_text(text)
    assert store.load(version).version == version


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_no_flipped_bit_is_accepted(store: ModelStore, suffix: str) -> None:
    version = store.save(tensors(), HEADER)
    path, rng = weights_file(store, version).with_suffix(suffix), np.random.default_rng(0)
    data, before = path.read_bytes(), store.load(version).header
    for place in rng.integers(0, len(data), 300):
        flipped = bytearray(data)
        flipped[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        try:
            loaded = store.load(version)
        except BinposeError:
            continue
        assert suffix == ".json" and loaded.header == before  # White space between the values.


def test_the_listing_names_an_altered_header(store: ModelStore) -> None:
    version = store.save(tensors(), HEADER)
    path = weights_file(store, version).with_suffix(".json")
    assert store.damages() == []
    path.write_text(path.read_text().replace("0.084", "1.84"))
    assert "was altered" in store.damages()[0]


def without_digest(store: ModelStore) -> str:
    """A version as earlier releases wrote it."""
    data = save_tensors({"half": np.ones(3, np.float16), "w": np.arange(3.0)})
    version = hashlib.sha256(data).hexdigest()
    store.directory.mkdir(exist_ok=True)
    weights_file(store, version).write_bytes(data)
    header = {"format": "binpose-model-1", "sha256": version, "bytes": len(data), "created": "2026", "parent": None}
    weights_file(store, version).with_suffix(".json").write_text(json.dumps({**header, **{"config": {"width": 64}}}))
    return version


def test_weights_of_an_earlier_release_are_loaded_and_can_be_sealed(store: ModelStore) -> None:
    old = without_digest(store)
    assert store.load().version == old and not store.covers_header(old)
    new = store.reseal(old)
    assert store.covers_header(new) and store.current() == new and store.reseal(new) == new
    assert_same(store.load().tensors, store.load(old).tensors)
    assert store.load().header["config"] == {"width": 64}
    with open_weights(weights_file(store, new), "np") as file:
        assert file.get_tensor("half").dtype == np.float16  # Stored as it was, not made larger.


def test_views_of_arrays_are_stored_as_they_look(store: ModelStore) -> None:
    base = np.arange(24, dtype=np.float32).reshape(4, 6)
    views = {
        "transposed": base.T,
        "sliced": base[::2, 1::3],
        "reversed": base[::-1],
        "broadcast": np.broadcast_to(base[0], (2, 6)),
    }
    store.save(views, {})
    assert_same(store.load().tensors, views)


def test_the_first_version_is_current_until_another_is_promoted(store: ModelStore) -> None:
    assert store.versions() == []
    assert store.current() is None
    first = store.save(tensors(0), {})
    second = store.save(tensors(1), {}, parent=first)
    third = store.save(tensors(2), {}, parent=second)
    assert store.versions() == [first, second, third]
    assert store.current() == first
    store.promote(second)
    assert store.current() == store.load().version == second
    assert store.load().parent == first
    store.promote(first[:8])
    assert_same(store.load().tensors, tensors(0))


def test_a_lone_version_without_a_pointer_is_current(store: ModelStore) -> None:
    first = store.save(tensors(0), {})
    (store.directory / "current.json").unlink()
    assert store.current() == first
    store.save(tensors(1), {})
    assert store.current() == first


def test_a_version_is_found_by_its_first_digits(store: ModelStore) -> None:
    version = store.save(tensors(), {})
    assert store.load(version[:5]).version == version


def test_the_header_of_a_loaded_model_can_be_saved_with_new_tensors(store: ModelStore) -> None:
    first = store.save(tensors(), {"config": 1})
    second = store.save(tensors(1), store.load().header, parent=first)
    assert store.load(second).header["sha256"] == second
    assert store.load(second).header["config"] == 1
    assert store.load(second).parent == first


@given(st.lists(st.floats(-6e4, 6e4, width=32), min_size=1, max_size=20))
@settings(max_examples=20)
def test_half_precision_is_close_and_comes_back_as_float32(
    tmp_path_factory: pytest.TempPathFactory, values: list[float]
) -> None:
    store = ModelStore(tmp_path_factory.mktemp("half"))
    weights = np.array(values, np.float32)
    store.save({"w": weights, "exact": weights}, {}, half=["w"])
    loaded = store.load().tensors
    assert loaded["w"].dtype == np.float32
    np.testing.assert_allclose(loaded["w"], weights, rtol=2**-11, atol=2**-24)
    np.testing.assert_array_equal(loaded["exact"], weights)


def test_half_precision_halves_the_file(store: ModelStore) -> None:
    weights = {"w": np.ones(100_000, np.float32)}
    full, half = store.save(weights, {}), store.save(weights, {}, half=["w"])
    assert weights_file(store, half).stat().st_size < 0.51 * weights_file(store, full).stat().st_size


def test_what_does_not_fit_into_half_precision_is_refused(store: ModelStore) -> None:
    with pytest.raises(BinposeError, match=r"'w' holds 7e\+04; expected at most 65504"):
        store.save({"w": np.array([7e4], np.float32)}, {}, half=["w"])
    with pytest.raises(BinposeError, match=r"No tensors \['typo'\]"):
        store.save({"w": np.ones(1, np.float32)}, {}, half=["typo"])
    assert not store.directory.exists()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def alter(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("suffix", "damage", "message"),
    [
        (".safetensors", truncate, "is truncated: .* bytes; expected the whole file"),
        (".safetensors", alter, "the file was altered"),
        (".safetensors", Path.unlink, "Could not read .*; expected the weights of version"),
        (".json", Path.unlink, "has no header; expected weights-.*json beside it"),
        (".json", truncate, "is no valid JSON"),
        (".json", lambda path: path.write_text("{}"), "is no header of these weights"),
    ],
)
def test_damage_is_named_and_never_loaded(store: ModelStore, suffix: str, damage, message: str) -> None:  # type: ignore[no-untyped-def]
    version = store.save(tensors(), {})
    other = store.save(tensors(1), {})
    damage(weights_file(store, version).with_suffix(suffix))
    for attempt in (store.load, lambda: store.load(version), lambda: store.promote(version)):
        with pytest.raises(DamagedModel, match=message) as caught:
            attempt()
        assert "\n" not in str(caught.value) and caught.value.path.stem == f"weights-{version[:12]}"
    # The damage of one version does not reach the others.
    assert_same(store.load(other).tensors, tensors(1))


@pytest.mark.parametrize("key, value", [("bytes", "x"), ("created", 7), ("parent", ["a"])])
def test_a_header_with_values_of_another_kind_is_named(store: ModelStore, key: str, value: object) -> None:
    version = store.save(tensors(0), {})
    path = weights_file(store, version).with_suffix(".json")
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(BinposeError, match=f"{key} is .*expected a text for created"):
        store.load(version)


def test_what_is_no_store_is_named(store: ModelStore) -> None:
    with pytest.raises(BinposeError, match=r"No model at .*binpose train --out"):
        store.load()
    store.directory.mkdir()
    with pytest.raises(BinposeError, match="is no model store"):
        store.load()
    (store.directory / "weights.txt").touch()
    with pytest.raises(BinposeError, match="is no model store"):
        ModelStore(store.directory / "weights.txt").load()


def test_an_unknown_version_is_named_beside_the_known_ones(store: ModelStore) -> None:
    version = store.save(tensors(), {})
    with pytest.raises(BinposeError, match=f"No version 'zzz' in .*; known: {version[:12]};"):
        store.load("zzz")
    (store.directory / "current.json").write_text("[]")
    with pytest.raises(BinposeError, match=r"current\.json names no version"):
        store.load()


@pytest.mark.parametrize("limit_bytes", [1000, 30_000])
def test_a_full_disk_leaves_the_store_as_it_was(store: ModelStore, limit_bytes: int) -> None:
    """The weights take 20 kB and the header 50 kB: the limits stop the one and the other."""
    version = store.save(tensors(), {})
    before = {path.name for path in store.directory.iterdir()}
    done = subprocess.run(
        [sys.executable, "-c", SAVE_ON_A_FULL_DISK, str(store.directory), str(limit_bytes)],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "no space is left there" in done.stdout
    assert {path.name for path in store.directory.iterdir()} == before
    assert store.load().version == version


def test_no_store_appears_without_a_save(tmp_path: Path) -> None:
    ModelStore(tmp_path / "models").versions()
    assert list(tmp_path.iterdir()) == []


def test_the_files_are_plain(store: ModelStore) -> None:
    """No pickle: a header that a person can read and a file of raw numbers."""
    version = store.save(tensors(), {"metrics": {"recall": 0.9}})
    assert json.loads((store.directory / "current.json").read_text()) == {"version": version}
    header = json.loads(weights_file(store, version).with_suffix(".json").read_text())
    assert header["metrics"] == {"recall": 0.9}
    assert header["bytes"] == weights_file(store, version).stat().st_size
