"""What accounts cannot see: local tables whose rows would go along with linked ones, and source tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from djlink_manifest.manifest.models.values import Manifest
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.server.catalog import Catalog, TableName
from djlink_manifest.model.server.health import Finding
from djlink_manifest.model.server.partly_seen import partly_seen
from djlink_manifest.model.server.rights import account_name
from djlink_manifest.reconcile.diff.hidden_parts import hidden_parts, hidden_problems
from djlink_manifest.reconcile.plan.messages import quoted_name

SUBJECT = "invisible tables"
INCOMPLETE = "an entity is its master row with all its part rows"
WHY = "deleting linked rows would delete or change rows of such a table without notice"


def hidden_findings(
    name: str, schemas: Iterable[str], links: Iterable[Link], source: Catalog, local: Catalog | None
) -> Iterator[Finding]:
    """What the link user of a source may not see: parts that are known, and schemas that it sees in part."""
    for schema in sorted(schemas):
        told = partly_seen(source, schema)
        if told is not None:
            yield Finding(name, SUBJECT, "warning", told[0], why=INCOMPLETE, fix=told[1])
    if local is None:
        return
    for link in links:
        mark = local.mark(link.local.schema, link.local.name)
        for words, fix in hidden_problems(link, hidden_parts(link, mark, source, local), source):
            yield Finding(name, SUBJECT, "error", f"{link.address}: {words}", why=INCOMPLETE, fix=fix)


def deletes_automatically(manifest: Manifest) -> bool:
    """Whether some link's rows are deleted without a person's word: `auto`, or `unwanted: release`."""
    rules = (r.options for s in manifest.sources for schema in s.schemas for r in schema.rules)
    return any(o.deletions == "auto" or o.unwanted == "release" for o in rules)


def unseen_findings(
    unseen: Mapping[TableName, tuple[str, ...]] | None, automatic: bool, account: str
) -> Iterator[Finding]:
    """What is known of tables that refer with ON DELETE CASCADE or SET NULL; None where nobody can know.

    `automatic`: the manifest lets rows be deleted without a person's word.
    """
    if unseen is None:
        words = "the account cannot tell whether tables that it cannot see refer to linked tables"
        fix = (
            f"if others have tables on this server: GRANT PROCESS ON *.* TO {account_name(account)}; (it "
            "then sees all foreign keys and the statements of all sessions); otherwise no action is needed"
        )
        yield Finding("local", SUBJECT, "warning" if automatic else "note", words, why=WHY, fix=fix)
        return
    for (schema, table), names in sorted(unseen.items()):
        words = f"{', '.join(names)} refers to {schema}.{table} with ON DELETE CASCADE or SET NULL"
        grants = " ".join(
            f"GRANT SELECT ON {quoted_name(name)} TO {account_name(account)};" for name in names
        )
        why = f"{WHY}: such deletions are blocked"
        yield Finding(
            "local", SUBJECT, "warning", words, why=why, fix=f"ask an administrator to run: {grants}"
        )
    if not unseen:
        yield Finding("local", SUBJECT, "ok", "no such table would lose or change rows")
