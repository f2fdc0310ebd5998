"""Try a condition on a source's table: is it taken, and how many rows meet it. Nothing is changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from difflib import get_close_matches

from djlink_manifest.errors import DjlinkError, UsageError
from djlink_manifest.manifest.models.declared import rule_of
from djlink_manifest.manifest.models.match import rule_for
from djlink_manifest.manifest.models.restriction import check_steady
from djlink_manifest.manifest.models.secrets import resolve_server
from djlink_manifest.manifest.models.values import Manifest, SchemaSpec, SourceSpec
from djlink_manifest.manifest.text.problems import nearest
from djlink_manifest.model.links.selection import Condition, is_textual
from djlink_manifest.model.server.catalog import Catalog
from djlink_manifest.model.server.rights import SOURCE_RIGHTS, grant, missing
from djlink_manifest.model.tables.definition import TableDefinition
from djlink_manifest.model.tables.naming import class_name, master_of
from djlink_manifest.reconcile.resolve.unfit import needs_zones
from djlink_manifest.reconcile.resolve.where import where_problems
from djlink_manifest.reconcile.state.trial import Trial
from djlink_manifest.servers.catalog.health import knows_zones
from djlink_manifest.servers.catalog.reader import read_catalog
from djlink_manifest.servers.query.conditions import check_condition, count_matching
from djlink_manifest.servers.session.login import open_session
from djlink_manifest.servers.session.session import Session

MOST_NAMES = 5


def try_condition(
    manifest: Manifest,
    address: str,
    where: Condition | None,
    environ: Mapping[str, str],
    report: Callable[[str], None],
) -> Trial:
    """Count the rows of a source's table, and those that meet a condition: this one, else the manifest's.

    Only the table's source is asked. Raises UsageError for what is no table of it and for a condition that a
    manifest could not have there, SecretError, ServerError.
    """
    source, schema, name = _parts(manifest, address)
    spec = next((each for each in source.schemas if each.name == schema), None)
    _check_offline(spec, name, where)
    report(f"reading {source.name}")
    session = open_session(resolve_server(source, environ), Session)
    try:
        table, called = _table(read_catalog(session, [schema]), source.name, schema, name)
        rule = rule_for(spec, table.name, class_name(table.name)) if spec is not None else None
        tried = where if where is not None else rule.options.where if rule is not None else None
        if tried is not None:
            _check(tried, table, session)
        report(f"counting rows of {source.name}")
        counts = count_matching(session, table, tried)
        return Trial(
            f"{source.name}.{schema}.{called}",
            rule,
            tried,
            is_own=where is None,
            rows=counts.rows,
            matching=counts.matching,
            unknown=counts.unknown,
        )
    except DjlinkError as error:
        error.link = error.link or address
        raise
    finally:
        session.close()


def _parts(manifest: Manifest, address: str) -> tuple[SourceSpec, str, str]:
    words = address.split(".", 2)
    source = next((each for each in manifest.sources if each.name == words[0]), None)
    if len(words) != 3 or not all(words):
        raise UsageError(f"{address} is not the address of a table", hint="an address is source.schema.Table")
    if source is None:
        close = nearest(words[0], [each.name for each in manifest.sources])
        hint = f"did you mean `{close}`?" if close else "`djlink list` shows what the manifest declares"
        raise UsageError(f"{address}: this manifest has no source `{words[0]}`", hint=hint)
    return source, words[1], words[2]


def _check_offline(spec: SchemaSpec | None, table: str, where: Condition | None) -> None:
    """Raise UsageError where the manifest's options for the table allow no such condition."""
    rule = rule_of(spec, table) if spec is not None else None
    if rule is None or where is None:
        return
    if rule.options.unwanted == "release":
        check_steady(where)


def _table(catalog: Catalog, source: str, schema: str, name: str) -> tuple[TableDefinition, str]:
    """Return a table by its class or its name, and the name that its address has."""
    rights = grant(SOURCE_RIGHTS, schema, catalog.identity)
    if schema not in catalog.all_schemas:
        close = nearest(schema, sorted(catalog.all_schemas))
        raise UsageError(
            f"{source} has no schema `{schema}`, or the link user has no privilege on it",
            hint=f"did you mean `{close}`?" if close else f"ask its administrator to run: {rights}",
        )
    masters = catalog.masters(schema)
    classes = Counter(class_name(each.name) for each in masters)
    names = {each.name: each for each in masters}
    names |= {class_name(each.name): each for each in masters if classes[class_name(each.name)] == 1}
    if name in names:
        found = names[name]
        called = class_name(found.name)
        return found, called if classes[called] == 1 else found.name
    if classes[name] > 1:
        both = ", ".join(each.name for each in masters if class_name(each.name) == name)
        raise UsageError(f"{name} is the class of several tables of {schema}", hint=f"name one: {both}")
    if master := master_of(name):
        raise UsageError(
            f"{name} is a part; its master is {class_name(master)}",
            hint="a condition is on the columns of the master",
        )
    close = nearest(name, sorted(names))
    if missing(catalog.grants, SOURCE_RIGHTS, schema):
        raise UsageError(
            f"{schema} has no table `{name}`, or the link user has no privilege on it",
            hint=f"did you mean `{close}`?" if close else f"ask its administrator to run: {rights}",
        )
    known = [each.name if classes[class_name(each.name)] > 1 else class_name(each.name) for each in masters]
    near = get_close_matches(name, known, MOST_NAMES, 0) or known[:MOST_NAMES]
    raise UsageError(
        f"{schema} has no table `{name}`",
        hint=f"did you mean `{close}`?"
        if close
        else f"it has {', '.join(sorted(near)) or 'no table at all'}",
    )


def _check(where: Condition, table: TableDefinition, session: Session) -> None:
    for problem, hint in where_problems(where, table, session.identity.version.vendor):
        raise UsageError(problem, hint=hint)
    if not is_textual(where):
        return
    if said := check_condition(session, table, where):
        raise UsageError(
            f"the server rejects `where`: {said}",
            hint=f"use only the table's own columns: {', '.join(table.column_names)}",
        )
    if needs_zones(where) and not knows_zones(session):
        raise UsageError(
            "`where` calls CONVERT_TZ, but the server knows no named time zones, so no row would meet it",
            hint="use offsets such as '+01:00', or ask its administrator to load the time zones",
        )
