"""A → B → C: a local table of djlink at B is the source of a link at C; requests at A reach C through B."""

from __future__ import annotations

import re
import shlex
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from djlink_manifest.reconcile.plan.plan import Plan
from djlink_manifest.sandbox import SandboxServer, create_link_user, create_local_user, create_owner
from djlink_manifest.sandbox.servers.accounts import quoted_name
from tests.support.command import called
from tests.support.definitions import ALL, applied_cleanly
from tests.support.rig import PASSWORD, Rig, link_of, quiet
from tests.support.servers import Pair, Servers
from tests.support.sql import ask, run_all

# A and C run MySQL, B MariaDB 11.8
pytestmark = pytest.mark.parametrize("servers", [Pair("mysql", "mariadb-11.8")], indirect=True, ids=str)

DOC = (Path(__file__).parents[2] / "docs" / "chains.md").read_text(encoding="utf-8")
OF_THE_PAGE = (
    "CREATE DATABASE {session}",
    "CREATE TABLE {session}.session (subject varchar(9) PRIMARY KEY)",
    "CREATE TABLE {session}.session__trial (subject varchar(9), n int, PRIMARY KEY (subject, n),"
    " FOREIGN KEY (subject) REFERENCES {session}.session (subject))",
    "CREATE TABLE {session}.scan (k int PRIMARY KEY, subject varchar(9),"
    " FOREIGN KEY (subject) REFERENCES {session}.session (subject))",
    "INSERT INTO {session}.session VALUES ('A001'), ('A002'), ('A003')",
    "INSERT INTO {session}.session__trial VALUES ('A001', 1), ('A002', 1)",
    "INSERT INTO {session}.scan VALUES (10, 'A001'), (11, 'A001'), (20, 'A002')",
)
TABLES = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.session (s int PRIMARY KEY, who varchar(20) COLLATE utf8mb4_0900_ai_ci)",
    "CREATE TABLE {lab}.session__trial (s int, n int, v double, PRIMARY KEY (s, n),"
    " FOREIGN KEY (s) REFERENCES {lab}.session (s))",
    "CREATE TABLE {lab}.scan (k int PRIMARY KEY, s int, FOREIGN KEY (s) REFERENCES {lab}.session (s))",
    "INSERT INTO {lab}.session VALUES (1, 'ann'), (2, 'bob'), (3, NULL)",
    "INSERT INTO {lab}.session__trial VALUES (1, 1, 0.1), (1, 2, 0.2), (2, 1, 1e9)",
    "INSERT INTO {lab}.scan VALUES (10, 1), (11, 1), (20, 2)",
)


class Chain:
    """Three servers: the source A, the lab B that links it, and the lab C that links B's local tables.

    `first` are the servers and the manifest of A → B, `second` those of B → C.
    """

    def __init__(self, rig: Rig, *, same_server: bool = False) -> None:
        self.first = rig
        a, b, c = rig.servers.lab_a, rig.servers.local, rig.servers.lab_b
        c = b if same_server else c
        (rig.folder / "second").mkdir()
        self.second = Rig(Servers(b, b, c), rig.names, rig.folder / "second")
        self.a, self.b, self.c = a, b, c
        run_all(rig, *TABLES)
        self.source, self.at_b = rig.names("lab"), rig.local_schema("lab_a", "lab")
        self.b_schema = self.at_b.removeprefix(rig.names(""))
        self.at_c = self.second.local_schema("lab_a", self.b_schema)
        create_local_user(b, rig.names("lab"), PASSWORD, [rig.names.pattern])
        rig.environ.update(LINK_PASS=PASSWORD, DJ_PASS=PASSWORD)
        for server, schema in ((a, self.source), (b, self.at_b)):
            owner_schema = rig.names("outbound_owner")
            rights = ([schema], rig.outbound)
            create_link_user(server, rig.names("link"), PASSWORD, *rights, owner_schema=owner_schema)
            create_owner(server, rig.names("owner"), PASSWORD, [schema], owner_schema=owner_schema)
        if not same_server:
            create_local_user(c, rig.names("lab"), PASSWORD, [rig.names.pattern])
        self.second.environ.update(rig.environ)

    def to_b(self, **more: Any) -> dict[str, Any]:
        return self.first.document({"lab_a": {"lab": ALL}}, **more)

    def to_c(self, **more: Any) -> dict[str, Any]:
        document = self.second.document({"lab_a": {self.b_schema: ALL}}, **more)
        document["name"] = self.first.names("map")
        document["defaults"]["schema_name"] = self.first.names("our_{source}_") + "{schema}"
        return document

    def approving(self, **options: Any) -> dict[str, Any]:
        """What manifests say so that requests need no person, and more options."""
        defaults = self.to_b()["defaults"]
        return {"defaults": {**defaults, "deletions": "auto", "max_deletions": "100%", **options}}

    def pulled(self) -> None:
        applied_cleanly(self.first, self.to_b())
        applied_cleanly(self.second, self.to_c())

    def owner(self, server: SandboxServer, *words: str) -> tuple[int, str, str]:
        """A command of the owner at a server."""
        at = ("--host", server.host, "--port", str(server.port), "--user", self.first.names("owner"))
        environ = {"DJ_PASS": PASSWORD, "DJ_HOST": "", "DJ_USER": ""}
        ended = called("source", *words, *at, "--no-tls", environ=environ)
        return ended.returncode, ended.stdout, ended.stderr

    def keys(self, server: SandboxServer, schema: str, table: str = "session", key: str = "s") -> set[int]:
        return {row[0] for row in ask(server, f"SELECT {key} FROM {quoted_name(schema)}.{table}")}

    def of_b(self, plan: Plan, name: str = "Session") -> Any:
        return link_of(plan, self.first.address("lab_a", "lab", name))


@pytest.fixture
def chain(rig: Rig) -> Chain:
    return Chain(rig)


def test_a_lab_links_all_of_another_labs_local_schema_and_gets_what_the_source_has(chain: Chain) -> None:
    chain.pulled()
    found = ask(
        chain.c, "SELECT table_name FROM information_schema.tables WHERE table_schema = %s", (chain.at_c,)
    )
    assert {name for (name,) in found} == {
        *("session", "session__trial", "scan", "session__deletion_requested", "scan__deletion_requested"),
        *("~djlink", "~lineage"),
    }
    for table in ("session", "session__trial", "scan"):
        [rows, at_source] = [
            ask(server, f"SELECT * FROM {quoted_name(schema)}.{table} ORDER BY 1, 2")
            for server, schema in ((chain.c, chain.at_c), (chain.a, chain.source))
        ]
        assert rows == at_source


def test_what_the_page_says_to_type_takes_a_request_through_both_labs_and_back(rig: Rig) -> None:
    page = Page(rig)
    a, b, c = rig.servers.lab_a, rig.servers.local, rig.servers.lab_b
    told = [page.typed(*each) for each in page.commands()]
    assert len(told) == 8
    # the plan of the first apply after the request: who holds what, and the page's next line
    held = told[3]
    who = f"map (map@theirlab.example) of {rig.names('ours_session')}"
    assert f"another lab links the local table and holds them: {who}.session (1 row)" in held
    assert f"{who}.scan (2 rows)" in held
    printed = re.findall(r"`(djlink source request [^`]*)`", held)
    assert page.commands()[4][1].removesuffix(" --yes") in printed
    for server, schema in ((a, "session"), (b, "ours_session"), (c, "theirs_session")):
        rows = ask(server, f"SELECT subject FROM {quoted_name(rig.names(schema))}.session ORDER BY 1")
        assert rows == [("A002",), ("A003",)]


class Page:
    """The manifests and commands of docs/chains.md on this test's servers and schemas."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        a, b, c = rig.servers.lab_a, rig.servers.local, rig.servers.lab_b
        for text in OF_THE_PAGE:
            rig.run("lab_a", text)
        self.servers = {"Princeton's owner": a, "our lab": b, "their lab": c}
        hosts = {"db.princeton.example": a, "db.ourlab.example": b, "db.theirlab.example": c}
        for name, text in zip(
            ("atlas", "map"), re.findall(r"^```yaml\n(.*?)^```$", DOC, re.M | re.S), strict=True
        ):
            document = yaml.safe_load(self.named(text))
            for of in (document["local"], *document["sources"].values()):
                server = hosts[of["host"]]
                of.update(host=server.host, port=server.port, tls=False)
            rig.write(document, f"{name}.yaml")
        for server, schema, outbound in ((a, "session", "ourlab"), (b, "ours_session", "theirlab")):
            places = [rig.names(schema)], rig.names(f"{outbound}_outbound")
            owner_schema = rig.names(f"{outbound}_outbound_owner")
            create_link_user(server, rig.names("link"), PASSWORD, *places, owner_schema=owner_schema)
            # as the page advises: an owner's rights on that owner schema, and none on the outbound tables
            schemas = [rig.names(schema)]
            create_owner(server, rig.names("lab"), PASSWORD, schemas, owner_schema=owner_schema)
        create_local_user(c, rig.names("lab"), PASSWORD, [rig.names.pattern])

    def named(self, text: str) -> str:
        """The page's text with the names of this test."""
        text = re.sub(
            r"\b(ours_session|theirs_session|ourlab_outbound|theirlab_outbound)\b", self._prefixed, text
        )
        return re.sub(r"\bsession(?=\.Session|: \{)", self._prefixed, text)

    def commands(self) -> list[tuple[str, str]]:
        """Who types what, in order."""
        found, who = list[tuple[str, str]](), ""
        for block in re.findall(r"^```sh\n(.*?)^```$", DOC, re.M | re.S):
            for line in block.splitlines():
                if line.startswith("# "):
                    who = line.removeprefix("# ")
                else:
                    found.append((who, self.named(line)))
        return found

    def typed(self, who: str, command: str) -> str:
        """What a command prints."""
        server, user = self.servers[who], self.rig.names("lab")
        link = {f"{lab}_USER": self.rig.names("link") for lab in ("PRINCETON", "OURLAB")}
        words = shlex.split(command)[1:]
        if words[0] == "source":
            words += ["--port", str(server.port), "--no-tls"]
        secret = {"DJ_PASS": PASSWORD, "PRINCETON_PASS": PASSWORD, "OURLAB_PASS": PASSWORD}
        environ = {**link, **secret, "DJ_HOST": server.host, "DJ_USER": user}
        ended = called(*words, environ=environ, folder=self.rig.folder)
        assert ended.returncode == 0, (command, ended.stdout, ended.stderr)
        return ended.stdout + ended.stderr

    def _prefixed(self, match: re.Match[str]) -> str:
        return self.rig.names(match[0])


def at_rest(chain: Chain, approve: Mapping[str, Any]) -> None:
    """The owner of A deletes session 1, and nothing is left to do anywhere."""
    code, _, err = chain.owner(chain.a, "delete", "Session", "--yes")
    assert code == 0, err
    assert chain.keys(chain.a, chain.source) == {2, 3}
    for rig, document in ((chain.first, chain.to_b(**approve)), (chain.second, chain.to_c(**approve))):
        rest = rig.plan(document)
        assert not rest.has_changes
        assert not rest.has_errors


@pytest.fixture
def on_one_server(rig: Rig) -> Chain:
    """B and C on one server."""
    return Chain(rig, same_server=True)


def test_two_labs_of_a_chain_may_share_a_server_and_the_local_account_may_not_see_the_others_tables(
    on_one_server: Chain,
) -> None:
    chain, approve = on_one_server, on_one_server.approving()
    chain.pulled()
    lab = chain.first.names("lab")
    ask(chain.b, f"REVOKE ALL, GRANT OPTION FROM {lab}")
    for schema in (chain.at_b, chain.at_c):
        ask(chain.b, f"GRANT ALL ON {quoted_name(schema)}.* TO {lab}")
    assert chain.owner(chain.a, "request", "Session", "s=1", "--reason", "x", "--yes")[0] == 0
    _, report = chain.first.apply(chain.to_b(**approve))
    problems = [str(o.problem) for o in report.outcomes if o.status == "failed"]
    assert problems
    assert all("rows of a table that the local account cannot see refer to them" in p for p in problems)
    assert chain.keys(chain.b, chain.at_b) == {1, 2, 3}
    ask(chain.b, f"GRANT SELECT ON {quoted_name(chain.first.outbound)}.* TO {lab}")
    plan = chain.first.plan(chain.to_b(**approve))
    [held] = chain.of_b(plan).blocked
    assert f"and holds them: {chain.first.outbound}." in held.reason
    words = [*shlex.split(held.hint.split("`")[1])[2:], "--yes"]
    assert chain.owner(chain.b, *words)[0] == 0
    assert chain.owner(chain.b, *words)[2].endswith("Everything was requested earlier.\n")
    for rig, document in ((chain.second, chain.to_c(**approve)), (chain.first, chain.to_b(**approve))):
        assert rig.apply(document)[1].succeeded
    at_rest(chain, approve)


def test_what_changes_at_the_source_goes_through_while_the_next_lab_holds_the_rows(chain: Chain) -> None:
    chain.pulled()
    run_all(
        chain.first,
        "UPDATE {lab}.session SET who = 'anne' WHERE s = 1",
        "DELETE FROM {lab}.session__trial WHERE n = 2",
        "UPDATE {lab}.session__trial SET v = 7 WHERE s = 2",
        "INSERT INTO {lab}.session__trial VALUES (3, 1, 3)",
        "ALTER TABLE {lab}.scan ADD depth int NOT NULL DEFAULT 4",
    )
    mend = chain.approving(changed="mend")
    for rig, document in ((chain.first, chain.to_b(**mend)), (chain.second, chain.to_c(**mend))):
        with rig.job(document) as job:
            assert job.apply(job.plan(verify=True), quiet, threading.Event()).succeeded
    for table in ("session", "session__trial", "scan"):
        [rows, at_source] = [
            ask(server, f"SELECT * FROM {quoted_name(schema)}.{table} ORDER BY 1, 2")
            for server, schema in ((chain.c, chain.at_c), (chain.a, chain.source))
        ]
        assert rows == at_source
    # B cannot drop what C links, and says whose it is; afterwards it can
    gone = {chain.first.address("lab_a", "lab", "Scan"): {"table": "drop"}}
    removed = chain.first.document({"lab_a": {"lab": {"tables": ["Session"]}}}, removed=gone)
    plan, _ = chain.first.apply(removed)
    [blocked] = plan.removals[0].blocked
    assert "another lab links" in blocked.reason
    assert f"{chain.first.outbound}." in blocked.reason
    assert chain.owner(chain.b, "held")[1].count(chain.first.names("map")) == 2, "as the hint says"
    left = {chain.second.address("lab_a", chain.b_schema, "Scan"): {"table": "keep"}}
    out = chain.second.document({"lab_a": {chain.b_schema: {"tables": ["Session"]}}}, removed=left)
    assert chain.second.apply({**out, "name": chain.first.names("map")})[1].succeeded
    plan, report = chain.first.apply(removed)
    assert not plan.removals[0].blocked
    assert report.succeeded
    assert not ask(chain.b, f"SHOW TABLES IN {quoted_name(chain.at_b)} LIKE 'scan%%'")


def test_a_part_of_the_labs_own_that_is_called_like_djlinks_is_not_taken_for_it(chain: Chain) -> None:
    run_all(
        chain.first,
        "CREATE TABLE {lab}.session__deletion_requested (s int PRIMARY KEY, requested_at timestamp NULL,"
        " requested_by varchar(288), reason varchar(1000), FOREIGN KEY (s) REFERENCES {lab}.session (s)"
        " ON DELETE CASCADE)",
    )
    plan = chain.first.plan(chain.to_b())
    [blocked] = chain.of_b(plan).blocked
    assert "its part `session__deletion_requested` has a name that djlink reserves" in blocked.reason
