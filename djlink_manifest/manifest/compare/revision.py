"""Manifest files of a git revision, as the reader of manifests takes paths: `git:REVISION[:PATH]`."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from djlink_manifest.errors import UsageError
from djlink_manifest.manifest.compare.git import Revision, TreeEntry, revision
from djlink_manifest.manifest.text.tree import MAX_BYTES

PREFIX = "git:"


@dataclass(frozen=True, slots=True)
class RevisionPath:
    """A path below the top of a repository, in one of its revisions. It is printed as `git:main:atlas.yaml`.

    Symbolic links and submodules are not followed: reading one raises UsageError.
    """

    revision: Revision
    path: PurePosixPath

    def __str__(self) -> str:
        shown = os.path.relpath(self.revision.top / self.path)
        return f"{PREFIX}{self.revision.said}:{shown}"

    def __truediv__(self, name: str) -> RevisionPath:
        return RevisionPath(self.revision, self.path / name)

    @property
    def name(self) -> str:
        """The last step of the path."""
        return self.path.name

    @property
    def parent(self) -> RevisionPath:
        """The folder that it is in."""
        return RevisionPath(self.revision, self.path.parent)

    def exists(self) -> bool:
        """Return whether the revision has anything there."""
        return self._entry() is not None

    def is_dir(self) -> bool:
        """Return whether it is a folder."""
        entry = self._entry()
        return entry is not None and entry.kind == "folder"

    def iterdir(self) -> Iterator[RevisionPath]:
        """Yield what a folder holds."""
        for entry in self.revision.entries(_text(self.path)):
            yield self / entry.name

    def open(self, mode: str) -> io.BytesIO:
        """Return the file's content, at most one byte more than a manifest may have.

        Raises FileNotFoundError, and UsageError for what is no file.
        """
        entry = self._entry()
        if entry is None:
            raise FileNotFoundError(2, f"not in revision {self.revision.said}", str(self))
        if entry.kind != "file":
            raise UsageError(f"{self} is a {entry.kind}, which is not read", hint="name a file or folder")
        if entry.size > MAX_BYTES:
            return io.BytesIO(b"#" * (MAX_BYTES + 1))  # too large to be read, which its reader tells
        return io.BytesIO(self.revision.content(entry))

    def _entry(self) -> TreeEntry | None:
        """What the path leads to, over folders alone."""
        steps = [p for p in reversed(self.path.parents) if p.parts] + [self.path]
        found: TreeEntry | None = TreeEntry("", "folder", "", 0)
        for step in steps:
            if found is not None and found.kind in ("symbolic link", "submodule"):
                words = f"{self}: {step.parent} is a {found.kind}, which is not followed"
                raise UsageError(words, hint="name the file where it really is")
            found = self.revision.entry(_text(step))
        return found


AnyPath = Path | RevisionPath


def is_revision(said: str) -> bool:
    """Return whether an argument names a revision and not a file: `git:main`."""
    return said.startswith(PREFIX)


def paths_at(said: str, paths: Sequence[str]) -> tuple[RevisionPath, ...]:
    """Return these paths as they are in the revision `git:REVISION`.

    `git:REVISION:PATH` names another path, which starts from the top of the repository as git's own does.
    Raises UsageError where there is no such revision, or a path is outside its repository.
    """
    name, colon, own = said.removeprefix(PREFIX).partition(":")
    if not colon:
        return tuple(_path_at(name, Path(path)) for path in paths)
    if own.startswith(("./", "../")):
        return (_path_at(name, Path(own)),)
    place = os.path.normpath(own or ".")
    if Path(place).is_absolute() or Path(place).parts[:1] == ("..",):
        words = f"`{own}` does not start from the top of the repository"
        raise UsageError(words, hint=f"write {PREFIX}{name}:folder/file.yaml, or {PREFIX}{name}:./file.yaml")
    found = revision(name, Path.cwd())
    top = Path(os.path.realpath(found.top))
    return (RevisionPath(Revision(name, top, found.commit), PurePosixPath(place)),)


def _path_at(name: str, path: Path) -> RevisionPath:
    # the folder's links are those of the machine, the file's own is the revision's
    place = Path(os.path.realpath(path.parent)) / path.name if path.name not in ("", "..") else path.resolve()
    found = revision(name, place)
    top = Path(os.path.realpath(found.top))
    if not place.is_relative_to(top):
        raise UsageError(f"{path} is outside of the repository {found.top}", hint="name a file inside of it")
    return RevisionPath(
        Revision(found.said, top, found.commit), PurePosixPath(place.relative_to(top).as_posix())
    )


def _text(path: PurePosixPath) -> str:
    return "" if str(path) == "." else str(path)
