"""Whole manifests with changes at any depth: values that plans can be made from, or problems with places."""

from __future__ import annotations

import json
import re
from pathlib import Path

from hypothesis import HealthCheck, given, settings

from djlink_manifest.errors import Diagnostic, DjlinkError
from djlink_manifest.manifest.load import load, read
from djlink_manifest.manifest.models.values import Manifest
from djlink_manifest.model.server.catalog import Catalog, ServerIdentity, Version
from djlink_manifest.model.server.rights import Grant
from djlink_manifest.model.stores.store import Stores
from djlink_manifest.model.tables.definition import Column, TableDefinition
from djlink_manifest.reconcile.bootstrap.grants import account_grants
from djlink_manifest.reconcile.diff.link_tables import CatalogPair, compare_link
from djlink_manifest.reconcile.resolve.links import resolve
from djlink_manifest.report.screen.diagnostics import diagnostic_lines, diagnostics_json
from djlink_manifest.servers.query.tables import restricted
from tests.support.mutants import mutants, whole, written

CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
QUOTED = re.compile(r"'(?:[^'\\]|''|\\.)*'|\"(?:[^\"\\]|\"\"|\\.)*\"|`(?:[^`]|``)*`", re.DOTALL)
LATER = (
    "local:\n  port: 3307\n",
    "defaults: {pull: none}\n",
    "sources: {lab_a: {schemas: {lab: null}}}\n",
    "{}\n",
)
IDENTITY = ServerIdentity(Version("mysql", "8.4.0", (8, 4, 0)), "link@%", "db", 3306, "/var", 64 << 20)
ALL = Grant(frozenset({"ALL"}), "*", "*")
TABLES = {
    ("lab", name): TableDefinition("lab", name, (Column("a", "int"), Column("b", "varchar(9)")), ("a",))
    for name in ("t", "session", "#t", "__t", "other")
}
FUZZ = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), database=None)


def check_told(found: tuple[Diagnostic, ...], paths: list[Path]) -> None:
    """Each problem is at a place of a file that was given, and can be shown on any terminal and as JSON."""
    for each in found:
        assert each.location.file in {str(path) for path in paths}
        assert min(each.location.line, each.location.column, each.width) >= 1
        assert each.summary
    for shown in diagnostic_lines(found):
        assert not CONTROL.search(shown.plain), repr(shown.plain)
    json.dumps(diagnostics_json(found), ensure_ascii=False).encode()


def check_statement(text: str) -> None:
    """One statement, whatever the names in it are."""
    bare = QUOTED.sub("q", text.removesuffix(";"))
    assert not re.search(r"[;'\"`\\]|--|/\*|#", bare), text
    assert bare.count("(") == bare.count(")"), text


def check_usable(manifest: Manifest) -> None:
    """What can be made of it without a server is made, or told as an error of ours."""
    hash(manifest.digest)
    repr(manifest)
    try:
        for account in account_grants(
            manifest, {"LINK_USER": "u", "DJ_USER": "v", "LINK_OUTBOUND": "o"}, owner="x"
        ):
            for statement in (account.create_user, *account.schemas, *account.grants):
                check_statement(statement)
    except DjlinkError:  # an account or a schema by a reference that is not set
        pass
    schemas = frozenset({"lab", "out"})
    source = {
        s.name: Catalog(s.name, IDENTITY, schemas, TABLES, {}, {}, (ALL,), {}) for s in manifest.sources
    }
    local = Catalog("local", IDENTITY, frozenset(), {}, {}, {}, (ALL,), {})
    outbound = dict.fromkeys(source, "out")
    resolved = resolve(manifest, source, local, outbound, Stores(), {})
    for link in resolved.links:
        compare_link(link, CatalogPair(manifest.name, source[link.source], local))
        text, _ = restricted(link, link.where).formatted()
        check_statement(text.replace("%%", "%"))


@FUZZ
@given(text=mutants())
def test_any_mutant_of_a_manifest_gives_values_to_plan_from_or_problems_with_places(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "m.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    manifest, found = read([path])
    check_told(found, [path])
    assert (manifest is None) == any(d.severity == "error" for d in found)
    if manifest is not None:
        assert load([path]) == manifest
        check_usable(manifest)


@FUZZ
@given(one=mutants(), two=mutants())
def test_a_mutant_laid_over_another_and_both_in_a_folder_do_so_too(
    tmp_path: Path, one: str, two: str
) -> None:
    paths = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    for path, text in zip(paths, (one, two), strict=True):
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
    for given_paths in (paths, [tmp_path]):
        manifest, found = read(given_paths)
        check_told(found, [*paths, tmp_path])
        if manifest is not None:
            check_usable(manifest)


def test_the_manifest_that_mutants_are_made_of_is_without_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(written(whole()))
    manifest, found = read([path])
    assert found == ()
    assert manifest is not None
    check_usable(manifest)
    for later in LATER:
        (tmp_path / "later.yaml").write_text(later)
        assert all(d.severity == "warning" for d in read([path, tmp_path / "later.yaml"])[1])
