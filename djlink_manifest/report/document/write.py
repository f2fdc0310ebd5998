"""Write a plan's document as text."""

from __future__ import annotations

import json
from typing import Any

from djlink_manifest.report.plan.json_form import checksum


def document_text(value: dict[str, Any]) -> str:
    """Return the text of a document, in ASCII, so that no sign in it moves a terminal.

    Halves of characters, which file names may hold, are written as the screen shows them: `\\\\udcff`.
    """
    whole = _whole(value)
    whole["checksum"] = checksum(whole)
    return json.dumps(whole, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {key: _whole(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_whole(each) for each in value]
    return value
