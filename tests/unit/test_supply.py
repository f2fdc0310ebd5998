"""What the package takes from others: lower bounds without known advisories, and a lock that CI installs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements" / "dev.lock").read_text(encoding="utf-8")
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
PIN = re.compile(
    r"^([A-Za-z0-9._-]+)==(\S+?)(?: ;[^\n]*?)? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.M
)
# the first version without the advisory that is named in pyproject.toml
ADVISED = {
    "cryptography": "46.0.5",
    "pymysql": "1.1.1",
    "pyyaml": "5.4",
    "pydantic": "2.4.0",
    "flask-cors": "6.0.0",
}


def stated() -> list[Requirement]:
    """The requirements of pyproject.toml, with those of its extras."""
    lists = re.findall(r"^(?:dependencies|s3|dev) = \[(.*?)^\]|^s3 = \[(.*?)\]$", PYPROJECT, re.M | re.S)
    found = [r for each in lists for r in re.findall(r'^\s*"([^"]+)",?|^"([^"]+)"', "".join(each), re.M)]
    return [Requirement("".join(r)) for r in found if not "".join(r).startswith("djlink-manifest")]


def pinned() -> dict[str, list[Version]]:
    """The versions that the lock pins, by package; several where they differ by Python."""
    found: dict[str, list[Version]] = {}
    for name, version, _ in PIN.findall(LOCK):
        found.setdefault(canonicalize_name(name), []).append(Version(version))
    return found


def test_each_line_of_the_lock_is_a_version_with_its_hashes() -> None:
    lines = [line for line in LOCK.splitlines() if line and not line.startswith((" ", "#"))]
    assert len(lines) > 60
    assert len(lines) == len(PIN.findall(LOCK))


@pytest.mark.parametrize("requirement", stated(), ids=lambda r: r.name)
def test_the_lock_pins_what_pyproject_asks_for(requirement: Requirement) -> None:
    versions = pinned()[canonicalize_name(requirement.name)]
    assert versions
    assert all(requirement.specifier.contains(v, prereleases=True) for v in versions)


def test_every_requirement_but_type_stubs_has_a_lower_bound() -> None:
    assert len(stated()) > 25
    for requirement in stated():
        if not requirement.name.startswith("types-"):
            assert any(s.operator in (">=", "==") for s in requirement.specifier), requirement


def test_lower_bounds_leave_out_versions_with_known_advisories() -> None:
    bounds = {canonicalize_name(r.name): r for r in stated()}
    for name, first in ADVISED.items():
        [least] = [s.version for s in bounds[canonicalize_name(name)].specifier if s.operator == ">="]
        assert Version(least) >= Version(first), name
        assert all(v >= Version(first) for v in pinned()[canonicalize_name(name)])


def test_ci_installs_the_lock_and_audits_it() -> None:
    checks = (ROOT / ".github" / "workflows" / "checks.yml").read_text(encoding="utf-8")
    commands = re.findall(r"run: (make .*)", checks)
    assert "make audit LOCKED=1" in commands
    locked = [c for c in commands if not c.startswith("make unit")]
    assert locked
    assert all("LOCKED=1" in c for c in locked)
    assert "make audit" in (ROOT / ".github" / "workflows" / "nightly.yml").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "install --require-hashes --requirement $(LOCK)" in makefile
