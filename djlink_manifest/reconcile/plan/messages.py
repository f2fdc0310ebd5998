"""How a plan words what it decides about deletions: reasons, and what to do next. Pure."""

from __future__ import annotations

from djlink_manifest.model.links.link import Link
from djlink_manifest.model.next_steps import command
from djlink_manifest.reconcile.state.deletion_requests import LinkDeletions

DELETION_REQUESTED = "deletion requested"
ORPHANS = "no source row (deleted at the source or inserted locally)"
STRAYS = "held, requested or approved, but their source row is missing, which the foreign keys should prevent"
AGAIN = "their deletion was approved earlier, but they are in the local table again, unprotected"


def requested(seen: LinkDeletions) -> str:
    """Say when the deletions that await a decision were requested, by the day of the newest request."""
    if seen.requested is None or seen.requested.until is None:
        return DELETION_REQUESTED
    newest = seen.requested.until.date()
    several = any(each.since.date() != newest for each in seen.request_groups)
    return f"{DELETION_REQUESTED}{', most recently' if several else ''} on {newest}"


def quoted_name(name: str) -> str:
    """A table, `schema.table`, as a statement names it."""
    return ".".join(f"`{part}`" for part in name.split(".", 1))


def how_released(link: Link) -> str:
    """How to pass the source's requests on to another lab that links the local table."""
    place, reason = f"{link.local.schema}.{link.local.name}", f"requested by {link.source}"
    words = ("source", "request", place, "--relay", "--reason", reason)
    return (
        "pass the request on, with an account of the local server that may use that lab's owner schema: "
        f"{command(*words)}; once that lab has released "
        "them, apply again"
    )


def how_again(link: Link) -> str:
    """What to do about rows that were approved and are here again."""
    return (
        f"delete those rows of {link.local.schema}.{link.local.name} yourself; or ask the owner to allow "
        "them again (`djlink source withdraw TABLE KEY --approved`), and djlink protects those that equal "
        "their source rows"
    )


def how_strays(link: Link) -> str:
    """What to do about rows in the outbound schema whose source row is gone."""
    return (
        "foreign key checks were off at the source (a script, TRUNCATE, a restored dump): ask its owner to "
        "restore those rows before new rows take their keys; or "
        f"{command('approve', link.address, '--orphans')} "
        "lists them and approves deleting their local copies. Until then the link is not refilled"
    )


def how(link: Link) -> str:
    """How to look at requests, and how to agree."""
    return (
        f"{command('requests', link.address, '--keys')} lists them; "
        f"{command('approve', link.address)} approves them"
    )
