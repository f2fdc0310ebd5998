"""The JSON Schemas that editors use, made from the models.

`python -m djlink_manifest.manifest.models.schema` writes them to `schemas/`; with `--check` it only tells
whether they are fresh.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from djlink_manifest.manifest.models.trust import Trust
from djlink_manifest.manifest.models.values import Manifest

FOLDER = Path(__file__).parents[3] / "schemas"
MANIFEST, OVERLAY, TRUST = "manifest.schema.json", "overlay.schema.json", "trust.schema.json"

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def manifest_schema() -> dict[str, Any]:
    """The schema of a manifest that stands in one file."""
    schema = Manifest.model_json_schema(by_alias=True)
    for name, definition in schema["$defs"].items():
        _tidy(definition, with_defaults=name == "Defaults")
    _tidy(schema, with_defaults=False)
    # the host may be left to DataJoint's configuration, and all the rest
    local = schema["$defs"]["LocalSpec"]
    local["anyOf"] = [{"required": local.pop("required")}, {"required": ["datajoint"]}]
    written = schema["properties"]["local"]
    written["anyOf"] = [{"$ref": written.pop("$ref")}, {"const": "datajoint"}]
    schema["patternProperties"] = {"^x-": {"description": "Ignored; use it for anchors."}}
    return {"$schema": _DIALECT, **schema, "title": "djlink manifest"}


def overlay_schema() -> dict[str, Any]:
    """The schema of a file that is a part of a manifest: nothing is required, and `null` removes."""
    schema = manifest_schema()
    whole = [d for name, d in schema["$defs"].items() if name != "Approval"]
    for definition in [schema, *whole]:
        definition.pop("required", None)
        definition.pop("anyOf", None)
        definition["properties"] = {key: _or_null(value) for key, value in definition["properties"].items()}
    return {**schema, "title": "Part of a djlink manifest"}


def trust_schema() -> dict[str, Any]:
    """The schema of a trust file."""
    schema = Trust.model_json_schema(by_alias=True)
    for definition in (schema, *schema["$defs"].values()):
        _tidy(definition, with_defaults=False)
    schema["patternProperties"] = {"^x-": {"description": "Ignored; use it for anchors."}}
    return {"$schema": _DIALECT, **schema, "title": "Trust file of djlink"}


def rendered(schema: dict[str, Any]) -> str:
    """The schema as the text of its file."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Write the schemas, or with `--check` tell whether they are fresh; the exit code."""
    if not (FOLDER.parent / "pyproject.toml").is_file():
        sys.stderr.write("the schemas are part of a checkout of djlink; this is an installed copy\n")
        return 1
    stale = 0
    schemas = ((MANIFEST, manifest_schema()), (OVERLAY, overlay_schema()), (TRUST, trust_schema()))
    for name, schema in schemas:
        file, text = FOLDER / name, rendered(schema)
        if file.is_file() and file.read_text(encoding="utf-8") == text:
            continue
        if "--check" in arguments:
            sys.stderr.write(f"{file} is stale: run python -m djlink_manifest.manifest.models.schema\n")
            stale = 1
        else:
            FOLDER.mkdir(exist_ok=True)
            file.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote {file}\n")
    return stale


def _tidy(definition: dict[str, Any], with_defaults: bool) -> None:
    """Take out what tells an editor nothing: titles, and defaults where the option may also be inherited."""
    definition.pop("title", None)
    for field in definition.get("properties", {}).values():
        field.pop("title", None)
        if not with_defaults:
            field.pop("default", None)


def _or_null(value: dict[str, Any]) -> dict[str, Any]:
    """The schema of a value that an overlay may also remove, of all values where it is a mapping."""
    said: dict[str, Any] = {key: value[key] for key in ("description", "examples", "default") if key in value}
    rest: dict[str, Any] = {key: value[key] for key in value if key not in said}
    if isinstance(rest.get("additionalProperties"), dict):
        rest["additionalProperties"] = {"anyOf": [rest["additionalProperties"], {"type": "null"}]}
    return {**said, "anyOf": [rest, {"type": "null"}]}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
