"""Bad input: each fault is told with its link, server and next step, and the other links are still done."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from djlink_manifest.errors import ManifestError, SecretError, Unreachable, UsageError
from djlink_manifest.manifest.load import load
from djlink_manifest.reconcile.plan.actions import Blocked
from djlink_manifest.reconcile.plan.plan import Plan
from djlink_manifest.reconcile.runtime.events import Report
from tests.support.invariants.tables import standing
from tests.support.rig import PASSWORD, Rig, link_of
from tests.support.servers import ALIKE, CROSSED, Servers, drop_everything, new_names
from tests.support.sql import ask, run_all

pytestmark = pytest.mark.parametrize("servers", [ALIKE[0], CROSSED[1]], indirect=True, ids=str)

TABLES = (
    "CREATE DATABASE {lab}",
    "CREATE DATABASE {other}",
    "CREATE TABLE {lab}.good (id int PRIMARY KEY, name varchar(9))",
    "CREATE TABLE {lab}.good_child (id int, n int, PRIMARY KEY (id, n), FOREIGN KEY (id)"
    " REFERENCES {lab}.good (id))",
    "CREATE TABLE {lab}.seen (id int PRIMARY KEY)",
    "CREATE VIEW {lab}.view_of AS SELECT id FROM {lab}.seen",
    "CREATE TABLE {lab}.split (id int PRIMARY KEY) PARTITION BY HASH (id) PARTITIONS 2",
    "CREATE TABLE {lab}.keyless (id int)",
    "CREATE TABLE {lab}.isam (id int PRIMARY KEY) ENGINE=MyISAM",
    "CREATE TABLE {lab}.outside (id int PRIMARY KEY, data json COMMENT ':<blob@raw>:waves')",
    "CREATE TABLE {lab}.inside (id int PRIMARY KEY)",
    "CREATE TABLE {lab}.inside__clip (id int, clip binary(16) COMMENT ':blob@raw:', PRIMARY KEY (id),"
    " FOREIGN KEY (id) REFERENCES {lab}.inside (id))",
    "CREATE TABLE {lab}.loose (id int, k int, PRIMARY KEY (id, k), UNIQUE KEY (k))",
    "CREATE TABLE {lab}.loose__end (e int, k int, PRIMARY KEY (e), FOREIGN KEY (k)"
    " REFERENCES {lab}.loose (k))",
    *(
        f"CREATE TABLE {{lab}}.{name} LIKE {{lab}}.good"
        for name in ("wrong_sql", "no_sql", "wrong_map", "number", "text")
    ),
    *(
        f"CREATE TABLE {{lab}}.{name} LIKE {{lab}}.good"
        for name in ("taken_here", "taken_there", "taken_history")
    ),
    *(f"CREATE TABLE {{lab}}.{name} LIKE {{lab}}.good" for name in ("twin", "_twin", "one", "two", "lonely")),
    "CREATE TABLE {lab}.part_taken (id int PRIMARY KEY)",
    "CREATE TABLE {lab}.part_taken__bit (id int, n int, PRIMARY KEY (id, n),"
    " FOREIGN KEY (id) REFERENCES {lab}.part_taken (id))",
    "CREATE TABLE {lab}.below (id int PRIMARY KEY, number_id int, FOREIGN KEY (number_id)"
    " REFERENCES {lab}.number (id))",
    "CREATE TABLE {other}.thing (id int PRIMARY KEY)",
    "INSERT INTO {lab}.good VALUES (1, 'a'), (2, 'b')",
    "INSERT INTO {lab}.good_child VALUES (1, 1), (2, 1)",
    "INSERT INTO {lab}.number VALUES (1, '1')",
    "INSERT INTO {lab}.below VALUES (1, 1)",
)

# table: (words of the reason, words of the hint)
REFUSED = {
    "ViewOf": ("cannot be protected: it is a view", "remove it from the manifest"),
    "Split": ("cannot be protected: it is partitioned", "remove it from the manifest"),
    "Keyless": ("cannot be protected: it has no primary key", "remove it from the manifest"),
    "Isam": ("cannot be protected: it uses the MyISAM engine", "remove it from the manifest"),
    "Loose": (
        "its part `loose__end` has no foreign key to the whole primary key",
        "remove it from the manifest",
    ),
    "Outside": (r"keeps outside\.data in the store `raw`, but `stores` has no local store", "stores: {raw:"),
    "Inside": (
        r"external store in the format of DataJoint before 2\.0: inside__clip\.clip",
        "remove it from the manifest",
    ),
    "WrongSql": ("rejects `where`: Unknown collation: 'nonsense'", "only the table's own columns"),
    "NoSql": ("rejects `where`: .*syntax", "correct the condition"),
    "WrongMap": ("uses the column `nam`, which the table does not have", "did you mean `name`"),
    "Number": ("compares the text column `name` with the number 5", "quotes"),
    "Text": ("compares the number column `id` with the text 'A001'", "write a number"),
    "TakenHere": (r"the local table .*\.taken_here was not created by djlink", "schema_name"),
    "PartTaken": (r"the local table .*\.part_taken__bit was not created by djlink", "schema_name"),
    "TakenThere": (r"the table .*_taken_there on lab_a was not created by djlink", "outbound_table"),
    "TakenHistory": (
        r"the table .*_taken_history_history on lab_a was not created by djlink",
        "outbound_table",
    ),
    "twin": (r"the same local table as .*_twin", "schema_name"),
    "_twin": (r"the same local table as .*twin", "schema_name"),
    "One": (r"the same outbound table as .*Two", "outbound_table"),
    "Two": (r"the same outbound table as .*One", "outbound_table"),
    "Lonely": (r"it depends on .*Thng, which is not a link of this manifest", "did you mean .*Thing`"),
    "Missing": ("the source has no such table", "privileges on the table"),
    "GoodChilds": ("the source has no such table", "did you mean `GoodChild`"),
}


@dataclass(frozen=True)
class Case:
    rig: Rig
    document: dict[str, Any]
    plan: Plan
    report: Report
    before: list[list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def case(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    """One manifest with every fault that concerns a link or a source, planned and applied once."""
    rig = Rig(servers, new_names(), tmp_path_factory.mktemp("bad"))
    try:
        run_all(rig, *TABLES)
        rig.accounts({"lab_a": ["lab", "other"]})
        local_schema, base = rig.local_schema("lab_a", "lab"), rig.names("lab_")
        run_all(
            rig,
            f"CREATE TABLE {{outbound}}.{base}taken_there (id int PRIMARY KEY)",
            f"CREATE TABLE {{outbound}}.{base}taken_history_history (id int PRIMARY KEY)",
        )
        ask(servers.local, f"CREATE DATABASE {local_schema}")
        ask(servers.local, f"CREATE TABLE {local_schema}.taken_here (id int PRIMARY KEY, name varchar(9))")
        ask(
            servers.local, f"CREATE TABLE {local_schema}.part_taken__bit (id int, n int, PRIMARY KEY (id, n))"
        )
        ask(servers.local, f"INSERT INTO {local_schema}.part_taken__bit VALUES (7, 7)")
        rules: dict[str, Any] = {name: {} for name in (*REFUSED, "Good", "GoodChild", "Below")}
        # named one by one, both are refused offline
        del rules["twin"], rules["_twin"]
        rules["*twin"] = {}
        rules["WrongSql"] = {"where": "'x' COLLATE nonsense = 'y'"}
        rules["NoSql"] = {"where": "id = = 1"}
        rules["WrongMap"] = {"where": [{"nam": "x"}, {"name": "y"}]}
        rules["Text"] = {"where": [{"id": [1, "2"]}, {"id": "A001"}]}
        rules["Number"] = {"where": {"name": 5}}
        rules["One"] = {"outbound_table": base + "two"}
        rules["Lonely"] = {"depends_on": [rig.address("lab_a", "other", "Thng")]}
        document = rig.document(
            {"lab_a": {"lab": {"tables": rules}, "othre": {"tables": "*"}, "other": {"tables": "Th*"}}}
        )
        lab_a = {**document["sources"]["lab_a"], "schemas": {rig.names("other"): {"tables": "*"}}}
        document["sources"] |= {
            "down": {**lab_a, "port": closed_port()},
            "nowhere": {**lab_a, "host": "no-such-host.invalid"},
            "stranger": {**lab_a, "password": "${env:WRONG}"},
        }
        rig.environ["WRONG"] = "wrong-secret-77"
        before = standing(rig)
        plan, report = rig.apply(document)
        yield Case(rig, document, plan, report, before)
    finally:
        for server in servers:
            drop_everything(server, rig.names)


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def refusal(case: Case, table: str) -> tuple[str, str]:
    """The reason and hint of the one refusal of a table."""
    address = case.rig.address("lab_a", "lab", table)
    for other in case.plan.refusals:
        if other.address == address:
            assert other.location is not None
            return other.reason, other.hint or ""
    link = link_of(case.plan, address)
    [blocked] = link.blocked
    assert blocked.kind == "error"
    assert blocked.whole
    assert link.location is not None
    return blocked.reason, blocked.hint or ""


@pytest.mark.parametrize("table", REFUSED)
def test_a_faulty_link_is_refused_with_its_reason_and_next_step(case: Case, table: str) -> None:
    reason, hint = refusal(case, table)
    assert re.search(REFUSED[table][0], reason), reason
    assert re.search(REFUSED[table][1], hint), hint


@pytest.mark.parametrize(
    ("source", "words", "hint"),
    [
        ("down", "127.0.0.1:.* cannot be reached", "check `host` and `port`"),
        ("nowhere", "no-such-host.invalid:.* cannot be reached", "check `host` and `port`"),
        ("stranger", "refused the login of .*link", "check `user` and `password`"),
    ],
)
def test_a_source_that_cannot_be_used_is_told(case: Case, source: str, words: str, hint: str) -> None:
    facts = next(s for s in case.plan.sources if s.name == source)
    assert re.search(words, facts.problem or ""), facts.problem
    assert hint in (facts.hint or "")


def test_a_missing_schema_is_told_with_the_nearest_name(case: Case) -> None:
    place = f"lab_a.{case.rig.names('othre')}"
    [found] = [r for r in case.plan.refusals if r.address == place]
    assert "does not exist, or the link user has no privilege on it" in found.reason
    assert f"did you mean `{case.rig.names('other')}`" in (found.hint or "")


def test_a_link_below_a_refused_one_waits_for_it(case: Case) -> None:
    link = link_of(case.plan, case.rig.address("lab_a", "lab", "Below"))
    upstream = case.rig.address("lab_a", "lab", "Number")
    assert link.blocked == (Blocked("upstream", f"not attempted: {upstream} is blocked", whole=True),)


def test_the_other_links_are_done_and_nothing_else_is_touched(case: Case) -> None:
    assert case.plan.has_errors
    assert case.report.succeeded
    assert {o.address: o.counts.pulled for o in case.report.outcomes} == {
        case.rig.address("lab_a", "lab", "Good"): 2,
        case.rig.address("lab_a", "lab", "GoodChild"): 2,
        case.rig.address("lab_a", "other", "Thing"): 0,
    }
    lab, other = (case.rig.local_schema("lab_a", schema) for schema in ("lab", "other"))
    suffixes = ("", "_deletion_approved", "_deletion_requested", "_history")
    tables = ("lab_good", "lab_good_child", "other_thing")
    local_side = {case.rig.names(table) + suffix for table in tables for suffix in suffixes}
    [lab_a, lab_b, local] = [
        {(s, t): n for s, t, n in now if (s, t, n) not in was}
        for was, now in zip(case.before, standing(case.rig), strict=True)
    ]
    assert set(lab_a) == {(case.rig.outbound, t) for t in (*local_side, "~djlink")}
    assert lab_b == {}
    made = ("good", "good__deletion_requested", "good_child", "good_child__deletion_requested")
    assert set(local) == {
        *((lab, t) for t in (*made, "~djlink", "~lineage")),
        *((other, t) for t in ("thing", "thing__deletion_requested", "~djlink", "~lineage")),
    }
    assert (lab_a[case.rig.outbound, "~djlink"], local[lab, "~djlink"], local[other, "~djlink"]) == (3, 2, 1)


def test_no_password_is_in_the_plan_or_the_report(case: Case) -> None:
    for text in (repr(case.plan), str(case.plan), repr(case.report)):
        assert PASSWORD not in text
        assert "wrong-secret-77" not in text


def test_a_local_server_that_cannot_be_used_ends_the_command(
    case: Case, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(0)
    for change, words in (
        ({"password": "${env:WRONG}"}, "refused the login"),
        ({"port": closed_port()}, "cannot be reached"),
        ({"host": "no-such-host.invalid", "tls": True}, "cannot be reached"),
    ):
        with pytest.raises(Unreachable, match=words) as caught:
            case.rig.plan({**case.document, "local": {**case.document["local"], **change}})
        assert caught.value.server == "local"
        assert caught.value.hint
        told = f"{caught.value!r} {caught.value} {caught.value.__dict__} {caplog.text} {capfd.readouterr()}"
        assert PASSWORD not in told
        assert "wrong-secret-77" not in told


def test_a_secret_that_is_missing_is_named_and_no_value_is_told(case: Case) -> None:
    document = {**case.document, "local": {**case.document["local"], "password": "${env:NO_SUCH_VARIABLE}"}}
    with pytest.raises(SecretError, match="NO_SUCH_VARIABLE is not set") as caught:
        case.rig.plan(document)
    assert caught.value.server == "local"
    assert caught.value.location is not None
    assert "export NO_SUCH_VARIABLE" in (caught.value.hint or "")
    assert PASSWORD not in f"{caught.value!r} {caught.value.__dict__}"


def test_an_unknown_target_is_told_with_the_nearest_link(case: Case) -> None:
    with pytest.raises(UsageError, match="this manifest has no such link") as caught:
        case.rig.plan(case.document, targets=[case.rig.address("lab_a", "lab", "Goodd")])
    assert case.rig.address("lab_a", "lab", "Good") in (caught.value.hint or "")


def test_links_that_need_each_other_are_named_one_by_one(case: Case) -> None:
    good, child, seen = (case.rig.address("lab_a", "lab", t) for t in ("Good", "GoodChild", "Seen"))
    rules = {"Good": {"depends_on": [seen]}, "GoodChild": {}, "Seen": {"depends_on": [child]}}
    plan = case.rig.plan(case.rig.document({"lab_a": {"lab": {"tables": rules}}}))
    for address in (good, child, seen):
        [blocked] = link_of(plan, address).blocked
        for line in (
            f"{child} needs {good} (foreign key)",
            f"{good} needs {seen} (depends_on)",
            f"{seen} needs {child} (depends_on)",
        ):
            assert line in blocked.reason
        assert "depends_on" in (blocked.hint or "")


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"Inside.Clip": {}}, "is a part; parts are linked with their master, `Inside`"),
        ({"inside__clip": {}}, "is a part; parts are linked with their master, `inside`"),
        ({"Good": {"where": "id IN (SELECT 1)"}}, "subquery"),
        ({"One": {"outbound_table": "x"}, "Two": {"outbound_table": "x"}}, "outbound"),
    ],
)
def test_what_no_server_need_be_asked_for_is_refused_offline(
    case: Case, tmp_path: Path, rules: dict[str, Any], words: str
) -> None:
    path = case.rig.write(case.rig.document({"lab_a": {"lab": {"tables": rules}}}), f"{tmp_path.name}.yaml")
    with pytest.raises(ManifestError) as caught:
        load([path])
    assert words in " ".join(d.summary for d in caught.value.diagnostics)
    assert caught.value.location is not None


def test_two_sources_go_into_one_local_table_only_where_schema_name_parts_them(rig: Rig) -> None:
    for server, name in (("lab_a", "of a"), ("lab_b", "of b")):
        run_all(
            rig,
            "CREATE DATABASE {lab}",
            "CREATE TABLE {lab}.subject (id int PRIMARY KEY, name varchar(9))",
            f"CREATE TABLE {{lab}}.only_{server} (id int PRIMARY KEY)",
            f"INSERT INTO {{lab}}.subject VALUES (1, '{name}')",
            server=server,
        )
    rig.accounts({"lab_a": ["lab"], "lab_b": ["lab"]})
    document = rig.document({server: {"lab": {"tables": "*"}} for server in ("lab_a", "lab_b")})
    apart = document.pop("defaults")
    document["defaults"] = {"schema_name": rig.names("one")}
    plan, report = rig.apply(document)
    for server, other in (("lab_a", "lab_b"), ("lab_b", "lab_a")):
        [blocked] = link_of(plan, rig.address(server, "lab", "Subject")).blocked
        source = rig.address(other, "lab", "Subject")
        assert blocked.reason == (f"it has the same local table as {source}: {rig.names('one')}.subject")
        assert blocked.hint == "separate them with `schema_name`"
    # the schema is shared by tables of other names, and by nothing else
    assert sorted(o.address for o in report.outcomes) == [
        rig.address("lab_a", "lab", "OnlyLabA"),
        rig.address("lab_b", "lab", "OnlyLabB"),
    ]
    stands = [[table for _, table, _ in tables if "subject" in table] for tables in standing(rig)]
    assert stands == [["subject"], ["subject"], []]  # the sources' own
    document["defaults"] = apart
    for server in ("lab_a", "lab_b"):
        rules: dict[str, Any] = {"tables": {"Subject": {}}}
        document["sources"][server]["schemas"] = {rig.names("lab"): rules}
    plan, report = rig.apply(document)
    assert [o.counts.pulled for o in report.outcomes] == [1, 1]
    for server, name in (("lab_a", "of a"), ("lab_b", "of b")):
        local_schema = rig.local_schema(server, "lab")
        assert ask(rig.servers.local, f"SELECT * FROM `{local_schema}`.subject") == [(1, name)]
