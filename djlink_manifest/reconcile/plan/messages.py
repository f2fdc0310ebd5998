"""How a plan words what it decides about deletions: reasons, and what to do next. Pure."""

from __future__ import annotations

from djlink_manifest.model.links.link import Link

ASKED = "the source asked to delete them"
ORPHANS = "local rows whose source row is gone, or that the lab added"
STRAYS = "held, requested or approved, and their source row is gone, which the foreign keys forbid"
AGAIN = "their deletion was approved before, and they are here again without protection"


def quoted(name: str) -> str:
    """A table, `schema.table`, as a statement names it."""
    return ".".join(f"`{part}`" for part in name.split(".", 1))


def how_again(link: Link) -> str:
    """What to do about rows that were approved and are here again."""
    return (
        f"delete those rows of {link.local.schema}.{link.local.name} yourself; or let the owner permit them "
        "again (`djlink source withdraw … --approved`), and those that equal the source's are held anew"
    )


def how_strays(link: Link) -> str:
    """What to do about rows in the outbound schema whose source row is gone."""
    return (
        "foreign key checks were off at the source (a script, TRUNCATE, a restored dump): let its owner "
        "restore those rows before new ones take their keys; or "
        f"`djlink approve {link.address} --orphans` shows them and agrees to delete what is here of them. "
        "Until then nothing of the link is refilled"
    )


def how(link: Link) -> str:
    """How to look at requests, and how to agree."""
    return f"`djlink requests {link.address} --keys` shows which; `djlink approve {link.address}` agrees"
