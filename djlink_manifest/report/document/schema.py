"""The JSON Schema of a plan's document, made from its form.

`python -m djlink_manifest.report.document.schema` writes it to `schemas/`; with `--check` it only tells
whether it is fresh.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from djlink_manifest.report.document.form import PlanDocument

FILE = Path(__file__).parents[3] / "schemas" / "plan.schema.json"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def plan_schema() -> dict[str, Any]:
    """Return the schema of `djlink plan --out` and `djlink plan --json`."""
    schema = PlanDocument.model_json_schema(by_alias=True)
    for definition in (schema, *schema["$defs"].values()):
        definition.pop("title", None)
        for field in definition["properties"].values():
            field.pop("title", None)
    return {"$schema": _DIALECT, "title": "djlink plan", **schema}


def rendered() -> str:
    """Return the schema as the text of its file."""
    return json.dumps(plan_schema(), indent=2, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Write the schema, or with `--check` tell whether it is fresh; the exit code."""
    if FILE.is_file() and FILE.read_text(encoding="utf-8") == rendered():
        return 0
    if "--check" in arguments:
        sys.stderr.write(f"{FILE} is stale: run python -m djlink_manifest.report.document.schema\n")
        return 1
    FILE.write_text(rendered(), encoding="utf-8")
    sys.stdout.write(f"wrote {FILE}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
