"""Whether rows that the local account cannot see would go, or change, along with linked ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from djlink_manifest.manifest.models.values import Manifest
from djlink_manifest.model.server.catalog import TableName
from djlink_manifest.model.server.health import Finding
from djlink_manifest.model.server.rights import account_name
from djlink_manifest.reconcile.plan.messages import quoted_name

SUBJECT = "invisible tables"
WHY = "deleting linked rows would delete or change rows of such a table without notice"


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
