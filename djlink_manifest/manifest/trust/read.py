"""Reads a trust file: strictly, and only from where a branch under review cannot write."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from djlink_manifest.errors import Location, UsageError
from djlink_manifest.manifest.models.shape import real_steps
from djlink_manifest.manifest.models.trust import Trust, TrustedLocal, TrustedSource, TrustedStore, TrustedTls
from djlink_manifest.manifest.models.written import data
from djlink_manifest.manifest.text.checkout import is_within
from djlink_manifest.manifest.text.nodes import Fields, Steps, dotted, spot_of
from djlink_manifest.manifest.text.problems import Problems, Spot, did_you_mean
from djlink_manifest.manifest.text.tree import MAX_BYTES, parse

_EMPTY = "write one from a manifest that you have reviewed: `djlink trust --out FILE`"
_KINDS = {
    "missing": "is missing",
    "extra_forbidden": "is an unknown key",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "too_short": "must name at least one",
    "model_type": "must be a mapping of keys to values",
    "dict_type": "must be a mapping of keys to values",
    "literal_error": "must be 1, the version of the format",
    "union_tag_not_found": "must be true, false, or a mapping of `ca`, `cert` and `key`",
    "union_tag_invalid": "must be true, false, or a mapping of `ca`, `cert` and `key`",
}


@dataclass(frozen=True, slots=True)
class TrustFile:
    """A trust file that was read, and its path."""

    path: str
    trust: Trust


def read_trust(path: str) -> TrustFile:
    """Read a trust file.

    Raises ManifestError with every problem, UsageError where it cannot be read or others may write to it.
    """
    try:
        with Path(path).open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a path"
        raise UsageError(f"the trust file {path} cannot be read: {reason}", hint=_EMPTY) from None
    if stat.S_ISREG(mode) and mode & stat.S_IWOTH:
        raise UsageError(
            f"the trust file {path} can be written by every user of this machine", hint=f"chmod o-w {path}"
        )
    problems = Problems()
    root = parse(content, path, problems)
    problems.raise_if_any()
    assert root is not None  # or a problem was noted
    trust = _shaped(root, problems)
    problems.raise_if_any()
    assert trust is not None
    return TrustFile(path, trust)


def check_place(trust: TrustFile, tops: Iterable[Path], problems: Problems) -> None:
    """Note a trust file in the reach of the manifest's author: in, or through, a checkout with these tops."""
    for top in tops:
        if is_within(trust.path, top):
            problems.error(
                f"the trust file lies in {top}, which a pull request can change as it changes the manifest",
                Spot(Location(trust.path, 1, 1)),
                help="keep it outside, for example: "
                "git fetch origin refs/heads/main && "
                'git show FETCH_HEAD:trust.yaml > "$RUNNER_TEMP/trust.yaml"',
            )
            return


def _shaped(root: Fields, problems: Problems) -> Trust | None:
    try:
        return Trust.model_validate(data(root, (), root))
    except ValidationError as error:
        for fault in error.errors(include_input=False, include_url=False, include_context=False):
            _report(root, real_steps(root, fault["loc"]), fault, problems)
        return None


def _report(root: Fields, steps: Steps, fault: Mapping[str, Any], problems: Problems) -> None:
    kind = fault["type"]
    words = fault["msg"] if kind == "djlink" else _KINDS.get(kind, f"is not valid: {fault['msg'].lower()}")
    is_key = kind in {"missing", "extra_forbidden"}
    place = spot_of(root, steps, key=is_key)
    help = did_you_mean(str(steps[-1]), _known_keys()) if kind == "extra_forbidden" and steps else None
    problems.error(f"`{dotted(steps) or 'trust'}` {words}", place, dotted(steps), help)


def _known_keys() -> Iterable[str]:
    models = (Trust, TrustedLocal, TrustedSource, TrustedTls, TrustedStore)
    return {key for model in models for key in model.model_fields}
