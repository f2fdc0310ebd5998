"""What is shown, letter by letter, against the files in `golden/`."""

from __future__ import annotations

import pytest

from tests.unit.golden import FOLDER, TEXTS


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_shown_is_as_kept_in_the_file(name: str) -> None:
    assert TEXTS[name]() == (FOLDER / name).read_text(encoding="utf-8")


def test_every_file_belongs_to_a_text() -> None:
    assert {path.name for path in FOLDER.iterdir() if path.suffix not in (".py", "")} == set(TEXTS)
