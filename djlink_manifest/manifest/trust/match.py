"""Compare values of a manifest with those that a trust file allows. No reference is resolved."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from djlink_manifest.errors import Location
from djlink_manifest.manifest.models.secrets import file_at, folder_of
from djlink_manifest.manifest.models.trust import DIGEST
from djlink_manifest.manifest.text.checkout import is_within
from djlink_manifest.manifest.text.references import BadReference, ValueReference, parts

_MAX_FILE = 1_000_000  # of certificates


@dataclass(frozen=True, slots=True)
class Checkout:
    """The files that a manifest's author may have written, all below `tops`; `home` is what `~` means."""

    tops: tuple[Path, ...]
    home: str | None

    def holds(self, path: str | Path) -> bool:
        """Whether the path stands in the checkout, or leads into it."""
        return any(is_within(path, top) for top in self.tops)

    def path_of(self, name: str, place: Location) -> Path:
        """The path of a file that the manifest names at a place."""
        return file_at(name, folder_of(place), self.home)

    def allows(self, allowed: Iterable[str], value: str, place: Location) -> bool:
        """Whether a value is one of the allowed texts; the files of references are compared by real path."""
        try:
            pieces = parts(value)
            return any(self._equal(parts(text), pieces, place) for text in allowed)
        except BadReference:
            return False

    def allows_file(self, allowed: Iterable[str], value: str, place: Location) -> bool:
        """Whether a value names a file of an allowed path or folder, or one of the checkout by its digest."""
        if "${" in value:
            return self.allows((text for text in allowed if "${" in text), value, place)
        path = self.path_of(value, place)
        if not self.holds(path):
            return any(self._covers(text, path) for text in allowed if not text.startswith(DIGEST))
        digests = [text for text in allowed if text.startswith(DIGEST)]
        return bool(digests) and self.digest(path) in digests

    def digest(self, path: Path) -> str | None:
        """The digest of a file of the checkout; None where there is none, or a link leads out."""
        real = Path(os.path.realpath(path))
        if not any(real.is_relative_to(os.path.realpath(top)) for top in self.tops) or not real.is_file():
            return None
        try:
            with real.open("rb") as file:
                content = file.read(_MAX_FILE + 1)
        except OSError:
            return None
        return f"{DIGEST}{hashlib.sha256(content).hexdigest()}" if len(content) <= _MAX_FILE else None

    def allows_folder(self, allowed: str, value: str, place: Location) -> bool:
        """Whether a value names an allowed folder of this machine, or one below it."""
        if "${" in value or "${" in allowed:
            return self.allows((allowed,), value, place)
        return self._covers(allowed.rstrip("/") + "/", self.path_of(value, place), itself=True)

    def _equal(
        self,
        allowed: tuple[str | ValueReference, ...],
        pieces: tuple[str | ValueReference, ...],
        place: Location,
    ) -> bool:
        if len(allowed) != len(pieces):
            return False
        for one, other in zip(allowed, pieces, strict=True):
            is_file = isinstance(other, ValueReference) and other.kind == "file"
            if is_file and isinstance(one, ValueReference) and one.kind == "file":
                path = self.path_of(other.name, place)  # type: ignore[union-attr]  # is_file
                if self.holds(path) or not self._covers(one.name, path):
                    return False
            elif one != other:
                return False
        return True

    def _covers(self, allowed: str, path: Path, *, itself: bool = False) -> bool:
        """Whether a path leads to an allowed file, or below an allowed folder, which ends in a slash."""
        real, goal = Path(os.path.realpath(path)), Path(os.path.realpath(file_at(allowed, "/", self.home)))
        if allowed.endswith("/"):
            return real.is_relative_to(goal) and (itself or real != goal)
        return real == goal
