"""Trained weights on disk: a folder of immutable versions and a pointer to the one in use.

    weights-3f9c01ab52de.safetensors    the tensors; the name begins with the version, the sha256 of this file
    weights-3f9c01ab52de.json           the header: sha256, bytes, created, parent, check, and what the trainer adds
    current.json                        the aliases: `champion` (the version in use), `previous` and `candidate`
    verdict-3f9c01ab52de.json           verdicts of the gate about a version

The tensors' file holds a digest of the header's values, so that the version covers all that changes results: a header
with one other value is refused. Weights of an earlier binpose have no such digest and are loaded as they are; `reseal`
saves them anew.

Never pickle: loading a model runs no code of its maker.
"""

import contextlib
import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as tensors_from_bytes
from safetensors.numpy import save as bytes_from_tensors

from binpose_core.base.errors import BinposeError, DamagedModel, NoModel, UnknownVersion
from binpose_core.base.files import remove_leftovers, to_json, write_atomically
from binpose_core.learning.model_header import (
    DIGEST_KEY,
    FORMAT,
    OWN_KEYS,
    SHORT,
    check_covered,
    checked_header,
    header_digest,
    own_digest,
    read_digest,
    stored_digest,
)
from binpose_core.learning.store_records import (
    ALIASES,
    CANDIDATE,
    CHAMPION,
    POINTER,
    PREVIOUS,
    append_verdict,
    read_aliases,
    read_verdicts,
    write_aliases,
    writing,
)
from binpose_core.learning.stored_tensors import restored, storable, verified_bytes

__all__ = ["SHORT", "ModelStore", "StoredModel", "Tensors"]

Tensors = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class StoredModel:
    """One version, as loaded.

    tensors: by name; those stored as float16 are float32 again.
    header: what was saved with them, and the store's own entries (sha256, bytes, created, parent).
    version: sha256 of the weights file, which covers the header too; 64 hex digits.
    parent: version that this one was trained from, or None.
    """

    tensors: Tensors
    header: dict[str, Any]
    version: str
    parent: str | None


class ModelStore:
    """The versions in one directory; made on the first `save`."""

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)

    def save(
        self,
        tensors: Mapping[str, npt.NDArray[Any]],
        header: Mapping[str, Any],
        *,
        parent: str | None = None,
        half: Collection[str] = (),
    ) -> str:
        """Write a version; the first one in a store becomes the current one, later ones by `promote`.

        Args:
            tensors: arrays of any shape, by name.
            header: JSON-able: config, objects, metrics.
            parent: version that this one was trained from.
            half: names of tensors to store as float16, for half the size at a relative error of at most 2**-11.

        Returns:
            The version: sha256 of the weights file, which covers the header too; 64 hex digits.

        Raises:
            BinposeError: when the disk is full, or a tensor does not fit into float16.
        """
        if unknown := set(half) - set(tensors):
            raise BinposeError(f"No tensors {sorted(unknown)} to store as float16; expected names among the tensors.")
        stored = {name: storable(name, value, name in half) for name, value in tensors.items()}
        return self._save(stored, header, parent)

    def reseal(self, version: str) -> str:
        """Save a version whose weights do not cover its header anew, with the same tensors and values.

        The old files stay. Where the old version was in use, the new one is.

        Returns:
            The new version; the same one where its weights cover the header already.

        Raises:
            BinposeError: as `load` and `save`.
        """
        version = self.resolve(version)
        header = self.header(version)
        data = verified_bytes(self._weights_path(version), version, header)
        if stored_digest(data) is not None:
            return version
        current = self.current()
        new = self._save(tensors_from_bytes(data), header, header["parent"])
        if current == version:
            self.promote(new)
        return new

    def covers_header(self, version: str) -> bool:
        """Whether the weights of a version hold a digest of its header; those of an earlier binpose do not."""
        return read_digest(self._weights_path(self.resolve(version))) is not None

    def _save(self, stored: Mapping[str, npt.NDArray[Any]], header: Mapping[str, Any], parent: str | None) -> str:
        created = datetime.now(timezone.utc).isoformat(timespec="microseconds")
        others = {key: value for key, value in header.items() if key not in OWN_KEYS}
        content = json.loads(to_json({"format": FORMAT, "created": created, "parent": parent, **others}))
        data = bytes_from_tensors(dict(stored), metadata={DIGEST_KEY: header_digest(content)})
        version = hashlib.sha256(data).hexdigest()
        before = self.current()
        remove_leftovers(self.directory)
        complete = {"sha256": version, "bytes": len(data), **content}
        self._write(version, data, {**complete, "check": own_digest(complete)})
        if not self._pointer.is_file():
            self.promote(before or version)
        return version

    def versions(self) -> list[str]:
        """The versions with a sound header, oldest first; empty where there is no store yet."""
        headers = []
        for path in self.directory.glob("weights-*.json"):
            with contextlib.suppress(BinposeError):  # One damaged header must not hide the other versions.
                headers.append(checked_header(path))
        return [header["sha256"] for header in sorted(headers, key=lambda header: str(header["created"]))]

    def damages(self) -> list[str]:
        """A sentence for each version whose header is damaged or altered, or whose weights are missing or cut."""
        found = []
        for path in sorted(self.directory.glob("weights-*.json")):
            try:
                header, weights = checked_header(path), path.with_suffix(".safetensors")
                size = weights.stat().st_size if weights.is_file() else 0
                if size != header["bytes"]:
                    found.append(f"{weights} has {size} bytes; expected {header['bytes']}; copy it again.")
                else:
                    check_covered(path, header, read_digest(weights))
            except BinposeError as error:
                found.append(str(error))
        return found

    def current(self) -> str | None:
        """The version in use, or None; a store's only version is in use without having been promoted.

        Raises:
            BinposeError: when current.json is damaged.
        """
        if not self._pointer.is_file():
            versions = self.versions()
            return versions[0] if len(versions) == 1 else None
        return read_aliases(self._pointer)[CHAMPION]

    def aliases(self) -> dict[str, str]:
        """The version of each alias that is set: `champion` (in use), `candidate` and `previous`.

        Raises:
            BinposeError: when current.json is damaged.
        """
        if self._pointer.is_file():
            return read_aliases(self._pointer)
        current = self.current()
        return {} if current is None else {CHAMPION: current}

    def promote(self, version: str) -> None:
        """Make `version` (an alias, or its first digits) the champion; the one that was in use becomes `previous`.

        Raises:
            BinposeError: for an unknown version, or one whose files are damaged: what is in use can be loaded.
        """
        version = self.load(version).version
        with writing(self.directory):
            old = self.aliases()
            previous = old.get(PREVIOUS) if old.get(CHAMPION) in (None, version) else old[CHAMPION]
            candidate = None if old.get(CANDIDATE) == version else old.get(CANDIDATE)
            write_aliases(self._pointer, {CHAMPION: version, PREVIOUS: previous, CANDIDATE: candidate})

    def rollback(self) -> str:
        """Put the previous version in use again and return it; the one that was in use becomes `previous`.

        Raises:
            BinposeError: when there is no previous version, or its files are damaged.
        """
        previous = self.aliases().get(PREVIOUS)
        if previous is None:
            raise UnknownVersion(
                f"{self.directory} has no previous version to roll back to; expected one earlier promotion; promote a "
                "version by name.",
                PREVIOUS,
                self.versions(),
            )
        self.promote(previous)
        return previous

    def nominate(self, version: str | None) -> None:
        """Give a version the alias `candidate`; None removes the alias.

        Raises:
            BinposeError: for an unknown version, one whose files are damaged, or a store without a champion.
        """
        candidate = None if version is None else self.load(version).version
        champion = self._current_or_error()
        with writing(self.directory):
            old = self.aliases()
            new = {CHAMPION: champion, **old, CANDIDATE: candidate}
            write_aliases(self._pointer, new)

    def record_verdict(self, version: str, verdict: Mapping[str, Any]) -> None:
        """Record a verdict of the gate about a version, after those that there are.

        Args:
            version: alias or first digits.
            verdict: JSON-able, with the entries `decision` and `champion`.
        """
        append_verdict(self.directory, self.resolve(version), verdict)

    def verdicts(self, version: str) -> list[dict[str, Any]]:
        """The verdicts of the gate about a version (alias or first digits), oldest first.

        Raises:
            BinposeError: when the version is unknown, or their file is damaged.
        """
        return read_verdicts(self.directory, self.resolve(version))

    def promoted_over(self, version: str, champion: str) -> bool:
        """Whether the last verdict on `version` against `champion` promotes it."""
        against = [verdict for verdict in self.verdicts(version) if verdict.get("champion") == champion]
        return bool(against) and against[-1].get("decision") == "promoted"

    def load(self, version: str | None = None) -> StoredModel:
        """A version, verified with its header against its hash; without an argument the current one.

        Args:
            version: 64 hex digits, or as many of the first ones as are unique; or an alias.

        Raises:
            BinposeError: when this is no store, the version is unknown, or a file is missing, truncated or altered.
        """
        self._check_store()
        version = self.resolve(self._current_or_error() if version is None else version)
        header = self.header(version)
        data = verified_bytes(self._weights_path(version), version, header)
        check_covered(self._header_path(version), header, stored_digest(data))
        try:
            tensors = tensors_from_bytes(data)
        except SafetensorError as error:
            raise DamagedModel(
                f"{self._weights_path(version)} holds no tensors ({error}); expected a safetensors file; train again.",
                self._weights_path(version),
            ) from error
        tensors = {name: restored(value) for name, value in tensors.items()}
        return StoredModel(tensors, header, version, header["parent"])

    def header(self, version: str) -> dict[str, Any]:
        """The header of `version` (or its first digits), without reading the weights.

        Raises:
            BinposeError: when the version is unknown, or its header is missing or damaged.
        """
        return checked_header(self._header_path(self.resolve(version)))

    def resolve(self, version: str) -> str:
        """The full version (64 hex digits) that begins with `version`, or that an alias stands for.

        Raises:
            BinposeError: when none or several do, its header is missing, or the alias is not set.
        """
        if version in ALIASES:
            version = self._of_alias(version)
        known = self.versions()
        matches = [candidate for candidate in known if version and candidate.startswith(version)]
        if len(matches) == 1:
            return matches[0]
        if version and not matches and self._weights_path(version).is_file():
            checked_header(self._header_path(version))
        listed = ", ".join(candidate[:SHORT] for candidate in known) or "none"
        what = "Several versions begin with" if matches else "No version"
        raise UnknownVersion(
            f"{what} {version!r} in {self.directory}; known: {listed}; give one of these.", version, known
        )

    def _of_alias(self, alias: str) -> str:
        found = self.aliases()
        if alias not in found:
            listed = ", ".join(f"{name} {version[:SHORT]}" for name, version in found.items()) or "none"
            raise UnknownVersion(
                f"{self.directory} has no {alias}; set aliases: {listed}; give a version.", alias, self.versions()
            )
        return found[alias]

    @property
    def _pointer(self) -> Path:
        return self.directory / POINTER

    def _write(self, version: str, data: bytes, header: Mapping[str, Any]) -> None:
        weights, header_path = self._weights_path(version), self._header_path(version)
        try:
            # Both files are complete before either gets its name; the header comes last, since it lists the version.
            with write_atomically(header_path) as header_file, write_atomically(weights) as weights_file:
                weights_file.write_bytes(data)
                header_file.write_text(to_json(header), encoding="utf-8")
        except BaseException:
            if not header_path.exists():
                weights.unlink(missing_ok=True)
            raise

    def _weights_path(self, version: str) -> Path:
        return self.directory / f"weights-{version[:SHORT]}.safetensors"

    def _header_path(self, version: str) -> Path:
        return self.directory / f"weights-{version[:SHORT]}.json"

    def _check_store(self) -> None:
        if not self.directory.exists():
            raise NoModel(
                f"No model at {self.directory}; expected a folder with weights; train one with "
                f"`binpose train --out {self.directory}`.",
                self.directory,
            )
        if not self.directory.is_dir() or not any(self.directory.glob("weights-*")):
            raise NoModel(
                f"{self.directory} is no model store; expected a folder with weights-*.safetensors and their headers; "
                "give the folder that `binpose train --out` wrote.",
                self.directory,
            )

    def _current_or_error(self) -> str:
        current = self.current()
        if current is None:
            listed = ", ".join(version[:SHORT] for version in self.versions()) or "none"
            raise NoModel(
                f"No version in {self.directory} is in use (known: {listed}); expected one; promote or name one.",
                self.directory,
            )
        return current
