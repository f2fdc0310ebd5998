# mypy: allow-subclassing-any
# pytest-xdist ships no types.
"""How pytest-xdist's workers share the tests."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).parents[2]
PAIR = re.compile(r"\b(mysql|mariadb(?:-11\.8)?)-(mysql|mariadb(?:-11\.8)?)\b")


class Together(LoadScopeScheduling):
    """One worker gets the tests that share fixtures of their module, on one pair of vendors, so that these
    are made once; all others are given out one by one. The largest of such groups come first.

    `--dist loadgroup` would need marks, and pytest-xdist 3.8 does not see them with pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def group_of(nodeid: str) -> str:
    """What a test shares with the others of its group; a test of its own is a group."""
    path, _, name = nodeid.partition("::")
    if not _has_fixtures_of_its_own(path):
        return nodeid
    pair = PAIR.search(name)
    return f"{path} {pair.group() if pair else ''}"


@cache
def _has_fixtures_of_its_own(path: str) -> bool:
    return 'scope="module"' in (ROOT / path).read_text(encoding="utf-8")
