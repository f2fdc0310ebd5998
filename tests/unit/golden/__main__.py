"""Write the texts anew."""

from __future__ import annotations

from tests.unit.golden import FOLDER, TEXTS

for name, text in TEXTS.items():
    (FOLDER / name).write_text(text(), encoding="utf-8")
