"""The JSON Schemas, the reference and the examples agree with the models."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from jsonschema import Draft202012Validator

from djlink_manifest.manifest.edit.write import formatted, starter
from djlink_manifest.manifest.load import read
from djlink_manifest.manifest.models import schema
from djlink_manifest.manifest.models.options import FallingOptions, Options
from djlink_manifest.manifest.models.servers import ServerSpec
from djlink_manifest.manifest.models.values import Manifest, SchemaSpec, SourceSpec
from djlink_manifest.manifest.models.written import Model
from djlink_manifest.manifest.text.nodes import plain
from djlink_manifest.manifest.text.problems import Problems
from djlink_manifest.manifest.text.tree import parse
from tests.unit.manifest_cases import HEAD, loaded, rules, tables, written

ROOT = Path(__file__).parents[2]
TRUST = ROOT / "examples" / "trust.yaml"
EXAMPLES = sorted(path for path in (ROOT / "examples").rglob("*.yaml") if path != TRUST)
LAID_OVER = {"staging.yaml", "approvals.yaml"}
DOCS = (ROOT / "docs" / "manifest.md").read_text(encoding="utf-8")


def data(text: str) -> object:
    root = parse(text.encode(), "m.yaml", Problems())
    assert root is not None
    return plain(root)


def faults(name: str, text: str) -> list[str]:
    """What the schema in the checkout finds in a text."""
    document = json.loads((ROOT / "schemas" / name).read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(document)
    return [f"{e.json_path}: {e.message}" for e in Draft202012Validator(document).iter_errors(data(text))]


def test_the_schemas_in_the_checkout_are_fresh() -> None:
    for name, made in (
        (schema.MANIFEST, schema.manifest_schema()),
        (schema.OVERLAY, schema.overlay_schema()),
        (schema.TRUST, schema.trust_schema()),
    ):
        assert (ROOT / "schemas" / name).read_text(encoding="utf-8") == schema.rendered(made)
    assert schema.main(["--check"]) == 0


def test_a_stale_schema_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.setattr(schema, "FOLDER", tmp_path / "schemas")
    assert schema.main(["--check"]) == 1
    assert "is stale" in capsys.readouterr().err
    assert schema.main([]) == 0
    assert schema.main(["--check"]) == 0


def test_an_installed_copy_writes_no_schemas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "FOLDER", tmp_path / "schemas")
    assert schema.main([]) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_module_runs() -> None:
    command = [sys.executable, "-m", "djlink_manifest.manifest.models.schema", "--check"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_right(path: Path) -> None:
    laid_over = path.name in LAID_OVER
    manifest, found = read([path.with_name("atlas.yaml"), path] if laid_over else [path])
    assert found == ()
    assert manifest is not None
    text = path.read_text(encoding="utf-8")
    assert faults(schema.OVERLAY if laid_over else schema.MANIFEST, text) == []
    assert formatted(text) == text


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_names_its_schema_in_the_first_line(path: Path) -> None:
    first = path.read_text(encoding="utf-8").split("\n", 1)[0]
    match = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert match is not None
    assert (path.parent / match[1]).resolve() in {
        ROOT / "schemas" / n for n in (schema.MANIFEST, schema.OVERLAY)
    }


def test_the_schema_of_trust_files_is_as_strict_as_their_reader() -> None:
    text = TRUST.read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=../schemas/trust.schema.json\n")
    assert faults(schema.TRUST, text) == []
    for wrong in (
        text.replace("sources:", "source:"),
        text.replace("trust: 1", "trust: 2"),
        text.replace("    outbound: ourlab_outbound\n", ""),
        text.replace("manifests: [navigation-review]", "manifests: []"),
        text.replace("protocol: file,", "protocols: file,"),
    ):
        assert faults(schema.TRUST, wrong) != []


def test_there_are_examples() -> None:
    assert {p.name for p in EXAMPLES} >= {"two-labs.yaml", "snapshot.yaml", "atlas.yaml", *LAID_OVER}


@pytest.mark.parametrize(
    "text",
    [
        starter(),
        tables('"*":\nT: {where: [{a: [1, null]}, "b > 1"], stores: {a: b}, max_deletions: 5%}'),
        tables("T: {max_deletions: 3, depends_on: []}"),
        HEAD.replace("}", ", port: 3307, tls: {ca: x}}")
        + 'sources: {l: {host: h, tls: true, schemas: {s: {tables: "*"}}}}\n',
    ],
)
def test_the_schema_accepts_what_the_models_accept(tmp_path: Path, text: str) -> None:
    manifest, _ = read([written(tmp_path, text)])
    assert manifest is not None
    assert faults(schema.MANIFEST, text) == []
    assert faults(schema.OVERLAY, text) == []


@pytest.mark.parametrize(
    "text",
    [
        "name: a\n",
        tables("T: {wher: x}"),
        tables("T: {pull: al}"),
        tables("T: {where: {a: {b: 1}}}"),
        tables("T: {where: []}"),
        tables("T: {max_deletions: 0}"),
        tables("T: {outbound_table: A}"),
        HEAD.replace("manifest: 1", "manifest: 2"),
        HEAD.replace("}", ", port: 0}"),
        HEAD.replace("}", ", tls: verify}"),
        HEAD + "sources: null\n",
        HEAD + "defaults: {where: x}\n",
        HEAD + "removed: {a.b.C: {}}\n",
        HEAD + "approvals: [{link: a.b.C}]\n",
    ],
)
def test_the_schema_refuses_what_the_models_refuse(tmp_path: Path, text: str) -> None:
    assert read([written(tmp_path, text)])[0] is None
    assert faults(schema.MANIFEST, text)


def test_an_overlay_may_be_any_part_and_remove_anything() -> None:
    assert faults(schema.OVERLAY, "{}") == []
    assert (
        faults(
            schema.OVERLAY, "local: {port: 1}\nsources: {a: null, b: {schemas: {s: {tables: {T: null}}}}}\n"
        )
        == []
    )
    assert faults(schema.OVERLAY, "approvals: [{link: a.b.C}]\n") != []
    assert faults(schema.OVERLAY, "nonsense: 1\n") != []


def test_every_key_is_described_for_editors() -> None:
    for definition in [schema.manifest_schema(), *schema.manifest_schema()["$defs"].values()]:
        for key, value in definition["properties"].items():
            assert value.get("description") or "$ref" in value, key


def test_the_default_of_an_option_stands_where_it_is_not_inherited() -> None:
    definitions = schema.manifest_schema()["$defs"]
    assert definitions["Defaults"]["properties"]["pull"]["default"] == Options().pull
    for name in ("SourceSpec", "SchemaSpec", "Options"):
        assert "default" not in definitions[name]["properties"]["pull"]


def test_the_defaults_of_the_schema_are_those_of_the_values(tmp_path: Path) -> None:
    properties = schema.manifest_schema()["$defs"]["Defaults"]["properties"]
    given = {key: properties[key]["default"] for key in FallingOptions.model_fields}
    manifest = loaded(tmp_path, tables("T:") + f"defaults: {json.dumps(given)}\n")
    assert rules(manifest)["T"].options == Options()


# The reference


def keys(model: type[Model]) -> set[str]:
    """The keys that a file may have for a model."""
    return {info.alias or name for name, info in model.model_fields.items() if name not in model.own}


def table(heading: str) -> dict[str, list[str]]:
    """The rows of the first table below a heading, by their first cell."""
    section = DOCS.split(f"\n{heading}\n", 1)[1]
    lines = section[section.index("\n|---") :].strip().split("\n\n")[0].split("\n")[1:]
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))] for line in lines]
    return {row[0].strip("`"): row[1:] for row in rows}


def test_the_table_of_options_is_that_of_the_models() -> None:
    rows = table("## Options")
    own = set(Options.model_fields) - set(FallingOptions.model_fields)
    assert set(rows) == {*FallingOptions.model_fields, *own}
    assert {name: row[0] for name, row in rows.items()} == {
        **dict.fromkeys(FallingOptions.model_fields, "any"),
        **dict.fromkeys(own, "table"),
    }
    hints: dict[str, Any] = get_type_hints(FallingOptions)
    for name in ("pull", "deletions", "unwanted", "changed"):
        assert rows[name][1] == ", ".join(f"`{choice}`" for choice in get_args(hints[name]))
        assert rows[name][2] == f"`{getattr(Options(), name)}`"
    assert rows["max_deletions"][2] == f"`{Options().max_deletions.value:g}%`"
    assert rows["schema_name"][2] == f"`{Options().schema_name}`"
    assert rows["collation"][2] == f"`{Options().collation}`"
    assert [rows[name][2] for name in ("stores", "where", "outbound_table", "depends_on")] == [
        "none", "none", "derived", "none",
    ]  # fmt: skip
    assert all(row[3] for row in rows.values())


def test_the_options_of_the_values_are_all_in_the_table() -> None:
    assert set(table("## Options")) == set(Options.model_fields)


def test_the_other_keys_are_all_in_the_reference() -> None:
    assert set(table("## Top-level keys")) == {*keys(Manifest), "x-..."}
    assert set(table("## Servers")) == keys(ServerSpec)
    own = keys(SourceSpec) - keys(ServerSpec) - set(FallingOptions.model_fields)
    own |= keys(SchemaSpec) - set(FallingOptions.model_fields)
    assert all(f"`{key}`" in DOCS for key in own)


def snippets() -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", DOCS, re.DOTALL)


def test_the_manifests_of_the_reference_are_right(tmp_path: Path) -> None:
    whole, keys, *conditions = snippets()
    manifest, found = read([written(tmp_path, whole)])
    assert manifest is not None
    assert found == ()
    assert faults(schema.MANIFEST, whole) == []
    for text in (keys.removeprefix("tables:\n"), *conditions):
        manifest, found = (
            read([written(tmp_path, tables(text.replace("\n  ", "\n").removeprefix("  ")))])
            if text.startswith("  ")
            else read([written(tmp_path, tables(text))])
        )
        assert manifest is not None, found
        assert found == ()
    assert len(conditions) == 4
