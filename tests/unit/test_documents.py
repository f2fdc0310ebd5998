"""CONTRIBUTING.md, docs/architecture.md and docs/decisions name what is there; no folder is missing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "djlink_manifest"
DECISIONS = ROOT / "docs" / "decisions"
RECORDS = sorted(path for path in DECISIONS.glob("*.md") if path.name != "README.md")
NAMING = [ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", ROOT / "docs" / "architecture.md", *RECORDS]

WORD = re.compile(r"`([^`\s]+)`")
PLACE = re.compile(r"[\w.-]+(?:/[\w.-]+)*/?")
ENDINGS = (".py", ".md", ".yml", ".yaml", ".toml", ".json")
MADE = (".venv", ".coverage")  # what commands make, and no checkout has


def places_in(text: str) -> list[tuple[str, str]]:
    """The paths that a text names in backticks, and the test that it names in each, or nothing."""
    named = []
    for word in WORD.findall(text):
        place, _, test = word.partition("::")
        is_path = PLACE.fullmatch(place) and ("/" in place or place.endswith(ENDINGS))
        if is_path and place.split("/")[0] not in MADE:
            named.append((place, test))
    return named


def found(place: str) -> Path | None:
    """The file or folder of that path, from the top of the project or of the package; of a bare name any."""
    for top in (ROOT, PACKAGE):
        if (top / place).exists():
            return top / place
    if "/" in place:
        return None
    return next(
        (path for folder in ("tests", "djlink_manifest") for path in (ROOT / folder).rglob(place)), None
    )


@pytest.mark.parametrize("document", NAMING, ids=lambda path: path.name)
def test_each_path_that_a_document_names_is_there(document: Path) -> None:
    missing = []
    for place, test in places_in(document.read_text(encoding="utf-8")):
        path = found(place)
        if path is None or (test and f"def {test}(" not in path.read_text(encoding="utf-8")):
            missing.append(f"{place}::{test}" if test else place)
    assert missing == []


def test_documents_name_paths_at_all() -> None:
    assert len(places_in((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))) > 60
    assert len(places_in((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"))) > 20


def test_a_path_or_test_that_is_not_there_is_noticed() -> None:
    assert places_in("`reconcile/nothing.py`, `SELECT`, `a/b.py::test_c`, `.venv/bin/python`") == [
        ("reconcile/nothing.py", ""),
        ("a/b.py", "test_c"),
    ]
    assert found("reconcile/nothing.py") is None
    assert found("nothing.py") is None
    assert found("cli/commands") == PACKAGE / "cli" / "commands"


# The picture of the folders


def picture() -> list[tuple[str, str]]:
    """Each folder of the picture in docs/architecture.md, from the top of the package, and its words."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = text.partition("\n## The folders\n")[2]
    top, *lines = section.split("```")[1].strip("\n").splitlines()
    assert top == f"{PACKAGE.name}/"
    drawn, above = list[tuple[str, str]](), list[str]()
    for each in lines:
        match = re.fullmatch(r"((?:  )+)(\w+)/ +(\S.*)", each)
        assert match, f"not a folder with its words: {each!r}"
        depth = len(match[1]) // 2 - 1
        assert depth <= len(above), f"{each!r} is below no folder"
        above[depth:] = [match[2]]
        drawn.append(("/".join(above), match[3]))
    return drawn


def test_the_picture_shows_each_folder_of_the_package_and_no_other() -> None:
    source = {path.parent.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")} - {"."}
    drawn = [folder for folder, _ in picture()]
    assert sorted(drawn) == sorted(source)


def test_the_words_of_the_picture_stand_below_each_other() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    lines = text.partition("\n## The folders\n")[2].split("```")[1].strip("\n").splitlines()[1:]
    assert len({len(re.match(r" *\w+/ +", each)[0]) for each in lines}) == 1  # type: ignore[index]


# The records of decisions


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_a_record_is_short_and_has_its_date_and_its_three_sections(record: Path) -> None:
    number, text = int(record.stem[:4]), record.read_text(encoding="utf-8")
    title, blank, state, *rest = text.splitlines()
    assert title.startswith(f"# {number}. ")
    assert blank == ""
    assert re.fullmatch(r"\d{4}-\d\d-\d\d, (accepted|replaced by \[\d{4}\]\(\d{4}-[\w-]+\.md\))", state)
    assert [line for line in rest if line.startswith("#")] == ["## Context", "## Decision", "## Consequences"]
    assert all(section.strip() for section in re.split(r"^## .*$", "\n".join(rest), flags=re.MULTILINE)[1:])
    assert len(text.splitlines()) <= 30


def test_records_are_numbered_without_gaps_and_the_index_has_each() -> None:
    assert [path.name[:5] for path in RECORDS] == [f"{n:04d}-" for n in range(1, len(RECORDS) + 1)]
    expected = []
    for path in RECORDS:
        title, _, state, *_ = path.read_text(encoding="utf-8").splitlines()
        date = state.partition(",")[0]
        expected.append(f"| [{path.stem[:4]}]({path.name}) | {date} | {title.partition('. ')[2]} |")
    index = (DECISIONS / "README.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in index if line.startswith("| [")] == expected
