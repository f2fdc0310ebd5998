"""Text that does nothing to a terminal."""

from __future__ import annotations

import unicodedata


def harmless(text: str) -> bool:
    return all(c.isprintable() or c == "\n" or unicodedata.category(c) == "Zs" for c in text)
