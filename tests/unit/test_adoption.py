"""What is adopted and what is refused, from catalogues alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from djlink_manifest.errors import Location
from djlink_manifest.model.links.entity import Presence
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.server.catalog import Catalog, Mark, ServerIdentity, Version, fingerprint
from djlink_manifest.model.tables.definition import Column, TableDefinition
from djlink_manifest.model.tables.derive import LinkedTable, local_definition, outbound_definitions
from djlink_manifest.reconcile.adopt.rehearsal import Adoption, adopted, adoption, rehearsal, unfit
from djlink_manifest.reconcile.diff.link_tables import CatalogPair
from djlink_manifest.reconcile.plan.actions import Blocked, CreateLocal
from djlink_manifest.reconcile.plan.plan import LinkPlan, Plan
from djlink_manifest.reconcile.state.snapshot import EntityClass, LinkSnapshot, Refusal, ServerFacts

LOCAL_SERVER = ServerIdentity(Version("mysql", "8.4.0", (8, 4, 0)), "us@%", "db.ours", 3306, "/var", 64 << 20)
SOURCE_SERVER = replace(LOCAL_SERVER, hostname="db.theirs", account="link@%")
SOURCE = TableDefinition("lab", "t", (Column("id", "int"), Column("x", "int", nullable=True)), ("id",))
OUTBOUND = outbound_definitions(SOURCE, "out", "lab_t")
LOCAL, _ = local_definition(SOURCE, "ours", {("lab", "t"): LinkedTable("a.lab.T", ("id",), "ours", "t")})
LINK = Link(
    "a.lab.T", "a", SOURCE, LOCAL, "out", "lab_t", (), (), None, "all", "keep", "review", Location("f", 1, 1)
)


def catalog(identity: ServerIdentity, *tables: TableDefinition) -> Catalog:
    found = {(t.schema, t.name): replace(t, parts=()) for t in tables}
    return Catalog(
        "a" if identity is SOURCE_SERVER else "local", identity, frozenset(), found, {}, {}, (), {}
    )


def ground(*, local: Catalog | None = None, source: Catalog | None = None) -> CatalogPair:
    source_side = source or catalog(SOURCE_SERVER, SOURCE, *OUTBOUND)
    return CatalogPair("atlas", source_side, local or catalog(LOCAL_SERVER, *LOCAL.tables))


def mark(side: str, **changes: str | None) -> Mark:
    on = ground()
    base = Mark(
        on.link_id(LINK),
        "lab_t" if side == "out" else "t",
        *("atlas", "c@x", "lab", "t", "out", "lab_t", "db.ours", "ours", "t"),
        fingerprint(LOCAL_SERVER),
        SOURCE.digest(),
    )
    return replace(base, **changes)  # type: ignore[arg-type] # all of these are text


def marked(**changes: str | None) -> CatalogPair:
    """Both sides marked, with the same changes."""
    on = ground()
    return replace(
        on,
        source=adopted(on.source, "out", mark("out", **changes)),
        local=adopted(on.local, "ours", mark("ours", **changes)),
    )


def found(on: CatalogPair, given_up: str | None = None) -> Adoption | Refusal | None:
    return adoption(LINK, on, "c@ours", given_up)


def test_nothing_is_taken_where_nothing_stands_or_all_is_right() -> None:
    assert found(ground(local=catalog(LOCAL_SERVER), source=catalog(SOURCE_SERVER, SOURCE))) is None
    assert found(marked()) is None


def test_tables_without_marks_get_new_ones_and_those_with_marks_keep_their_history() -> None:
    bare = found(ground())
    assert isinstance(bare, Adoption)
    assert (bare.outbound.link_id, bare.outbound.definition) == (mark("out").link_id, None)
    assert (bare.local.table_name, bare.local.contact) == ("t", "c@ours")
    renamed = found(marked(manifest="old", link_id="x"))
    assert isinstance(renamed, Adoption)
    assert renamed.outbound.definition == SOURCE.digest()
    assert renamed.outbound_before is not None
    assert renamed.outbound_before.manifest == "old"


@pytest.mark.parametrize("given_up", [None, "theirs"])
def test_another_labs_tables_are_taken_only_where_it_is_named(given_up: str | None) -> None:
    refusal = found(marked(manifest="theirs", fingerprint="0", local_server="db.x", link_id="x"), given_up)
    if given_up:
        assert isinstance(refusal, Adoption)
        assert "`db.x`, is refused from then on" in refusal.notes[0]
    else:
        assert isinstance(refusal, Refusal)
        assert "`theirs` (c@x) of another local server, `db.x`" in refusal.reason


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"source_table": "u"}, "belong to another link, lab.u"),
        ({"source_schema": "z"}, "belong to another link, z.t"),
    ],
)
def test_tables_of_another_source_table_are_refused(changes: dict[str, str], words: str) -> None:
    refusal = found(marked(manifest="old", **changes))
    assert isinstance(refusal, Refusal)
    assert words in refusal.reason


def test_a_local_table_that_moved_in_the_manifest_alone_is_refused() -> None:
    on = ground(local=catalog(LOCAL_SERVER))
    on = replace(on, source=adopted(on.source, "out", mark("out", local_schema="before")))
    refusal = found(on)
    assert isinstance(refusal, Refusal)
    assert "its local table is before.t; ours.t does not exist" in refusal.reason


@pytest.mark.parametrize(
    ("number", "change", "words"),
    [
        (0, {"foreign_keys": ()}, "a foreign key to lab.t is missing"),
        (0, {"engine": "MyISAM"}, "not an InnoDB table"),
        (1, {"columns": OUTBOUND[1].columns[1:]}, "column `id` is missing"),
        (2, {"key": ()}, "the primary key is"),
    ],
)
def test_outbound_tables_that_do_not_fit_are_refused(
    number: int, change: dict[str, object], words: str
) -> None:
    tables = list(OUTBOUND)
    tables[number] = replace(tables[number], **change)  # type: ignore[arg-type] # fields by name
    refusal = found(ground(source=catalog(SOURCE_SERVER, SOURCE, *tables)))
    assert isinstance(refusal, Refusal)
    assert words in refusal.reason


def test_a_foreign_key_that_lets_rows_go_is_refused() -> None:
    [key] = OUTBOUND[0].foreign_keys
    for rule, fits in (("CASCADE", False), ("NO ACTION", True)):
        loose = replace(OUTBOUND[0], foreign_keys=(replace(key, on_delete=rule),))
        refusal = found(ground(source=catalog(SOURCE_SERVER, SOURCE, loose, *OUTBOUND[1:])))
        assert isinstance(refusal, Adoption) is fits
        assert fits or (isinstance(refusal, Refusal) and "ON DELETE CASCADE, not RESTRICT" in refusal.reason)


def snapshot(equal: int = 0, *, held: bool = False, rows: int = 3) -> LinkSnapshot:
    where = EntityClass(Presence(True, held, True, False, False), True, True)
    return LinkSnapshot({where: rows}, local_rows=rows, equal=equal)


def test_keys_alone_do_not_make_a_table_the_sources_unless_rows_could_not_be_compared() -> None:
    plan = LinkPlan("a.lab.T", 1)
    refusal = unfit(plan, snapshot())
    assert refusal is not None
    assert "none of its 3 local rows is held or equals a source row" in refusal.reason
    assert unfit(plan, snapshot(1)) is None
    assert unfit(plan, snapshot(held=True)) is None
    assert unfit(plan, LinkSnapshot({})) is None
    assert unfit(replace(plan, actions=(CreateLocal(("ours.t__p",), ""),)), snapshot()) is None
    above = unfit(replace(plan, blocked=(Blocked("upstream", "waits", whole=True),)), None)
    assert above is not None
    assert "in the same command" in str(above.hint)


def test_what_does_not_fit_is_left_out_until_the_rest_does() -> None:
    first, second = found(ground()), found(ground())
    assert isinstance(first, Adoption)
    assert isinstance(second, Adoption)
    other = replace(second, address="a.lab.U")
    asked = list[list[str]]()

    def planned(taken: object) -> tuple[Plan, dict[str, LinkSnapshot]]:
        assert isinstance(taken, list)
        asked.append([a.address for a in taken])
        links = tuple(LinkPlan(a.address, 1) for a in taken)
        facts = ServerFacts("local", "db")
        seen = {a.address: snapshot(int(a.address == "a.lab.T")) for a in taken}
        return Plan("atlas", "", (), facts, (), links), seen

    told = rehearsal({"a.lab.T": first, "a.lab.U": other, "a.lab.V": None}, planned)
    assert asked == [["a.lab.T", "a.lab.U"], ["a.lab.T"]]
    assert [a.address for a in told.adoptions] == ["a.lab.T"]
    assert [r.address for r in told.refusals] == ["a.lab.U"]
    assert told.right == ("a.lab.V",)
