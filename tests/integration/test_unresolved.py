"""Parents that are declared and refused, on real servers: nothing comes below them until they are mended.

And circles of foreign keys, which concern their own links.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from djlink_manifest.cli import run
from djlink_manifest.reconcile.plan.plan import Plan
from djlink_manifest.sandbox.servers.accounts import grant_pattern
from tests.support.histories.dumps import unchecked
from tests.support.rig import Rig, link_of, own_rig
from tests.support.servers import ALIKE, Servers
from tests.support.sql import ask, run_all

pytestmark = pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str, scope="module")

TABLES = (
    "CREATE DATABASE {lab}",
    "CREATE DATABASE {other}",
    "CREATE TABLE {lab}.mouse (id int PRIMARY KEY, species varchar(9))",
    "CREATE TABLE {other}.scan (n int PRIMARY KEY, id int NOT NULL,"
    " FOREIGN KEY (id) REFERENCES {lab}.mouse (id))",
    "CREATE TABLE {other}.field (n int, f int, PRIMARY KEY (n, f),"
    " FOREIGN KEY (n) REFERENCES {other}.scan (n))",
    "CREATE TABLE {other}.alone (id int PRIMARY KEY)",
    "INSERT INTO {lab}.mouse VALUES (1, 'mus'), (2, 'rat')",
    "INSERT INTO {other}.scan VALUES (10, 1), (20, 2)",
    "INSERT INTO {other}.field VALUES (10, 1), (20, 1)",
    "INSERT INTO {other}.alone VALUES (1)",
)
MUS = {"where": {"species": "mus"}}


@dataclass(frozen=True)
class Lab:
    """Mice, their scans, and the fields of these, in two schemas of a source."""

    rig: Rig

    def fresh(self) -> None:
        """The pipeline, of which nothing is linked, and the rights on both of its schemas."""
        rig = self.rig
        for server, schemas in (
            (rig.servers.lab_a, ["lab", "other", "outbound"]),
            (rig.servers.local, [f"our_lab_a_{rig.names(s)}" for s in ("lab", "other")]),
        ):
            with unchecked(server):  # circles are dropped too
                for schema in schemas:
                    ask(server, f"DROP DATABASE IF EXISTS `{rig.names(schema)}`")
        run_all(rig, "CREATE DATABASE {outbound}", *TABLES)
        self.let_see()

    def document(self, lab: Any, other: Any = "*", **more: Any) -> dict[str, Any]:
        return self.rig.document({"lab_a": {"lab": {"tables": lab}, "other": {"tables": other}}}, **more)

    def address(self, schema: str, table: str) -> str:
        return self.rig.address("lab_a", schema, table)

    def hide(self) -> None:
        """Take every right on the schema of the mice."""
        schema, user = grant_pattern(self.rig.names("lab")), self.rig.names("link")
        ask(self.rig.servers.lab_a, f"REVOKE ALL PRIVILEGES ON {schema}.* FROM '{user}'@'%'")

    def let_see(self) -> None:
        schema, user = grant_pattern(self.rig.names("lab")), self.rig.names("link")
        ask(self.rig.servers.lab_a, f"GRANT SELECT, REFERENCES ON {schema}.* TO '{user}'@'%'")

    def local(self) -> dict[str, int]:
        """The local tables of the pipeline, with their rows."""
        text = (
            "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA LIKE %s"
            " AND TABLE_NAME IN ('mouse', 'scan', 'field', 'alone')"
        )
        tables = ask(self.rig.servers.local, text, (f"{self.rig.names('our')}%",))
        return {t: ask(self.rig.servers.local, f"SELECT COUNT(*) FROM `{s}`.`{t}`")[0][0] for s, t in tables}

    def reasons(self, plan: Plan, table: str) -> str:
        """Why nothing is done for a link of the schema `other`."""
        return "; ".join(b.reason for b in link_of(plan, self.address("other", table)).blocked if b.whole)


@pytest.fixture(scope="module")
def lab(servers: Servers) -> Iterator[Lab]:
    with own_rig(servers) as rig:
        for schema in ("lab", "other"):
            ask(servers.lab_a, f"CREATE DATABASE `{rig.names(schema)}`")
        rig.accounts({"lab_a": ["lab", "other"]})
        yield Lab(rig)


Command = Callable[..., tuple[int, str]]


@pytest.fixture
def djlink(lab: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command on a manifest in this process: its exit code, and all that it prints in one line."""

    def command(document: dict[str, Any], *arguments: str) -> tuple[int, str]:
        for name, value in lab.rig.environ.items():
            monkeypatch.setenv(name, value)
        code = run([*arguments, "-f", str(lab.rig.write(document))])
        out, err = capsys.readouterr()
        return code, " ".join((out + err).split())

    return command


def typo(lab: Lab) -> dict[str, Any]:
    return lab.document({"Mous": MUS})


def glob_over_a_typo(lab: Lab) -> dict[str, Any]:
    return lab.document({"*": {}, "Mous": MUS})


def hidden(lab: Lab) -> dict[str, Any]:
    lab.hide()
    return lab.document({"Mouse": MUS})


def hidden_below_a_glob(lab: Lab) -> dict[str, Any]:
    lab.hide()
    return lab.document({"*": MUS})


def one_table_hidden(lab: Lab) -> dict[str, Any]:
    run_all(lab.rig, "CREATE TABLE {lab}.cage (id int PRIMARY KEY)")
    lab.hide()
    user = lab.rig.names("link")
    ask(lab.rig.servers.lab_a, f"GRANT SELECT ON `{lab.rig.names('lab')}`.cage TO '{user}'@'%'")
    return lab.document({"Mouse": MUS})


def condition(lab: Lab) -> dict[str, Any]:
    return lab.document({"Mouse": {"where": {"spezies": "mus"}}})


def partitioned(lab: Lab) -> dict[str, Any]:
    """A table that no foreign key can be to, but one of an outbound table even less."""
    run_all(
        lab.rig,
        "ALTER TABLE {lab}.mouse ADD UNIQUE KEY (id)",
        "ALTER TABLE {other}.scan DROP FOREIGN KEY scan_ibfk_1",
        "ALTER TABLE {lab}.mouse DROP PRIMARY KEY, MODIFY id int NOT NULL",
        "ALTER TABLE {other}.scan ADD CONSTRAINT scan_ibfk_1 FOREIGN KEY (id) REFERENCES {lab}.mouse (id)",
    )
    return lab.document({"Mouse": MUS})


def mend_keyless(lab: Lab) -> None:
    run_all(lab.rig, "ALTER TABLE {lab}.mouse ADD PRIMARY KEY (id)")


CAUSES: dict[str, tuple[Callable[[Lab], dict[str, Any]], Callable[[Lab], None] | None, str]] = {
    "typo": (typo, None, "Mous cannot be linked: the source has no such table"),
    "glob": (glob_over_a_typo, None, "is blocked"),
    "hidden": (hidden, Lab.let_see, "does not exist, or the link user has no privilege on it"),
    "hidden glob": (hidden_below_a_glob, Lab.let_see, "does not exist, or the link user has no privilege"),
    "one hidden": (
        one_table_hidden,
        Lab.let_see,
        "mouse no longer exists, or the link user has no privilege",
    ),
    "where": (condition, None, "is blocked"),
    "keyless": (partitioned, mend_keyless, "it has no primary key"),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_nothing_is_made_below_a_parent_that_is_refused_and_all_comes_once_it_is_mended(
    lab: Lab, djlink: Command, cause: str
) -> None:
    lab.fresh()
    make, mend, words = CAUSES[cause]
    document = make(lab)
    plan, report = lab.rig.apply(document)
    assert report.succeeded
    assert plan.has_errors
    assert words in lab.reasons(plan, "Scan")
    assert f"{lab.address('other', 'Scan')} is blocked" in lab.reasons(plan, "Field")
    assert lab.local() == {"alone": 1} if cause != "one hidden" else {"alone": 1}
    target = lab.rig.plan(document, targets=[lab.address("other", "*")])
    assert target.has_errors
    assert words in lab.reasons(target, "Scan")
    code, out = djlink(document, "plan", "--target", lab.address("other", "Field"))
    assert code == 1
    assert "No changes." not in out
    left = lab.rig.plan(document, excludes=[lab.address("lab", "*")])
    assert not left.has_changes
    assert left.has_errors

    if mend is not None:
        mend(lab)
    document = lab.document({"Mouse": MUS})
    _, report = lab.rig.apply(document)
    assert report.succeeded
    assert lab.local() == {"mouse": 1, "scan": 1, "field": 1, "alone": 1}
    plan = lab.rig.plan(document)
    assert (plan.has_changes, plan.has_errors) == (False, False)
    assert [link.drift for link in plan.links] == [()] * 4


@pytest.mark.parametrize("rules", [{"Mouse": MUS}, {"*": MUS}], ids=["name", "glob"])
def test_what_is_shared_waits_while_its_parent_is_not_seen_and_stays_as_it_is(
    lab: Lab, rules: dict[str, Any]
) -> None:
    lab.fresh()
    document = lab.document(rules)
    lab.rig.apply(document)
    run_all(
        lab.rig,
        "INSERT INTO {lab}.mouse VALUES (3, 'mus'), (4, 'rat')",
        "INSERT INTO {other}.scan VALUES (30, 3), (40, 4)",
        "INSERT INTO {other}.alone VALUES (2)",
    )
    lab.hide()
    plan, report = lab.rig.apply(document)
    assert report.succeeded
    assert "cannot be linked" in lab.reasons(plan, "Scan")
    assert [link.drift for link in plan.links] == [()] * 3
    assert plan.forgotten == ()
    assert lab.local() == {"mouse": 1, "scan": 1, "field": 1, "alone": 2}
    user = lab.rig.names("link")
    ask(lab.rig.servers.lab_a, f"CREATE TABLE `{lab.rig.names('lab')}`.cage (id int PRIMARY KEY)")
    ask(lab.rig.servers.lab_a, f"GRANT SELECT ON `{lab.rig.names('lab')}`.cage TO '{user}'@'%'")
    plan = lab.rig.plan(document)
    assert "mouse no longer exists, or the link user has no privilege on it" in lab.reasons(plan, "Scan")
    assert plan.forgotten == ()
    ask(lab.rig.servers.lab_a, f"REVOKE SELECT ON `{lab.rig.names('lab')}`.cage FROM '{user}'@'%'")
    ask(lab.rig.servers.lab_a, f"DROP TABLE `{lab.rig.names('lab')}`.cage")

    lab.let_see()
    assert lab.rig.apply(document)[1].succeeded
    assert lab.local() == {"mouse": 2, "scan": 2, "field": 1, "alone": 2}
    plan = lab.rig.plan(document)
    assert (plan.has_changes, plan.has_errors) == (False, False)


def test_what_was_linked_is_not_called_declared_no_longer_where_a_mistyped_name_may_mean_it(lab: Lab) -> None:
    lab.fresh()
    lab.rig.apply(lab.document({"Mouse": MUS}))
    plan = lab.rig.plan(lab.document({"Mous": MUS}))
    assert "it may refer to its parent" in lab.reasons(plan, "Scan")
    assert plan.forgotten == ()
    assert not plan.has_changes
    [forgotten] = lab.rig.plan(lab.document({"*": MUS}, ["Scan", "Alone"])).forgotten
    assert forgotten.source_table == f"{lab.rig.names('other')}.field"


def test_every_command_names_the_cause_where_an_address_is_declared_and_gives_no_link(
    lab: Lab, djlink: Command
) -> None:
    lab.fresh()
    document = lab.document({"Mous": MUS})
    document["sources"]["down"] = {
        **document["sources"]["lab_a"],
        "password": "${env:WRONG}",
        "schemas": {lab.rig.names("lab"): {"tables": ["Mouse"]}},
    }
    lab.rig.environ["WRONG"] = "wrong-secret-77"
    gone, mous = f"down.{lab.rig.names('lab')}.Mouse", lab.address("lab", "Mous")
    for address, words in ((gone, "refused the login"), (mous, "the source has no such table")):
        for command in (
            ("plan", "--target", address),
            ("status", "--target", address),
            ("graph", "--target", address),
            ("apply", "--auto-approve", "--target", address),
            ("explain", address, "id=1"),
            ("requests", address),
            ("approve", address),
            ("adopt", address, "--json"),
        ):
            code, told = djlink(document, *command)
            assert code == 1, (command, told)
            assert words in told, (command, told)
            assert "this manifest has no such link" not in told
    code, told = djlink(document, "requests")
    assert code == 1
    assert "the source has no such table" in told
    assert "down is unavailable" in told
    assert lab.local() == {}


# circles

CIRCLES = (
    "CREATE TABLE {lab}.a (id int PRIMARY KEY, b int)",
    "CREATE TABLE {lab}.b (id int PRIMARY KEY, a int, FOREIGN KEY (a) REFERENCES {lab}.a (id))",
    "ALTER TABLE {lab}.a ADD FOREIGN KEY (b) REFERENCES {lab}.b (id)",
    "INSERT INTO {lab}.a VALUES (1, NULL), (2, NULL)",
    "INSERT INTO {lab}.b VALUES (1, 1), (2, 2)",
    "UPDATE {lab}.a SET b = 3 - id",
)
TIED = (
    "CREATE TABLE {lab}.m (id int PRIMARY KEY)",
    "CREATE TABLE {lab}.m__a (id int PRIMARY KEY, FOREIGN KEY (id) REFERENCES {lab}.m (id))",
    "CREATE TABLE {lab}.c (id int PRIMARY KEY, FOREIGN KEY (id) REFERENCES {lab}.m__a (id))",
    "CREATE TABLE {lab}.m__b (id int PRIMARY KEY, c int NOT NULL, FOREIGN KEY (id) REFERENCES {lab}.m (id),"
    " FOREIGN KEY (c) REFERENCES {lab}.c (id))",
    "CREATE TABLE {lab}.under (id int PRIMARY KEY, FOREIGN KEY (id) REFERENCES {lab}.c (id))",
    "INSERT INTO {lab}.m VALUES (1)",
    "INSERT INTO {lab}.m__a VALUES (1)",
    "INSERT INTO {lab}.c VALUES (1)",
    "INSERT INTO {lab}.m__b VALUES (1, 1)",
    "INSERT INTO {lab}.under VALUES (1)",
)


def test_a_circle_that_a_nullable_key_cuts_is_pulled_and_rests(lab: Lab, djlink: Command) -> None:
    lab.fresh()
    run_all(lab.rig, *CIRCLES)
    document = lab.document("*")
    code, out = djlink(document, "apply", "--auto-approve")
    assert code == 0, out
    assert "becomes plain columns, because the source's foreign keys form a cycle" in out
    local_schema = lab.rig.local_schema("lab_a", "lab")
    for table in "ab":
        assert ask(lab.rig.servers.local, f"SELECT COUNT(*) FROM `{local_schema}`.{table}") == [(2,)]
    for command in ("plan", "status"):
        assert djlink(document, command)[0] == 0
    run_all(lab.rig, "INSERT INTO {lab}.a VALUES (3, 2)", "INSERT INTO {lab}.b VALUES (3, 3)")
    assert lab.rig.apply(document)[1].succeeded
    plan = lab.rig.plan(document)
    assert (plan.has_changes, plan.has_errors) == (False, False)
    assert [link.drift for link in plan.links] == [()] * len(plan.links)


def test_a_circle_of_which_one_table_was_linked_alone_is_closed_without_what_that_one_lacks(
    lab: Lab,
) -> None:
    lab.fresh()
    run_all(lab.rig, *CIRCLES)
    assert lab.rig.apply(lab.document(["B"]))[1].succeeded
    document = lab.document({"A": {"where": "id = 1"}, "B": {}})
    assert lab.rig.apply(document)[1].succeeded
    plan = lab.rig.plan(document)
    assert (plan.has_changes, plan.has_errors) == (False, False)
    local_schema = lab.rig.local_schema("lab_a", "lab")
    assert ask(lab.rig.servers.local, f"SELECT id, b FROM `{local_schema}`.a") == [(1, 2)]
    assert len(ask(lab.rig.servers.local, f"SELECT id, a FROM `{local_schema}`.b")) == 2


def test_a_circle_that_nothing_cuts_blocks_its_links_and_the_others_go_on(lab: Lab, djlink: Command) -> None:
    lab.fresh()
    run_all(lab.rig, *TIED)
    document = lab.document("*")
    code, out = djlink(document, "apply", "--auto-approve")
    assert code == 1
    assert "form a cycle without a nullable key" in out
    assert lab.local() == {"mouse": 2, "scan": 2, "field": 2, "alone": 1}
    code, out = djlink(document, "status")
    assert (code, "form a cycle without a nullable key" in out) == (1, True)
    plan = lab.rig.plan(document, excludes=[lab.address("lab", "C")])
    assert plan.has_errors
    assert not link_of(plan, lab.address("other", "Field")).blocked
    document["sources"]["lab_a"]["schemas"][lab.rig.names("lab")]["exclude"] = ["C"]
    plan, report = lab.rig.apply(document)
    assert report.succeeded
    assert not plan.has_errors
    plan = lab.rig.plan(document)
    assert (plan.has_changes, plan.has_errors) == (False, False)
    local_schema = lab.rig.local_schema("lab_a", "lab")
    assert ask(lab.rig.servers.local, f"SELECT id, c FROM `{local_schema}`.m__b") == [(1, 1)]


def requested(lab: Lab) -> dict[str, Any]:
    """Mice that are pulled, of which one is requested; a manifest whose condition on mice is wrong."""
    lab.fresh()
    lab.rig.apply(lab.document({"Mouse": MUS}))
    request = lab.rig.outbound_table("lab", "mouse_deletion_requested")
    lab.rig.run("lab_a", f"INSERT INTO {request} (id) VALUES (1)")
    return lab.document({"Mouse": {"where": {"spezies": "mus"}}})


def test_requests_of_a_link_of_which_no_row_comes_are_read_and_approved(lab: Lab, djlink: Command) -> None:
    document, mouse = requested(lab), lab.address("lab", "Mouse")
    code, out = djlink(document, "requests")
    assert code == 1
    assert "uses the column `spezies`" not in out
    assert "Deletion of 1 row requested." in out
    into = str(lab.rig.folder / "approvals.yaml")
    code, out = djlink(document, "approve", mouse, "--into", into)
    assert code == 0, out
    assert f"Wrote the approval of 1 deletion of {mouse}" in out
    code, out = djlink(document, "requests", "--json", mouse)
    assert '"unknown": []' in out


def test_requests_of_a_link_whose_tables_are_anothers_are_called_unknown_and_never_none(
    lab: Lab, djlink: Command
) -> None:
    requested(lab)
    document, mouse = lab.document({"Mouse": MUS}), lab.address("lab", "Mouse")
    lab.rig.run("lab_a", "UPDATE {outbound}.`~djlink` SET manifest = 'other' WHERE source_table = 'mouse'")
    for addresses in ((), (mouse,)):
        code, out = djlink(document, "requests", *addresses)
        assert code == 1
        assert "No deletion is requested for these links" not in out
        assert f"{mouse} requests could not be read: " in out
        assert ("for the links whose requests could be read." in out) == (not addresses)
    code, out = djlink(document, "approve", mouse)
    assert code == 1
    assert "belongs to the manifest `other`" in out
    code, out = djlink(document, "requests", "--json", mouse)
    assert code == 1
    assert f'"address": "{mouse}", "reason"' in out
    own = lab.rig.names("atlas")
    lab.rig.run("lab_a", f"UPDATE {{outbound}}.`~djlink` SET manifest = '{own}' WHERE source_table = 'mouse'")
    assert "Deletion of 1 row requested." in djlink(document, "requests")[1]
