"""The way in: files → a manifest, or everything that is wrong with it."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from djlink_manifest.errors import Diagnostic, Location, ManifestError
from djlink_manifest.manifest.checks import check
from djlink_manifest.manifest.checks.checked import Checked
from djlink_manifest.manifest.compare.revision import AnyPath, RevisionPath
from djlink_manifest.manifest.models.falling import fallen
from djlink_manifest.manifest.models.shape import shaped
from djlink_manifest.manifest.models.values import Manifest
from djlink_manifest.manifest.text.checkout import leads_elsewhere, top_of
from djlink_manifest.manifest.text.local_server import with_any_host, with_long_local
from djlink_manifest.manifest.text.nodes import Fields, plain
from djlink_manifest.manifest.text.overlay import APPROVALS, beside, overlaid
from djlink_manifest.manifest.text.problems import Problems, Spot
from djlink_manifest.manifest.text.tree import MAX_BYTES, parse
from djlink_manifest.manifest.trust.check import check_trust
from djlink_manifest.manifest.trust.match import Checkout
from djlink_manifest.manifest.trust.read import TrustFile, check_place

LOG = logging.getLogger("djlink.manifest")

_OF_APPROVALS = ("manifest", "name", "approvals")


def load(paths: Sequence[str | AnyPath], trust: TrustFile | None = None, *, links: bool = True) -> Manifest:
    """The manifest that files and folders make, as of `read`. Raises ManifestError with every problem."""
    manifest, diagnostics = read(paths, trust, links=links)
    if manifest is None:
        raise ManifestError(diagnostics)
    return manifest


def read(
    paths: Sequence[str | AnyPath], trust: TrustFile | None = None, *, links: bool = True
) -> tuple[Manifest | None, tuple[Diagnostic, ...]]:
    """The manifest, None where it has errors, and every problem found, errors and warnings, by place.

    Later paths override earlier ones. A folder means all its `*.yaml`, merged side by side. The approvals of
    an `approvals.yaml` in the folder of a file are added to the manifest's. No server is contacted, and no
    reference to a secret is resolved. With `trust`, everything that the manifest would use and the trust file
    does not allow is an error. With `trust`, or without `links`, so is a file that is a symbolic link out of
    its folder.
    """
    is_strict = trust is not None or not links
    problems = Problems()
    files: list[str] = []
    merged: Fields | None = None
    for path in paths:
        place = Path(path) if isinstance(path, str) else path
        fields = _at_path(place, files, problems, is_strict=is_strict)
        if fields is not None:
            merged = fields if merged is None else overlaid(merged, fields, problems)
    if merged is None:
        if not problems.any_error:
            problems.error(
                "no manifest file given", Spot(Location("manifest", 1, 1)), help="name a file: -f atlas.yaml"
            )
        return None, problems.sorted()
    merged, found = _with_approvals(merged, paths, files, problems, is_strict=is_strict)
    written, root = shaped(with_any_host(merged), problems)
    if written is None:
        return None, problems.sorted()
    made_from = {"files": tuple(files), "found": found, "digest": _digest(merged)}
    manifest = fallen(written, problems).model_copy(update=made_from)
    check(manifest, root, problems)
    if trust is not None:
        # a branch may hold a datajoint.json of its own
        manifest = manifest.model_copy(update={"local": manifest.local.by_environment()})
        checkout = checkout_of([*paths, *files])
        check_place(trust, checkout.tops, problems)
        check_trust(Checked(manifest, root, problems), trust, checkout)
        manifest = manifest.model_copy(update={"is_trusted": True})
    LOG.info("read %s: %d problems", ", ".join(files), len(problems.sorted()))
    return (None if problems.any_error else manifest), problems.sorted()


def checkout_of(paths: Sequence[str | AnyPath]) -> Checkout:
    """The checkout that the files of a manifest are in."""
    places = [path.revision.top if isinstance(path, RevisionPath) else path for path in paths]
    return Checkout(tuple(dict.fromkeys(map(top_of, places))), os.environ.get("HOME"))


def _with_approvals(
    merged: Fields,
    paths: Sequence[str | AnyPath],
    files: list[str],
    problems: Problems,
    *,
    is_strict: bool,
) -> tuple[Fields, tuple[str, ...]]:
    """Return the tree with the approvals of files that lie beside the named ones, and those files.

    Such a file is another manifest's where its `name` says so, and is then left alone. Else it may hold
    nothing that changes what is linked: nobody named it.
    """
    found = list[str]()
    for path in approval_files(paths, files):
        fields = _in_file(path, files, problems, is_strict=is_strict)
        name, own = (tree.get("name") if tree else None for tree in (fields, merged))
        if fields is None or (name is not None and own is not None and plain(name) != plain(own)):
            files.remove(str(path))
            continue
        found.append(str(path))
        for each in fields.entries.values():
            if each.key not in _OF_APPROVALS:
                words = f"`{each.key}` is not taken from a file that is read without being named"
                help = f"keep only `approvals` in it, or name the file: -f {path}"
                problems.error(words, each.spot, each.key, help)
        entry = fields.entries.get("approvals")
        if entry is not None and plain(entry.value) is not None:
            merged = overlaid(merged, replace(fields, entries={"approvals": entry}), problems)
    return merged, tuple(found)


def approval_files(paths: Sequence[str | AnyPath], files: Sequence[str]) -> list[AnyPath]:
    """Return each `approvals.yaml` beside the files among these paths that is not among `files` itself."""
    committed = [path for path in paths if isinstance(path, RevisionPath) and not path.is_dir()]
    in_revision = dict.fromkeys(path.parent / APPROVALS for path in committed)
    found = [path for path in in_revision if str(path) not in files and path.exists()]
    named = (Path(path) for path in paths if not isinstance(path, RevisionPath))
    return [*found, *_on_disk(named, files)]


def _on_disk(paths: Iterable[Path], files: Sequence[str]) -> list[Path]:
    read_files = {os.path.realpath(name) for name in files}
    beside_them = dict.fromkeys(path.parent / APPROVALS for path in paths if not path.is_dir())
    fresh = {os.path.realpath(path): path for path in beside_them if os.path.lexists(path)}
    return [path for real, path in fresh.items() if real not in read_files]


def _at_path(path: AnyPath, files: list[str], problems: Problems, *, is_strict: bool) -> Fields | None:
    """What one path says; problems noted and None where that is nothing.

    `is_strict`: what a symbolic link takes from elsewhere is not read.
    """
    if not path.is_dir():
        return _in_file(path, files, problems, is_strict=is_strict)
    start = Spot(Location(str(path), 1, 1))
    if _is_kept_out(path, problems, is_strict=is_strict):
        return None
    try:
        names = sorted(each.name for each in path.iterdir() if not each.name.startswith("."))
    except OSError as error:
        problems.error(f"the folder cannot be read: {error.strerror}", start)
        return None
    if others := [name for name in names if name.endswith((".yml", ".YAML", ".YML"))]:
        problems.warning(
            f"`{others[0]}` is not read: only `*.yaml` files of a folder are read", start, help="rename it"
        )
    read_files = [
        _in_file(path / name, files, problems, is_strict=is_strict)
        for name in names
        if name.endswith(".yaml")
    ]
    if not read_files:
        problems.error("the folder contains no `*.yaml` file", start)
    found = [fields for fields in read_files if fields is not None]
    return beside(found, problems) if found else None


def _in_file(path: AnyPath, files: list[str], problems: Problems, *, is_strict: bool) -> Fields | None:
    name = str(path)
    start = Spot(Location(name, 1, 1))
    if name in files:
        problems.error("the file is named twice", start, help="name each file once")
        return None
    files.append(name)
    if _is_kept_out(path, problems, is_strict=is_strict):
        return None
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a path"
        is_new = isinstance(error, FileNotFoundError) and isinstance(path, Path)
        help = "check the name, or name the manifest with `-f FILE`" if is_new else None
        problems.error(f"the file cannot be read: {reason}", start, help=help)
        return None
    fields = parse(content, name, problems)
    return fields and with_long_local(fields)


def _is_kept_out(path: AnyPath, problems: Problems, *, is_strict: bool) -> bool:
    """Whether a path is not to be read, as a link leads elsewhere; else what is read there is not shown."""
    if isinstance(path, RevisionPath):
        return False
    try:
        real = leads_elsewhere(path)
    except (OSError, ValueError):  # a folder on the way cannot be looked into, or it is no path at all
        if is_strict:
            problems.error("where the path leads cannot be found out", Spot(Location(str(path), 1, 1)))
        return is_strict
    if real is None:
        return False
    if is_strict:
        problems.error(
            "a symbolic link leads out of the manifest's folder, or to something other than a YAML file",
            Spot(Location(str(path), 1, 1)),
            help="with a trust file, and to compare or to trust a manifest, only files of the checkout are "
            "read: commit the file instead",
        )
        return True
    if Path(real).is_file() or Path(real).is_dir():  # not a pipe, which the caller made
        problems.withhold(str(path), real)
    return False


def _digest(root: Fields) -> str:
    """SHA-256 over the merged data as canonical JSON: comments, layout and the order of keys do not count."""
    text = json.dumps(plain(root), sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
