"""The manifests that classes ask the core with: values, made without a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from djlink_manifest.api.manifests import LinkDeclaration, decorated, letting_go, narrowed
from djlink_manifest.errors import Location
from djlink_manifest.manifest.load import load
from djlink_manifest.manifest.models.options import Options
from djlink_manifest.manifest.models.servers import ServerSpec
from djlink_manifest.manifest.models.values import Manifest
from djlink_manifest.manifest.text.nodes import Origin
from djlink_manifest.model.links.selection import NOTHING, AllOf, Equals, SqlCondition
from djlink_manifest.model.server.catalog import Mark

PLACE = Location("notebook.py", 3, 1)
LOCAL, SOURCE = (
    ServerSpec.model_construct(
        origin=Origin.outside(PLACE, name), host=f"{name}.example", user="${env:A}", password="${env:B}"
    )
    for name in ("local", "db")
)
RATS = SqlCondition("species = 'rat'")


def mark(schema: str, table: str, outbound: str, local_schema: str, local: str) -> Mark:
    return Mark("id", outbound, "python", "", schema, table, "out", outbound, "", local_schema, local, "")


def options(manifest: Manifest) -> dict[str, Options]:
    return {
        f"{source.name}.{schema.name}.{rule.pattern}": rule.options
        for source in manifest.sources
        for schema in source.schemas
        for rule in schema.rules
    }


def test_a_decorated_link_wants_itself_and_only_refers_to_those_made_before() -> None:
    declaration = LinkDeclaration("lab", "Session", "ours", (("raw", "disk"),), PLACE)
    marks = [
        mark("lab", "session", "lab_session", "ours", "session"),
        mark("lab", "#subject", "lab_subject", "ours", "subject"),
        mark("ephys", "_unit", "unit_of_old", "ours_ephys", "unit"),
    ]
    beside = {("ephys", "Unit"): (("raw", "tape"),)}
    made = options(decorated(declaration, marks, LOCAL, SOURCE, "out", "us", RATS, beside))
    assert made == {
        "db.lab.session": Options.model_construct(
            where=RATS, stores=(("raw", "disk"),), schema_name="ours", outbound_table="lab_session"
        ),
        "db.lab.#subject": Options.model_construct(
            pull="none", stores=(("raw", "disk"),), schema_name="ours", outbound_table="lab_subject"
        ),
        "db.ephys._unit": Options.model_construct(
            pull="none", stores=(("raw", "tape"),), schema_name="ours_ephys", outbound_table="unit_of_old"
        ),
    }


def test_a_link_without_a_mark_is_named_by_its_class() -> None:
    declaration = LinkDeclaration("lab", "Session", "ours", (), PLACE)
    made = decorated(declaration, [], LOCAL, SOURCE, "out", "us", None, {})
    assert options(made) == {"db.lab.Session": Options.model_construct(schema_name="ours")}
    assert (made.name, made.contact, made.sources[0].outbound) == ("python", "us", "out")


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    path = tmp_path / "atlas.yaml"
    path.write_text(
        """
manifest: 1
name: atlas
local: {host: here, user: "${env:A}", password: "${env:B}"}
defaults: {schema_name: "{source}_{schema}", unwanted: release}
sources:
  one:
    host: one.example
    outbound: out
    schemas:
      lab: {tables: {"*": {}, Session: {where: {day: 1}}, Frozen: {pull: none}}}
      other: {tables: {"S*": {pull: needed}}}
"""
    )
    return load([path])


def test_narrowing_restricts_one_table_and_asks_of_the_others_what_it_needs(manifest: Manifest) -> None:
    made = options(narrowed(manifest, "one", "lab", "session", RATS))
    assert made["one.lab.session"].where == AllOf((Equals("day", (1,)), RATS))
    assert "one.lab.Session" not in made
    assert {name: each.pull for name, each in made.items()} == {
        "one.lab.*": "needed",
        "one.lab.Frozen": "none",
        "one.lab.session": "all",
        "one.other.S*": "needed",
    }
    assert {each.unwanted for each in made.values()} == {"keep"}


@pytest.mark.parametrize(("table", "pull"), [("#subject", "all"), ("frozen", "none")])
def test_narrowing_takes_a_table_out_of_a_glob_and_keeps_a_frozen_one(
    manifest: Manifest, table: str, pull: str
) -> None:
    made = options(narrowed(manifest, "one", "lab", table, RATS))
    assert (made[f"one.lab.{table}"].where, made[f"one.lab.{table}"].pull) == (RATS, pull)


def test_a_table_of_which_only_what_is_needed_comes_is_pulled_as_far_as_it_is_asked_for(
    manifest: Manifest,
) -> None:
    made = options(narrowed(manifest, "one", "other", "subject", RATS))
    assert (made["one.other.subject"].where, made["one.other.subject"].pull) == (RATS, "all")


def test_letting_go_wants_nothing_and_gives_nothing_up_that_is_here(manifest: Manifest) -> None:
    made = options(letting_go(manifest))
    assert {(each.where, each.pull, each.unwanted) for each in made.values()} == {(NOTHING, "all", "keep")}
    assert {each.schema_name for each in made.values()} == {"{source}_{schema}"}
