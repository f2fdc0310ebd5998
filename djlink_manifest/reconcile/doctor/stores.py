"""The stores that a manifest's links use, tried out on both sides, as the doctor tells of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from djlink_manifest.errors import DjlinkError
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.server.health import Finding
from djlink_manifest.model.stores.store import INLINE
from djlink_manifest.reconcile.observe.stores import StoreTransport
from djlink_manifest.reconcile.resolve.external_columns import store_names
from djlink_manifest.reconcile.state.snapshot import Refusal
from djlink_manifest.servers.stores.errors import HINT
from djlink_manifest.servers.stores.probe import probe

_WHY = {
    "local": "external objects cannot be stored; the links that need the store are blocked",
    "source": "external objects cannot be read; the links that need the store are blocked",
}


def store_findings(
    links: Iterable[Link], refusals: Iterable[Refusal], store_transport: StoreTransport
) -> Iterator[Finding]:
    """Each store that a link reads from or writes to, and each link whose stores are not set up."""
    pending = {r.address for r in refusals if r.causes}  # their stores are not what keeps them
    using = {a.address: a for a in links if store_names(a.definition) and a.address not in pending}
    refused = {r.address: r for r in refusals if r.address in using}
    for address, refusal in sorted(refused.items()):
        yield Finding(
            using[address].source,
            "stores",
            "error",
            f"{address}: {refusal.reason}",
            why="it has external values and is refused",
            fix=refusal.hint or HINT,
        )
    usable = [link for address, link in using.items() if address not in refused]
    source_stores = {(link.source, name) for link in usable for name in store_names(link.definition)}
    local_stores = {("local", name) for link in usable for _, name in link.stores if name != INLINE}
    for owner, name in (*sorted(local_stores), *sorted(source_stores)):
        yield _looked_at(owner, name, store_transport)


def _looked_at(owner: str, name: str, store_transport: StoreTransport) -> Finding:
    subject = f"store {name}"
    try:
        words = probe(store_transport, owner, name)
    except DjlinkError as error:
        why = _WHY["local" if owner == "local" else "source"]
        return Finding(owner, subject, "error", error.message, why=why, fix=error.hint or HINT)
    done = "can be written to and read" if owner == "local" else "can be read"
    return Finding(owner, subject, "ok", f"{words}: {done}")
