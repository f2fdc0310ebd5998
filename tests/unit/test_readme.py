"""The README's manifest is a manifest, and what it links to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from djlink_manifest.manifest.load import read

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_manifest_of_the_readme_is_valid(tmp_path: Path) -> None:
    (block,) = re.findall(r"^```yaml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    (tmp_path / "readme.yaml").write_text(block)
    manifest, diagnostics = read([tmp_path / "readme.yaml"])
    assert diagnostics == ()
    assert manifest is not None
    assert [source.name for source in manifest.sources] == ["princeton"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_to_files_of_the_project_lead_to_one(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", document.read_text(encoding="utf-8"))
    missing = [target for target in targets if not (document.parent / target).exists()]
    assert missing == []
