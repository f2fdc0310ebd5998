"""Read files of a git revision. Nothing of the repository is run: no hook, filter, monitor or fetch."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from djlink_manifest.errors import UsageError

SECONDS = 30
# What git would run, or ask, on its own account.
_SAFE = (
    "--no-pager",
    "--no-replace-objects",
    "--literal-pathspecs",
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "safe.bareRepository=explicit"),
    *("-c", "core.warnAmbiguousRefs=true"),
)
_PASSED = frozenset({"PATH", "HOME", "XDG_CONFIG_HOME", "TMPDIR", "SYSTEMROOT"})
_OWN = {
    "LC_ALL": "C",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ALLOW_PROTOCOL": "",
}
_FILE, _FOLDER, _LINK, _MODULE = "100", "040000", "120000", "160000"


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """What a revision has at a path: `kind` is file, folder, symbolic link or submodule."""

    name: str
    kind: str
    object_id: str
    size: int


@dataclass(frozen=True, slots=True)
class Revision:
    """A commit of the repository whose work tree is `top`; `said` is what the person called it."""

    said: str
    top: Path
    commit: str

    def entry(self, path: str) -> TreeEntry | None:
        """Return what stands at a path below `top`; None where nothing does."""
        if not path:
            return TreeEntry("", "folder", "", 0)
        listed = self._listed("--full-tree", self.commit, "--", path)
        return next((each for each in listed if each.name == path), None)

    def entries(self, folder: str) -> list[TreeEntry]:
        """Return what a folder below `top` holds."""
        return self._listed(f"{self.commit}:{folder}")

    def content(self, entry: TreeEntry) -> bytes:
        """Return a file's content as it was committed. Raises UsageError where this clone lacks it."""
        ended = _run(self.top, "cat-file", "blob", entry.object_id)
        if ended.returncode:
            raise UsageError(
                f"git:{self.said}: this clone lacks the content of {entry.name}",
                hint="fetch it first: git fetch --refetch --no-filter",
            )
        return ended.stdout

    def _listed(self, *arguments: str) -> list[TreeEntry]:
        ended = _run(self.top, "ls-tree", "-z", "-l", *arguments)
        if ended.returncode:
            raise UsageError(
                f"git:{self.said} cannot be read: {_said(ended)}", hint="fetch the revision first: git fetch"
            )
        found = list[TreeEntry]()
        for line in ended.stdout.split(b"\0"):
            about, _, name = line.partition(b"\t")
            if name:
                mode, _, object_id, size = about.decode("ascii").split()
                number = int(size) if size.isdigit() else 0
                found.append(TreeEntry(os.fsdecode(name), _kind(mode), object_id, number))
        return found


def revision(said: str, beside: Path) -> Revision:
    """Return the revision of the repository in which a file or folder lies, or lay.

    Raises UsageError where there is no such revision, where several have the name, where there is no
    repository, or no git.
    """
    if (
        not said
        or said.startswith("-")
        or any(c.isspace() or not c.isprintable() or c in ":\\" for c in said)
    ):
        raise UsageError(
            f"`git:{said}` names no revision", hint="write a branch, a tag or a commit: git:main"
        )
    folder = next(each for each in (beside, *beside.parents) if each.is_dir())
    top = _run(folder, "rev-parse", "--show-toplevel")
    if top.returncode:
        words = _said(top)
        if "dubious ownership" in words:
            raise UsageError(
                f"git does not read the repository of {folder}, which belongs to another user",
                hint=f"if you trust it: git config --global --add safe.directory {folder}",
            )
        raise UsageError(
            f"git:{said}: {folder} is not in the work tree of a git repository",
            hint="run the command within the repository, or name files instead of a revision",
        )
    found = _run(folder, "rev-parse", "--verify", f"{said}^{{commit}}")
    if b"is ambiguous" in found.stderr:  # git would take the tag, which anybody may push
        raise UsageError(
            f"`git:{said}` is ambiguous: more than one tag, branch or commit of {folder} has this name",
            hint=f"write the whole name, such as git:refs/heads/{said} or git:refs/remotes/origin/main",
        )
    if found.returncode:
        is_cloned = b"origin" in _run(folder, "remote").stdout.splitlines()
        fetch = f"fetch it first (git fetch origin {said}), or " if is_cloned else ""
        raise UsageError(
            f"there is no revision `{said}` in the repository of {folder}",
            hint=f"{fetch}name one that exists: git branch --all",
        )
    return Revision(said, Path(os.fsdecode(top.stdout).rstrip("\n")), found.stdout.decode("ascii").strip())


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    program = shutil.which("git")
    if program is None or not Path(program).is_absolute():  # never one of the current folder
        raise UsageError("git is not installed, so no revision can be read", hint="install git")
    environ = {
        k: v for k, v in os.environ.items() if k in _PASSED or (k[:4] == "GIT_" and k[:9] != "GIT_TRACE")
    }
    try:
        return subprocess.run(
            [program, *_SAFE, "-C", str(folder), *arguments],
            env={**environ, **_OWN},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UsageError(
            f"git did not answer within {SECONDS} seconds", hint="run `git status` there"
        ) from None
    except OSError as error:
        raise UsageError(
            f"git cannot be run: {error.strerror}", hint="check that `git --version` works"
        ) from None


def _said(ended: subprocess.CompletedProcess[bytes]) -> str:
    """The first line of what git says."""
    lines = ended.stderr.decode("utf-8", "replace").splitlines()
    return lines[0].removeprefix("fatal: ") if lines else f"exit code {ended.returncode}"


def _kind(mode: str) -> str:
    if mode.startswith(_FILE):
        return "file"
    return {_FOLDER: "folder", _LINK: "symbolic link", _MODULE: "submodule"}.get(mode, "unknown object")
