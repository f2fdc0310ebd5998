"""Checks and rules of foreign keys as SHOW CREATE TABLE has them.

MariaDB leaves both out of information_schema for an account that has rights on single tables: a column of
JSON would look like plain text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from djlink_manifest.errors import MissingPrivilege
from djlink_manifest.model.server.catalog import TableName
from djlink_manifest.model.tables.definition import Check, ForeignKey
from djlink_manifest.servers.catalog.check_constraints import Checks
from djlink_manifest.servers.session.checked_values import Faults, as_name, as_text
from djlink_manifest.servers.session.session import Session
from djlink_manifest.servers.sql import sql, table

_NAME = r"`(?P<name>(?:[^`]|``)+)`"
_RULE = r"(RESTRICT|CASCADE|SET NULL|NO ACTION|SET DEFAULT)"
_KEY = re.compile(rf"  CONSTRAINT {_NAME} FOREIGN KEY .*?(?: ON DELETE {_RULE})?(?: ON UPDATE {_RULE})?,?")
_CHECK = re.compile(rf"  CONSTRAINT {_NAME} CHECK \((?P<clause>.*)\),?")
_COLUMN = re.compile(rf"  {_NAME} (?P<rest>.*?),?")
_TOKEN = re.compile(r"`(?:[^`]|``)*`|'(?:[^'\\]|''|\\.)*'|\(|\)|CHECK \(|.", re.DOTALL)


@dataclass(slots=True)
class Told:
    """What statements tell: checks, (schema, table, column) of JSON, and the rules of foreign keys.

    Rules are pairs, ON DELETE and ON UPDATE, by (schema, table, name).
    """

    checks: dict[TableName, list[Check]] = field(default_factory=dict)
    json: set[tuple[str, str, str]] = field(default_factory=set)
    rules: dict[tuple[str, str, str], tuple[str, str]] = field(default_factory=dict)

    def added_to(self, checks: Checks) -> Checks:
        """The checks with those of these tables."""
        return Checks({**checks.of, **self.checks}, checks.json | self.json)

    def with_rules(self, place: TableName, keys: Iterable[ForeignKey]) -> list[ForeignKey]:
        """The foreign keys of a table with their rules, where these were told."""
        found = ((key, self.rules.get((place[0], place[1], key.name))) for key in keys)
        return [replace(k, on_delete=rules[0], on_update=rules[1]) if rules else k for k, rules in found]


def read_create_tables(session: Session, places: Iterable[TableName], faults: Faults) -> Told:
    """What SHOW CREATE TABLE tells of these tables; nothing of one that the account may not read."""
    told = Told()
    for place in places:
        with faults.of(place), suppress(MissingPrivilege):
            # as bytes: defaults stand in the text as they are
            for row in session.raw_rows(sql("SHOW CREATE TABLE {}", table(*place))):
                tell(told, place, as_text((row[1] or b"").decode(errors="replace"), "a SHOW CREATE TABLE"))
    return told


def tell(told: Told, place: TableName, text: str) -> None:
    """Add what the text of a SHOW CREATE TABLE tells. Raises BadValue."""
    checks = list[Check]()
    for line in text.splitlines():
        if match := _KEY.fullmatch(line):
            on_delete, on_update = match[2] or "RESTRICT", match[3] or "RESTRICT"
            told.rules[place[0], place[1], _unquoted(match)] = on_delete, on_update
        elif match := _CHECK.fullmatch(line):
            checks.append(Check(_unquoted(match), match["clause"]))
        elif (match := _COLUMN.fullmatch(line)) and (clause := _check_of(match["rest"])) is not None:
            name = _unquoted(match)
            if match["rest"].startswith("longtext") and clause == f"json_valid(`{match['name']}`)":
                told.json.add((place[0], place[1], name))
            else:
                checks.append(Check(name, clause))
    told.checks[place] = sorted(checks, key=lambda check: check.name)


def _unquoted(match: re.Match[str]) -> str:
    return as_name(match["name"].replace("``", "`"), "a name in its SHOW CREATE TABLE")


def _check_of(rest: str) -> str | None:
    """The check at the end of a column's definition, without its brackets."""
    depth = 0
    for token in _TOKEN.finditer(rest):
        if token[0] == "CHECK (" and depth == 0:
            return rest[token.end() :].removesuffix(")")
        depth += token[0].endswith("(") - (token[0] == ")")
    return None
