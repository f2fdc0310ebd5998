"""Settings of servers with which nothing, or not everything, can be done: one source of words.

`djlink doctor` shows these findings; a plan blocks what they concern with the same words. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from djlink_manifest.model.links.link import Link
from djlink_manifest.model.links.selection import AllOf, AnyOf, Condition, SqlCondition
from djlink_manifest.model.server.health import Finding
from djlink_manifest.model.server.rights import Grant
from djlink_manifest.reconcile.state.snapshot import Refusal

Settings = Mapping[str, str]  # global variables of a server, by name in lower case

_CALL = re.compile(r"\bCONVERT_TZ\s*\(", re.IGNORECASE)
_ZONE = re.compile(r"""(['"])[A-Za-z][\w+-]*(?:/[\w+-]+)*\1""")
_BYPASS = frozenset({"ALL", "ALL PRIVILEGES", "CONNECTION_ADMIN", "READ_ONLY ADMIN", "READ ONLY ADMIN"})


def is_on(settings: Settings, variable: str) -> bool:
    """Whether a variable is there and neither off nor empty; MariaDB has more words for on than one."""
    return settings.get(variable, "").upper() not in {"", "0", "OFF", "NO"}


def rejecting(name: str, settings: Settings, grants: Iterable[Grant]) -> Iterator[Finding]:
    """Why the server rejects what djlink writes there."""
    what = "its outbound rows" if name != "local" else "pulled rows"
    exempt = any(g.rights & _BYPASS for g in grants if (g.schema, g.table) == ("*", "*"))
    for variable in ("innodb_read_only", "super_read_only", "read_only"):
        if is_on(settings, variable) and not (variable == "read_only" and exempt):
            yield Finding(
                name,
                variable,
                "error",
                f"{settings[variable]}: the server rejects writes",
                why=f"{what} cannot be written; the server may be a replica",
                fix=f"set `host` of `{name}` to the primary server, or run on this one: "
                + (
                    "restart it without --innodb-read-only"
                    if variable == "innodb_read_only"
                    else f"SET GLOBAL {variable} = OFF;"
                ),
            )
            break
    if is_on(settings, "log_bin") and settings.get("binlog_format", "").upper() == "STATEMENT":
        yield Finding(
            name,
            "binlog_format",
            "error",
            "STATEMENT",
            why="InnoDB then refuses writes under READ COMMITTED (error 1665), which djlink uses",
            fix="SET GLOBAL binlog_format = ROW; (the default), then reconnect",
        )


def unchecked(name: str, settings: Settings) -> Iterator[Finding]:
    """Whether other sessions of the server go without the foreign keys that protect rows."""
    if settings and not is_on(settings, "foreign_key_checks"):
        held = "a row that is held can be deleted" if name != "local" else "rows without a parent can appear"
        yield Finding(
            name,
            "foreign_key_checks",
            "error",
            "OFF for every new session",
            why=f"other sessions do not check foreign keys: {held} without notice",
            fix="SET GLOBAL foreign_key_checks = ON; and remove the setting from the server's configuration",
        )


def folded_at_source(name: str, links: Iterable[Link], settings: Settings) -> Iterator[Finding]:
    """Names of a source's links that its server converts to lowercase."""
    links = tuple(links)
    schemas = {link.definition.schema for link in links} | {link.outbound_schema for link in links}
    tables = {t.name for link in links for t in link.definition.tables}
    if found := _folded(settings, [*sorted(schemas), *sorted(tables)]):
        yield Finding(
            name,
            "uppercase names",
            "error",
            found,
            why="this server converts them to lowercase, so djlink cannot find the tables that it created",
            fix="rename them to lowercase, or exclude them",
        )


def folded_locally(links: Iterable[Link], settings: Settings) -> Iterator[Finding]:
    """Names with capitals, of the manifest or a source, that the local server converts to lowercase."""
    names = sorted({n for link in links for t in link.local.tables for n in (t.schema, t.name)})
    if found := _folded(settings, names):
        yield Finding(
            "local",
            "uppercase names",
            "error",
            found,
            why="the local server converts them to lowercase, so djlink cannot find the tables that it "
            "created",
            fix="use lowercase local schema names (`schema_name`), and exclude tables with uppercase names",
        )


def without_zones(name: str, links: Iterable[Link], *, named_zones: bool) -> Iterator[Finding]:
    """Links whose `where` needs time zones by name, where the server does not know any."""
    needing = sorted(link.address for link in links if link.where and needs_zones(link.where))
    if needing and not named_zones:
        yield Finding(
            name,
            "named time zones",
            "error",
            f"not loaded, but `where` of {', '.join(needing)} calls CONVERT_TZ",
            why="CONVERT_TZ returns NULL for a named time zone, so `where` is not met and no row is wanted",
            fix="run on that server: mysql_tzinfo_to_sql /usr/share/zoneinfo | mysql mysql; or use offsets",
        )


def needs_zones(where: Condition) -> bool:
    """Whether a condition converts from or to a time zone that it names."""
    match where:
        case SqlCondition(text=text):
            return any(_ZONE.search(text, call.end()) for call in _CALL.finditer(text))
        case AllOf(terms=terms) | AnyOf(terms=terms):
            return any(map(needs_zones, terms))
        case _:
            return False


def refused(link: Link, findings: Iterable[Finding]) -> Refusal | None:
    """The refusal of a link that findings concern; None where there are none."""
    for finding in findings:
        return Refusal(link.address, told(finding), finding.fix, link.location)
    return None


def told(finding: Finding) -> str:
    """A finding in one line, without its fix."""
    return f"{finding.server}: {finding.subject}: {finding.words}; {finding.why}"


def _folded(settings: Settings, names: Iterable[str]) -> str:
    if settings.get("lower_case_table_names", "0") == "0":
        return ""
    return ", ".join([n for n in names if n != n.lower()][:5])
