"""What each construct gives on a pair of vendors, seen on real servers, and the page made of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from djlink_manifest.model.tables.naming import class_name, master_of, plain_name
from djlink_manifest.reconcile.plan.plan import Plan
from djlink_manifest.sandbox import SandboxServer
from djlink_manifest.sandbox.servers.accounts import quoted_name
from tests.fidelity.constructs import MAPPED, RELATIONS, SAFE, Construct, constructs
from tests.support.definitions import NOPAD, definition, every_value
from tests.support.rig import Rig, link_of
from tests.support.servers import NEWER, PAIRS, Pair, has
from tests.support.sql import ask, run_all

PATH = Path(__file__).parents[2] / "docs" / "fidelity.md"
SHOWN = (*PAIRS, *NEWER)
BOTH_HAVE = "utf8mb4_general_ci"
HEAD = """\
# What arrives, by construct

One source table for each line, linked between real servers of each pairing, source → local. This page is
written by `python -m tests.fidelity`, and a test compares it with what the servers give.

- **same**: the definition is what the local server makes of the source's own CREATE TABLE, and every value is
  the same, byte for byte.
- **same value**: JSON, which MySQL stores as a value and MariaDB as a text.
- **kept**: every foreign key stands here; **plain columns**: the columns are here, the foreign key is not.
- **mapped**, **refused**: something else stands here, or nothing, and the plan says so in the words of the
  note.
- **-**: the source's server has no such thing.

MySQL is 9.7, MariaDB 10.11 where it has no number.
"""
WANTED = """\
## What is wanted, against a model

Which entities are wanted, left out (and why) and barred is SQL on the source server. A test compares it with
the sentences of the definition in plain Python, over random small pipelines: three to eight tables of two
schemas, parts, chains, foreign keys of every sort (of the key, renamed, nullable, doubled, to parts, between
parts of one entity, to the table itself), text keys whose spelling differs in capitals, `where`, `needed` and
`none`, tables that are not linked or are linked later. Each is linked, then grows, some of it is asked back
or approved, and it is linked again. Compared are the counts of every state, of what is left out by each
reason and of the part rows to pull, the keys in outbound and here, the number of part rows here, and how many
rows keep a foreign key to a parent linked later from being added, because it does not hold what they name.

Every run takes random pipelines on each pair and fails unless they hold each of these kinds; its end says how
many entities of each, and the seed. `DJLINK_PIPELINES=100 pytest tests/integration/test_wanted.py -k
"definition and mysql-mariadb"` takes 100 of a pair, `DJLINK_SEED=…` those of an earlier run again.

Run on 2026-11-24, without a difference: 300 pipelines MySQL → MySQL, still of one schema and without chains,
self references and late links; then, with those, 102 MariaDB → MySQL (seeds 18, 49 and 100 from 3102375401),
102 MySQL → MariaDB (18, 49 and 100 from 1940308886), 62 MySQL → MySQL (18, 49 and 60 from 1877878567) and
62 MariaDB → MariaDB (18, 49 and 60 from 2179357831).
"""


def outcomes(rig: Rig) -> dict[str, str]:
    """What each construct gives between the rig's servers, by its table."""
    present = [c for c in constructs() if c.only is None or has(rig.servers.pair.source, c.only)]
    # one that both vendors have: what becomes of others is a construct of its own
    run_all(
        rig, f"CREATE DATABASE {{lab}} COLLATE {BOTH_HAVE}", f"CREATE DATABASE {{other}} COLLATE {BOTH_HAVE}"
    )
    for each in present:
        run_all(rig, *each.before, each.create.replace("{here}", "{lab}"))
        if each.rows:
            run_all(rig, f"INSERT INTO {{lab}}.`{each.table}` VALUES {each.rows}")
    rig.accounts({"lab_a": ["lab", "other"]})
    tables = {"tables": "*", "exclude": ["hidden_parent"]}
    document = rig.document({"lab_a": {"lab": tables, "other": {"tables": "*"}}})
    with rig.job(document) as job:
        plan = job.plan()
    report = rig.apply(document)[1]
    problems = [o.problem for o in report.outcomes if o.status == "failed"]
    assert not problems, problems
    with rig.job(document) as job:
        left = job.plan(verify=True)
    assert not left.has_changes
    return {each.table: _outcome(rig, each, plan) for each in present}


def _outcome(rig: Rig, each: Construct, plan: Plan) -> str:
    address = _address(rig, plan, each.table)
    refused = [r.reason for r in plan.refusals if r.address == address]
    link = link_of(plan, address) if any(p.address == address for p in plan.links) else None
    refused += [b.reason for b in link.blocked] if link else []
    if refused:
        return f"refused: {_plain(rig, refused[0], each.table)}"
    assert link is not None
    if each.section == RELATIONS:
        return _relation(rig, each)
    notes = [w for w in link.warnings if "is not linked" not in w]
    source, local_side = (rig.names("lab"), rig.servers.lab_a), (_local_schema(rig), rig.servers.local)
    local = plain_name(each.table)
    values = _values(source, local_side, each.table, local)
    found = definition(local_side[1], local_side[0], local)
    assert found == _expected(rig, each, MAPPED[each.words] if notes else ()), each.words
    if notes:
        return f"mapped: {'; '.join(_plain(rig, note, each.table) for note in notes)}"
    return values


def _address(rig: Rig, plan: Plan, table: str) -> str:
    everything = [*(p.address for p in plan.links), *(r.address for r in plan.refusals)]
    wanted = {table, class_name(master_of(table) or table)}
    [found] = [a for a in everything if a.split(".", 2)[1:] in [[rig.names("lab"), w] for w in wanted]]
    return found


def _expected(rig: Rig, each: Construct, mapped: Sequence[tuple[str, str]]) -> list[list[tuple[object, ...]]]:
    """The catalogue's words on a table that the local server made from the source's own text.

    `mapped` are the words in it that the server lacks, with those that stand in their place.
    """
    pair = rig.servers.pair
    if pair.source == pair.local and not mapped:
        found = definition(rig.servers.lab_a, rig.names("lab"), each.table)
    else:
        reference = quoted_name(rig.names("reference"))
        server = rig.servers.local
        ask(server, f"CREATE DATABASE IF NOT EXISTS {reference} COLLATE {BOTH_HAVE}")
        create = each.create.replace("{here}", reference)
        for source, local in mapped:
            assert source in create, each.words
            create = create.replace(source, local.replace(SAFE, NOPAD[server.vendor]))
        ask(server, create)
        found = definition(server, rig.names("reference"), each.table)
    return found


def _values(source: tuple[str, Any], local_side: tuple[str, Any], table: str, local: str) -> str:
    source_rows, local_rows = (
        every_value(source[1], source[0], table),
        every_value(local_side[1], local_side[0], local),
    )
    if source_rows == local_rows:
        return "same"
    assert [_read(row) for row in source_rows] == [_read(row) for row in local_rows], table
    return "same value"


def _read(row: Sequence[Any]) -> list[Any]:
    """A row of hex with what is JSON read as such."""
    return [_json(value) for value in row]


def _json(value: Any) -> Any:
    try:
        return json.loads(bytes.fromhex(value)) if value else value
    except ValueError:
        return value


def _relation(rig: Rig, each: Construct) -> str:
    of_source = (rig.names("lab"), rig.servers.lab_a)
    of_lab, local = (_local_schema(rig), rig.servers.local), plain_name(each.table)
    assert _values(of_source, of_lab, each.table, local) == "same", each.words
    source_rows = _foreign_keys(of_source[1], of_source[0], each.table)
    local_rows = _foreign_keys(of_lab[1], of_lab[0], local)
    if local_rows == source_rows:
        return "kept"
    assert not local_rows, each.words
    return "plain columns"


def _foreign_keys(server: SandboxServer, schema: str, table: str) -> list[tuple[Any, ...]]:
    """Place, column, parent table and column, and rules; the schemas have other names here."""
    rules = (
        "r.CONSTRAINT_NAME, k.ORDINAL_POSITION, k.COLUMN_NAME, k.REFERENCED_TABLE_NAME,"
        " k.REFERENCED_COLUMN_NAME, REPLACE(r.DELETE_RULE, 'NO ACTION', 'RESTRICT'),"
        " REPLACE(r.UPDATE_RULE, 'NO ACTION', 'RESTRICT')"
        " FROM information_schema.REFERENTIAL_CONSTRAINTS r JOIN information_schema.KEY_COLUMN_USAGE k"
        " ON k.TABLE_SCHEMA = r.CONSTRAINT_SCHEMA AND k.CONSTRAINT_NAME = r.CONSTRAINT_NAME"
        " AND k.TABLE_NAME = r.TABLE_NAME WHERE TRUE"
    )
    asked = ask(server, f"SELECT {rules} AND r.CONSTRAINT_SCHEMA = %s AND r.TABLE_NAME = %s", (schema, table))
    return sorted(row[1:] for row in asked)


def _local_schema(rig: Rig) -> str:
    return rig.local_schema("lab_a", "lab")


def _plain(rig: Rig, words: str, table: str) -> str:
    """A reason without the test's own names and the place."""
    words = words.replace(rig.names(""), "").replace(f"{table}.", "")
    return re.sub(r"\(\w+ [\d.]+\S*\) ", "", words)


def page(found: Mapping[Pair, Mapping[str, str]]) -> str:
    """The page, from the outcomes of every pair."""
    lines, notes = [HEAD], list[str]()
    for section, members in groupby(constructs(), lambda c: c.section):
        lines.append(f"## {section}\n")
        lines.append(f"| construct | {' | '.join(_arrow(pair) for pair in SHOWN)} |")
        lines.append("|---|" + "---|" * len(SHOWN))
        lines += [f"| {c.words} | {' | '.join(_cells(c, found, notes))} |" for c in members]
        lines.append("")
    lines += [WANTED, "## Notes\n"]
    lines += [f"{number}. {words}" for number, words in enumerate(notes, start=1)]
    return "\n".join(lines) + "\n"


def column(text: str, pair: Pair) -> dict[str, str]:
    """What a page says of a pair, by the construct's words."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "|" in line
    ]
    return {row[0]: row[1 + SHOWN.index(pair)] for row in rows if len(row) == 1 + len(SHOWN)}


def _cells(construct: Construct, found: Mapping[Pair, Mapping[str, str]], notes: list[str]) -> Iterable[str]:
    for pair in SHOWN:
        outcome = found[pair].get(construct.table, "-")
        kind, _, words = outcome.partition(": ")
        if words and words not in notes:
            notes.append(words)
        yield f"{kind} ({notes.index(words) + 1})" if words else kind


def _arrow(pair: Pair) -> str:
    names = {"mysql": "MySQL", "mariadb": "MariaDB", "mariadb-11.8": "MariaDB 11.8"}
    return f"{names[pair.source]} → {names[pair.local]}"
