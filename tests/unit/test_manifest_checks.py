"""What is refused in a manifest, each with the place (marked in the text) and the next step."""

from __future__ import annotations

from pathlib import Path

import networkx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from djlink_manifest.manifest.checks.addresses import circles
from djlink_manifest.manifest.load import read
from tests.unit.manifest_cases import (
    HEAD,
    SOURCE,
    loaded,
    marked,
    one,
    places,
    problems,
    rules,
    tables,
    told,
    written,
)

TABLES = SOURCE + "      s: {tables: [T]}\n"
LOCAL = "local: {host: db.lab.example}\n"


def head(local: str = LOCAL, name: str = "name: atlas\n", version: str = "manifest: 1\n") -> str:
    return f"{version}{name}contact: data@lab.example\n{local}{TABLES}"


def top(lines: str) -> str:
    return HEAD + TABLES + lines


def source(options: str, schemas: str = "{s: {tables: [T]}}") -> str:
    return f"{HEAD}sources:\n  lab_a: {{host: h, {options}, schemas: {schemas}}}\n"


APPROVAL = {
    "link": "lab_a.s.T",
    "keys": '"sha256:0123456789abcdef"',
    "count": "1",
    "until": "2026-11-20T09:00:00Z",
    "by": "a.lee",
    "date": "2026-11-20",
}


def approval(**changed: str) -> str:
    fields = {**APPROVAL, **changed}
    return top("approvals:\n- {" + ", ".join(f"{k}: {v}" for k, v in fields.items() if v) + "}\n")


SHAPE = [
    ("▸" + head(version=""), "`manifest` is missing", "write `manifest: 1`"),
    (head(version="manifest: ▸2\n"), "`manifest` must be `1`", "this version of djlink reads version 1"),
    (head(version='manifest: ▸"1"\n'), "`manifest` must be `1`", None),
    (head(version="manifest: ▸1.0\n"), "`manifest` must be `1`", None),
    (head(version="manifest: ▸true\n"), "`manifest` must be `1`", None),
    ("▸" + head(name=""), "`name` is missing", "write `name: my-lab`"),
    (head(name="name: ▸a b\n"), "`name` must be letters, digits", None),
    (head(name=f"name: ▸{'x' * 65}\n"), "`name` must be letters, digits", None),
    (head(name="name: ▸17\n"), "`name` must be text", "quote it"),
    ("▸" + head(local=""), "`local` is missing", "local: {host: ...}"),
    (head(local="▸local: {}\n"), "`local` has no `host`", "write `host: db.lab.example`"),
    (head(local="local: ▸here\n"), "`local` must be a mapping", None),
    (head(local="▸local:\n"), "`local` has no value", "name the local server"),
    (head(local="local: {host: h, ▸prot: 1}\n"), "unknown key `prot`", "did you mean `port`?"),
    (head(local="local: {host: h, ▸HOST: x}\n"), "unknown key `HOST`", "did you mean `host`?"),
    (
        head(local="local: {host: h, ▸outbound: x}\n"),
        "unknown key `outbound`",
        "`outbound` belongs in a source",
    ),
    (head(local="local: {host: h, port: ▸0}\n"), "`port` must be a port number", None),
    (head(local="local: {host: h, port: ▸33.5}\n"), "`port` must be a port number", None),
    (head(local="local: {host: h, port: ▸mysql}\n"), "`port` must be a port number", None),
    (head(local="local: {host: h, port: ▸true}\n"), "`port` must be a port number", None),
    (head(local="local: {host: ▸1}\n"), "`host` must be text", "quote it"),
    (head(local="local: {host: h, tls: ▸verify}\n"), "`tls` must be true, false, or a mapping", None),
    (head(local="local: {host: h, tls: {▸ac: x}}\n"), "unknown key `ac`", "valid keys: ca, cert, key"),
    (head(local="local: {host: h, tls: {ca: ▸1}}\n"), "`ca` must be text", None),
    (top("▸wherever: 1\n"), "unknown key `wherever`", "valid keys: approvals, contact,"),
    (top("▸files: [a]\n"), "unknown key `files`", None),
    (top("▸digest: a\n"), "unknown key `digest`", None),
    (top("▸origin: a\n"), "unknown key `origin`", None),
    (head(local="local: {host: h, ▸origin: x}\n"), "unknown key `origin`", None),
    (head(local="local: {host: h, ▸name: x}\n"), "unknown key `name`", None),
    (tables("T:", options="        ▸rules: {}\n"), "unknown key `rules`", None),
    (top("▸tables: []\n"), "unknown key `tables`", "`tables` belongs in a schema"),
    (top("▸contact_person: a\n"), "unknown key `contact_person`", None),
    (top("defaults: ▸all\n"), "`defaults` must be a mapping", None),
    (top("defaults: {▸where: a}\n"), "unknown key `where`", "`where` belongs in a table"),
    (top("defaults: {▸outbound_table: a}\n"), "unknown key `outbound_table`", "belongs in a table"),
    (top("defaults: {▸depends_on: []}\n"), "unknown key `depends_on`", "belongs in a table"),
    (top("defaults: {▸pulls: all}\n"), "unknown key `pulls`", "did you mean `pull`?"),
    (top("defaults: {pull: ▸alll}\n"), "`pull` must be `all`, `needed` or `none`", "did you mean `all`?"),
    (top("defaults: {pull: ▸true}\n"), "`pull` must be `all`, `needed` or `none`", None),
    (top("defaults: {▸pull: }\n"), "`pull` has no value", "remove the line"),
    (top("defaults: {deletions: ▸manual}\n"), "`deletions` must be `review` or `auto`", None),
    (
        top("defaults: {unwanted: ▸relase}\n"),
        "`unwanted` must be `keep` or `release`",
        "did you mean `release`?",
    ),
    (top("defaults: {changed: ▸Mend}\n"), "`changed` must be `report` or `mend`", "did you mean `mend`?"),
    *(
        (top(f"defaults: {{max_deletions: ▸{bad}}}\n"), "`max_deletions` must be a number of entities", None)
        for bad in ["0", "-1", "2.5", "0%", "101%", "five", "true", "'5'", "5 percent"]
    ),
    (top("defaults: {▸max_deletions: [1]}\n"), "`max_deletions` must be a number of entities", None),
    (top("defaults: {▸stores: [raw]}\n"), "`stores` must be a mapping", None),
    (top("defaults: {stores: {raw: ▸1}}\n"), "`raw` must be text", "quote it"),
    (top('defaults: {▸stores: {raw: ""}}\n'), "`stores` contains an empty name", None),
    (top("defaults: {schema_name: ▸1}\n"), "`schema_name` must be text", None),
    (f"{HEAD}▸sources: [a]\n", "`sources` must be a mapping", None),
    (f"{HEAD}sources: {{▸lab_a: }}\n", "`lab_a` has no value", "write its `host`"),
    (
        f"{HEAD}sources:\n  ▸lab_a: {{schemas: {{s: {{tables: [T]}}}}}}\n",
        "`sources.lab_a` has no `host`",
        None,
    ),
    (source("outbound: ▸1"), "`outbound` must be text", None),
    (source("▸where: x"), "unknown key `where`", "belongs in a table"),
    (source("port: 1", "{▸s: }"), "`s` has no value", 'write `{tables: "*"}`'),
    (source("port: 1", "{▸s: {}}"), "`sources.lab_a.schemas.s` has no `tables`", 'write `tables: "*"`'),
    (source("port: 1", "{▸s: [T]}"), "`s` must be a mapping", None),
    (source("port: 1", "{s: {tables: ▸1}}"), "`tables` must be a mapping, a list", None),
    (source("port: 1", "{s: {▸tables: }}"), "`tables` has no value", 'write `tables: "*"`'),
    (source("port: 1", "{s: {tables: [A, ▸1]}}"), "an item of `tables` must be text", "quote it"),
    (source("port: 1", "{s: {tables: [A, ▸{B: 1}]}}"), "an item of `tables` must be text", None),
    (source("port: 1", "{s: {tables: [A], exclude: ▸x}}"), "`exclude` must be a list", None),
    (source("port: 1", "{s: {tables: [A], ▸where: x}}"), "unknown key `where`", "`where` belongs in a table"),
    (tables("T: ▸all"), "`T` must be a mapping", None),
    (one("▸wher: x"), "unknown key `wher`", "did you mean `where`?"),
    (one("▸tables: x"), "unknown key `tables`", "belongs in a schema"),
    (one("depends_on: ▸lab_a.s.U"), "`depends_on` must be a list", "[one, two]"),
    (one("outbound_table: ▸Big"), "`outbound_table` must be lower-case letters", None),
    (one(f"outbound_table: ▸{'x' * 41}"), "`outbound_table` must be lower-case letters", None),
    (one("outbound_table: ▸~x"), "`outbound_table` must be lower-case letters", None),
    (top("removed: {▸lab_a.s.Old: }\n"), "`lab_a.s.Old` has no value", "write `{table: keep}`"),
    (top("removed: {▸lab_a.s.Old: {}}\n"), "`removed.lab_a.s.Old` has no `table`", None),
    (
        top("removed: {lab_a.s.Old: {table: ▸kep}}\n"),
        "`table` must be `keep` or `drop`",
        "did you mean `keep`?",
    ),
    (top("▸approvals: {a: 1}\n"), "`approvals` must be a list", None),
    (approval(link="▸1"), "`link` must be text", None),
    (approval(keys="▸abc"), "`keys` must be a digest", None),
    (approval(count="▸0"), "`count`: input should be greater than or equal to 1", None),
    (approval(count="▸'1'"), "`count` must be a whole number", None),
    (approval(until="▸2026-11-20"), "`until` must be a UTC time", None),
    (approval(orphans="true", until="▸2026-11-20T09:00:00Z"), "either `until` or `orphans: true`", None),
    (approval(until="▸2026-13-20T09:00:00Z"), "`until` must be a UTC time", None),
    (approval(date="▸2026-02-30"), "`date` must be a date", None),
    (approval(by="▸''"), "`by`: ", None),
    (approval(by="a, ▸reason: x"), "unknown key `reason`", None),
    (approval(by="a, with: {lab_a.s.U: ▸-1}"), "`lab_a.s.U`: ", None),
    (approval(by="").replace("- {", "- ▸{"), "`approvals[0]` has no `by`", None),
]

SERVERS = [
    (
        head(local="local: {host: h, ▸password: hunter2}\n"),
        "the manifest contains a password",
        "`password: ${env:DJ_PASS}`",
    ),
    (source("▸password: hunter2"), "the manifest contains a password", "`password: ${env:LINK_PASS}`"),
    (source('▸password: "x${env:A}"'), "the manifest contains a password", None),
    (source('▸password: ""'), "`password` is empty", None),
    (source('user: ▸"${env:}"'), "a reference is misspelled", "${env:NAME}"),
    (source('user: ▸"${ENV:A}"'), "a reference is misspelled", None),
    (source('user: ▸"${A}"'), "a reference is misspelled", None),
    (source('user: ▸"${env:A"'), "a reference is misspelled", None),
    (source('user: ▸"${env:A-B}"'), "a reference is misspelled", None),
    (source('▸password: "${vault:A}"'), "a reference is misspelled", None),
    (source('▸user: " "'), "`user` is empty", None),
    (head(local='local: {▸host: ""}\n'), "`host` is empty", None),
    (head(local="local: {host: ▸db:3307}\n"), "`host` contains a port", "write `host: db` and `port: 3307`"),
    (head(local="local: {▸host: 'mysql://db'}\n"), "`host` is a URL or contains a login", None),
    (head(local="local: {host: ▸a b}\n"), "`host` is not a host name or address", None),
    (head(local="local: {host: h, ▸tls: {}}\n"), "`tls` does not name a file", "tls: true"),
    (head(local="local: {host: h, tls: {▸cert: a}}\n"), "`tls` has `cert` without `key`", None),
    (head(local="local: {host: h, tls: {ca: c, ▸key: a}}\n"), "`tls` has `key` without `cert`", None),
    (head(name='name: ▸"${env:X}"\n'), "`name` must be letters", None),
    (
        head().replace("contact: data@lab.example", 'contact: ▸"${env:X}"'),
        "references are not resolved here",
        None,
    ),
    (
        one("where: ▸\"a = '${env:X}'\""),
        "references are not resolved here",
        "references work in host",
    ),
    (one('where: {a: [▸"${file:x}"]}'), "references are not resolved here", None),
    (one('where: {▸"${file:x}": 1}'), "a reference cannot be a key", None),
    (top('defaults: {schema_name: ▸"${env:X}"}\n'), "references are not resolved here", None),
    (
        f"{HEAD}sources:\n  ▸local: {{host: h, schemas: {{s: {{tables: [T]}}}}}}\n",
        "the source's name is `local`",
        None,
    ),
    (
        f"{HEAD}sources:\n  ▸a.b: {{host: h, schemas: {{s: {{tables: [T]}}}}}}\n",
        "the source's name must consist of letters",
        None,
    ),
    (source("outbound: ▸a b"), "the outbound schema's name contains a space", None),
    (source(f"outbound: ▸{'x' * 65}"), "the outbound schema's name is longer than 64", None),
    (source("outbound: ▸s"), "the outbound schema `s` is also a linked schema", "a separate schema"),
]

TABLE_KEYS = [
    (tables("▸~log:"), "the table's name starts with `~`", None),
    (tables('▸"~*":'), "the table's name starts with `~`", None),
    (
        tables("▸Session.Trial:"),
        "the table's name is a part; parts are linked with their master, `Session`",
        None,
    ),
    (
        tables("▸__session__trial:"),
        "the table's name is a part; parts are linked with their master, `__session`",
        None,
    ),
    (tables("▸a/b:"), "the table's name contains an invalid character", None),
    (tables('▸"a b":'), "the table's name contains a space", None),
    (tables('▸"":'), "the table's name is empty", None),
    (tables(f"▸{'x' * 65}:"), "the table's name is longer than 64", None),
    (
        tables('▸"lab.*":'),
        "the table's name contains a character that is invalid in a table name",
        None,
    ),
    (tables("Session:\n▸session:"), "`session` and `Session` are one table", ":11; keep one"),
    (tables("__spike_sorting:\n▸SpikeSorting:"), "`SpikeSorting` and `__spike_sorting` are one table", None),
    (source("port: 1", "{s: {tables: [A, ▸A]}}"), "`A` is listed twice", None),
    (tables('"*":\n▸"**":'), "`**` and `*` match the same tables and are equally specific", ":11; keep one"),
    (tables('"ab*":\n▸"a*b*":'), "`a*b*` and `ab*` match the same tables", None),
    (tables('"?*":\n▸"*?":'), "`*?` and `?*` match the same tables", None),
    (tables('"*": {▸outbound_table: x}'), "`outbound_table` on a glob", "its own key"),
    (
        tables("A:\nB: {▸where: x, pull: needed}"),
        "`where` does not apply to a table with `pull: needed`",
        "write `pull: all` here",
    ),
    (
        tables("A: {pull: all}\nB: {▸where: x}", options="        pull: needed\n"),
        "`where` does not apply to a table with `pull: needed`",
        "m.yaml:10)",
    ),
    (one('schema_name: ▸"{lab}_x"'), "`schema_name` has an unknown placeholder `{lab}`", None),
    (
        one('schema_name: ▸"{schem}"'),
        "`schema_name` has an unknown placeholder `{schem}`",
        "did you mean `schema`?",
    ),
    (one('schema_name: ▸"x{schema"'), "`schema_name` has an unmatched brace", None),
    (one('schema_name: ▸"a b"'), "the local schema of `lab_a.s` contains a space", "set `schema_name`"),
    (one('schema_name: ▸""'), "the local schema of `lab_a.s` is empty", None),
    (one(f'schema_name: ▸"{"x" * 60}{{source}}"'), "the local schema of `lab_a.s` is longer than 64", None),
    (source("port: 1", '{▸"a.b": {tables: [T]}}'), "the schema's name contains a dot", None),
    (source("port: 1", '{▸"lab_*": {tables: [T]}}'), "a schema cannot be a glob", "below `tables`"),
    (source("port: 1", "{s: {▸tables: []}}"), "`tables` is empty", '"*" for all'),
    (source("port: 1", "{s: {▸tables: {}}}"), "`tables` is empty", None),
    (
        source("port: 1", '{s: {tables: ["*", A], exclude: [▸A]}}'),
        "`A` is in both `tables` and `exclude`",
        None,
    ),
    (source("port: 1", '{s: {tables: ["*"], exclude: [▸""]}}'), "`exclude` contains an empty name", None),
    (f"{HEAD}▸sources: {{}}\n", "no row is wanted: the manifest names no table", "below `sources`"),
    ("▸" + HEAD, "no row is wanted: the manifest names no table", None),
    (
        top("").replace("sources", "▸sources").replace("[T]", "{T: {pull: needed}}"),
        "no row is wanted: every table is",
        None,
    ),
]

TARGETS = [
    (
        tables("_session:\n▸__session:"),
        "`lab_a.s.__session` and `lab_a.s._session` have the same local table, in `s`",
        "another `schema_name`",
    ),
    (
        f"{HEAD}sources:\n  a: {{host: g, schemas: {{s: {{tables: [T]}}}}}}\n"
        "  b: {host: h, password: '${env:B}', schemas: {s: {tables: [U, ▸T]}}}\n",
        "`b.s.T` and `a.s.T` have the same local table, in `s`",
        "m.yaml:6; give one of them another `schema_name`",
    ),
    (
        source(
            "port: 1", "{s: {schema_name: x, tables: [Session]}, t: {schema_name: x, tables: [▸__session]}}"
        ),
        "`lab_a.t.__session` and `lab_a.s.Session` have the same local table, in `x`",
        None,
    ),
    (
        tables("A: {outbound_table: x}\nB: {outbound_table: ▸x}"),
        "`lab_a.s.B` and `lab_a.s.A` have the same outbound table, `x`",
        None,
    ),
    (
        f"{HEAD}sources:\n  lab_a: {{host: DB.lab.example, schemas: {{s: {{tables: [▸T]}}}}}}\n",
        "the local schema `s` is the source schema itself",
        "set `schema_name`",
    ),
]

ADDRESSES = [
    (
        one("depends_on: [▸Subject]"),
        "`depends_on`: `Subject` is not the address of a link",
        "`source.schema.Table`",
    ),
    (one("depends_on: [▸lab_a.s.]"), "`depends_on`: `lab_a.s.` is not the address of a link", None),
    (
        one('depends_on: [▸"lab_a.s.*"]'),
        "`depends_on`: `lab_a.s.*`: `*` is not the name of a single table",
        None,
    ),
    (
        one("depends_on: [▸lab_b.s.T]"),
        "`depends_on`: `lab_b.s.T`: source `lab_b` does not exist",
        "did you mean `lab_a`?",
    ),
    (one("depends_on: [▸lab_a.ss.T]"), "source `lab_a` has no schema `ss`", None),
    (
        tables("T:\nU: {depends_on: [lab_a.s.T, ▸lab_a.s.Ta]}"),
        "`depends_on`: `lab_a.s.Ta` is not linked",
        None,
    ),
    (tables("Session:\nU: {depends_on: [▸lab_a.s.Sesion]}"), "is not linked", "did you mean `Session`?"),
    (one("depends_on: [▸lab_a.s.T]"), "a table cannot depend on itself", None),
    (one("depends_on: [▸lab_a.s.__t]"), "a table cannot depend on itself", None),
    (tables('"S*": {depends_on: [▸lab_a.s.Subject]}'), "`S*` matches `Subject` itself", "its own key"),
    (tables('"S*": {depends_on: [▸lab_a.s.Subject]}\nOther:'), "`S*` matches `Subject` itself", None),
    (
        tables("A: {▸depends_on: [lab_a.s.B]}\nB: {depends_on: [lab_a.s.c]}\nC: {depends_on: [lab_a.s.A]}"),
        "`depends_on` forms a cycle: lab_a.s.A → lab_a.s.B → lab_a.s.C → lab_a.s.A",
        "remove one",
    ),
    (top("removed: {▸Old: {table: keep}}\n"), "`removed`: `Old` is not the address of a link", None),
    (
        top("removed: {▸lab_x.s.Old: {table: keep}}\n"),
        "source `lab_x` does not exist",
        "did you mean `lab_a`?",
    ),
    (
        top("removed: {▸lab_a.s.T.Part: {table: keep}}\n"),
        "`removed`: `lab_a.s.T.Part`: `T.Part` is not the name of a single table that can be linked",
        "a part is named by its table",
    ),
    (
        top("removed: {▸lab_a.s.t__part: {table: drop}}\n"),
        "`removed`: `lab_a.s.t__part` is a part, whose local table is not dropped alone",
        "write `table: keep`",
    ),
    (
        top("removed: {▸lab_a.s.old__part: {table: keep}}\n"),
        "`removed`: `lab_a.s.old__part` is a part of `lab_a.s.Old`, which is not linked",
        "remove the entry",
    ),
    (
        top("removed: {▸lab_a.gone.t__part: {table: keep}}\n"),
        "`removed`: `lab_a.gone.t`: source `lab_a` has no schema `gone`",
        None,
    ),
    (top("removed: {▸lab_a.s.T: {table: keep}}\n"), "`removed`: `lab_a.s.T` is still linked at", "`exclude`"),
    (
        source("port: 1", '{s: {tables: "*"}}') + "removed: {▸lab_a.s.Old: {table: keep}}\n",
        "`removed`: `lab_a.s.Old` is still linked at",
        None,
    ),
    (
        source("port: 1", '{s: {tables: "Old*"}}') + "removed: {▸lab_a.s.__old_table: {table: keep}}\n",
        "`removed`: `lab_a.s.__old_table` is still linked at",
        None,
    ),
    (approval(by="a, with: {▸Spikes: 3}"), "`with`: `Spikes` is not the address of another link", None),
    (approval(by="a, with: {▸lab_a.s.T: 3}"), "`with`: `lab_a.s.T` is not the address of another link", None),
]


@pytest.mark.parametrize(("text", "summary", "help"), [*SHAPE, *SERVERS, *TABLE_KEYS, *TARGETS, *ADDRESSES])
def test_it_is_an_error_and_told_once_at_its_place(
    tmp_path: Path, text: str, summary: str, help: str | None
) -> None:
    found = told(tmp_path, text)
    assert summary in found.summary
    assert help is None or help in str(found.help)
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("▸" + head().replace("contact: data@lab.example\n", ""), "`contact` is missing"),
        (
            source("port: 1", "{s: {tables: [A], exclude: [▸B]}}"),
            "`exclude` has `B`, but `tables` has no glob",
        ),
        (source("port: 1", '{s: {tables: ["A*"], exclude: [▸"*"]}}'), "`exclude: *` excludes every table"),
        (source("port: 1", '{s: {tables: ["A*"], exclude: [▸"A*"]}}'), "`exclude: A*` excludes every table"),
        (head().replace("data@lab.example", '▸" "'), "`contact` is missing"),
        (
            top("").replace(
                "[T]}\n", "[T]}\n  ▸lab_b: {host: g, schemas: {s: {schema_name: t, tables: [T]}}}\n"
            ),
            "lab_a, lab_b share one password, `${env:LINK_PASS}`",
        ),
        (
            top("").replace(
                "[T]}\n",
                "[T]}\n  lab-b: {host: g, ▸password: '${env:DJ_PASS}',"
                " schemas: {s: {schema_name: t, tables: [T]}}}\n",
            ),
            "local, lab-b share one password, `${env:DJ_PASS}`",
        ),
        (
            top("").replace("[T]}\n", "[T]}\n  ▸lab_b: {host: h, password: '${env:B}'}\n"),
            "no table of `lab_b` is linked",
        ),
        (
            HEAD + "▸sources: {lab_a: {host: h}}\nremoved: {lab_a.s.T: {table: drop}}\n",
            "no table is linked any more",
        ),
        (approval(link="▸lab_a.s.U"), "an approval for a table that is not linked"),
        (approval(link="▸lab_x.s.U"), "an approval for a table that is not linked"),
        (approval(until="▸2026-11-25T09:00:00Z"), "`until` is later than the day of the approval"),
    ],
)
def test_it_is_a_warning_and_the_manifest_can_be_used(tmp_path: Path, text: str, summary: str) -> None:
    assert summary in told(tmp_path, text, "warning").summary


def test_the_same_approval_twice_is_a_warning(tmp_path: Path) -> None:
    text = approval()
    twice = text + text[text.index("- {") :].replace("- {", "- ▸{")
    assert "approved twice" in told(tmp_path, twice, "warning").summary


@pytest.mark.parametrize(
    "text",
    [
        source("port: 1").replace("host: h", 'host: "${file:/run/secrets/host}"'),
        f'{HEAD}sources:\n  a: {{host: g, schemas: {{s: {{tables: "S*"}}}}}}\n'
        '  b: {host: h, password: "${env:B}", schemas: {s: {tables: "S*"}}}\n',
        source('user: "${env:A}_${file:b}", host: x').replace("host: h, ", ""),
        source('password: "${env:A}${env:B}"'),
        source('outbound: "${env:A}_out"'),
        source('port: "${env:PORT}"'),
        source("port: '3307'"),
        source('tls: {ca: "${env:CERTS}/ca.pem", cert: a, key: b}'),
        source("port: 1").replace("host: h", 'host: "2001:db8::1"'),
        tables('"S*":\n"*S":'),
        tables('"S*":\n"Se*":\n"*":'),
        tables('"[ab]":\n"[cd]":'),
        tables("A: {depends_on: [lab_a.s.B]}\nB:"),
        tables('"*":\n"__*":\nA: {depends_on: [lab_a.s.Anything]}'),
        tables('"__*":\nA: {depends_on: [lab_a.s.Sorting]}'),
        source("port: 1", '{s: {tables: "*", exclude: [Old]}}') + "removed: {lab_a.s.Old: {table: keep}}\n",
        source("port: 1", '{s: {tables: "__*"}}') + "removed: {lab_a.s.Old: {table: keep}}\n",
        top("removed: {lab_a.s.t__part: {table: keep}}\n"),
        source("port: 1", '{s: {tables: "*"}}') + "removed: {lab_a.s.t__part: {table: keep}}\n",
        top("removed: {lab_a.gone.Old: {table: drop}}\n"),
        tables("A: {pull: none}"),
        tables("A: {pull: needed}\nB: {pull: none}"),
        f"{HEAD}sources:\n  a: {{host: g, schemas: {{s: {{schema_name: a_s, tables: [T]}}}}}}\n"
        "  b: {host: h, password: '${env:B}', schemas: {s: {schema_name: b_s, tables: [T]}}}\n",
        approval(by="a, with: {lab_a.s.Spikes: 3, lab_a.s.Empty: 0}"),
    ],
)
def test_it_is_right_and_nothing_is_told(tmp_path: Path, text: str) -> None:
    manifest, found = read([written(tmp_path, text)])
    assert found == ()
    assert manifest is not None


def test_all_problems_are_told_at_once_and_in_the_order_of_the_text(tmp_path: Path) -> None:
    text = """\
manifest: 1
name: ▸no
▸contcat: x
local: {host: h, ▸prot: 1, ▸password: hunter2}
defaults: {pull: ▸al}
sources:
  lab_a:
    host: ▸db:1
    schemas:
      s:
        tables:
          A: {where: ▸"a; b", depends_on: [▸lab_a.s.Nope]}
          ▸~B: {}
          ▸a: {}
removed: {▸x: {table: ▸no}}
"""
    found = [d for d in problems(tmp_path, text) if d.severity == "error"]
    assert sorted(set(places(tuple(found)))) == marked(text)
    assert places(tuple(found)) == sorted(places(tuple(found)))


def test_what_does_not_fit_in_a_list_hides_nothing_of_the_rest(tmp_path: Path) -> None:
    text = one("depends_on: [▸1, ▸lab_x.s.T]")
    assert places(problems(tmp_path, text)) == marked(text)
    second = approval(keys="1") + approval(link="▸lab_a.s.U").split("approvals:\n")[1]
    assert marked(second)[0] in places(problems(tmp_path, second))


def test_an_error_elsewhere_does_not_hide_an_empty_mapping(tmp_path: Path) -> None:
    text = source("port: ▸x", "{s: {▸tables: {}}}").replace("local: {", "local: {▸tls: {}, ")
    assert places(problems(tmp_path, text)) == marked(text)


def test_paths_name_the_place_in_the_document(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, source("port: 1", "{s: {tables: [A, 1]}}"))
    assert found.path == "sources.lab_a.schemas.s.tables[1]"


def test_the_snippet_is_the_line_and_the_width_covers_what_is_meant(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, one("where: x, pull: alll"))
    assert found.snippet == "          T: {where: x, pull: alll}"
    assert found.snippet[found.location.column - 1 :][: found.width] == "alll"


GRAPHS = st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdef"), max_size=3))


@given(GRAPHS)
def test_a_circle_is_found_where_there_is_one_and_is_one(edges: dict[str, list[str]]) -> None:
    found = circles(edges)
    graph: networkx.DiGraph[str] = networkx.DiGraph([(one, two) for one in edges for two in edges[one]])
    assert bool(found) != networkx.is_directed_acyclic_graph(graph)
    for circle in found:
        assert circle[0] == min(circle)
        assert all(two in edges[one] for one, two in zip(circle, [*circle[1:], circle[0]], strict=True))


def test_a_long_chain_has_no_circle_and_is_walked_once() -> None:
    chain = {str(n): [str(n + 1)] * 3 for n in range(3000)}
    assert circles(chain) == []


def test_every_tier_can_be_named(tmp_path: Path) -> None:
    manifest = loaded(tmp_path, tables("A_b:\n'#lookup':\n_imported:\n__computed:\nmanual:"))
    assert sorted(rules(manifest)) == ["#lookup", "A_b", "__computed", "_imported", "manual"]


@pytest.mark.parametrize(
    ("local", "source"),
    [
        ('host: h, user: ▸"${env:DJ_PASS}"', "host: g"),
        ("host: h", 'host: g, user: ▸"x_${env:LINK_PASS}"'),
        ("host: h", 'host: ▸"${env:DJ_PASS}.example"'),
        ('host: h, password: "${file:pw}"', 'host: g, outbound: ▸"${file:pw}"'),
        ('host: h, password: "${env:X}"', 'host: g, port: ▸"${env:X}"'),
        ("host: h", 'host: g, user: ▸"${env:api_token}"'),
    ],
)
def test_a_value_that_is_shown_does_not_refer_to_a_password(tmp_path: Path, local: str, source: str) -> None:
    head = HEAD.replace("host: db.lab.example", local)
    text = f"{head}sources:\n  lab_a: {{{source}, schemas: {{s: {{tables: [T]}}}}}}\n"
    problem = told(tmp_path, text)
    assert "refers to a password: `${" in problem.summary


def test_a_variable_that_only_resembles_a_secrets_name_may_be_shown(tmp_path: Path) -> None:
    source = 'host: "${env:PASSAGE_HOST}", user: "${env:TOKEN_USER}", outbound: "${env:LAB_PASSENGERS}"'
    loaded(tmp_path, f"{HEAD}sources:\n  lab_a: {{{source}, schemas: {{s: {{tables: [T]}}}}}}\n")
