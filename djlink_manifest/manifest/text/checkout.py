"""Where manifest files really lie: the checkout that they are part of, and symbolic links that lead out."""

from __future__ import annotations

import os
from pathlib import Path

_REPOSITORIES = (".git", ".hg")
_YAML = (".yaml", ".yml")


def top_of(path: str | Path) -> Path:
    """The folder of which whoever wrote a manifest file may have written all files.

    The outermost repository that it lies in: an inner one may be a part of the branch. Without a repository
    it is the current folder where the file lies below that, else the file's own folder.
    """
    place, current = absolute(path), Path.cwd()
    folders = [place, *place.parents] if place.is_dir() else [*place.parents]
    is_below = place.is_relative_to(current) and current.parent != current
    if is_below:  # a link of the branch to another repository makes no repository
        folders = [f for f in folders if not f.is_relative_to(current) or f == _unlinked(f, current)]
    tracked = [f for f in folders if any((f / name).exists() for name in _REPOSITORIES)]
    if tracked:
        return tracked[-1]
    return current if is_below else folders[0]


def is_within(path: str | Path, top: Path) -> bool:
    """Whether a path stands in a folder, or leads into it over symbolic links."""
    real_top = os.path.realpath(top)
    return absolute(path).is_relative_to(top) or Path(os.path.realpath(path)).is_relative_to(real_top)


def leads_elsewhere(path: str | Path) -> str | None:
    """Where a manifest file or folder really lies, if a symbolic link leads out of its folder.

    A link to a YAML file in or below the same folder is as good as the file. None where the path holds no
    other link.
    """
    found = _led(path)
    return None if found is None or (found[1] and found[0].suffix in _YAML) else str(found[0])


def leads_out(path: str | Path) -> str | None:
    """Where a file really lies, if a symbolic link leads out of its folder or into a repository itself."""
    found = _led(path)
    return None if found is None or found[1] else str(found[0])


def _led(path: str | Path) -> tuple[Path, bool] | None:
    """Where links lead, and whether that is in or below the path's own folder; None without links."""
    place, top = absolute(path), top_of(path)
    if place == top:
        return None
    folder = Path(os.path.realpath(top), *place.parent.relative_to(top).parts)
    real = Path(os.path.realpath(path))
    if real == folder / place.name:
        return None
    is_below = real.is_relative_to(folder) and not set(real.relative_to(folder).parts) & set(_REPOSITORIES)
    return real, is_below


def _unlinked(folder: Path, current: Path) -> Path:
    """A folder below the current one, where no link leads out of that on the way; else where it leads."""
    real = Path(os.path.realpath(folder))
    wanted = Path(os.path.realpath(current), *folder.relative_to(current).parts)
    return folder if real == wanted else real


def absolute(path: str | Path) -> Path:
    """The path from the root, without `..`; links are not followed."""
    return Path(os.path.normpath(Path(path).absolute()))
