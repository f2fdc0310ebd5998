"""A trust file written from a manifest, for review: it allows what the manifest uses now, and no more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from djlink_manifest.manifest.models.servers import TlsSpec
from djlink_manifest.manifest.models.values import Manifest
from djlink_manifest.manifest.text.scalars import written
from djlink_manifest.manifest.trust.match import Checkout
from djlink_manifest.manifest.trust.suggest import files_of_checkout, in_line, server_entry

SCHEMA = "trust.schema.json"

_HEAD = """\
# What a manifest may use that nobody has reviewed yet: `djlink plan --trust FILE`, or DJLINK_TRUST. Any other
# server, reference, file or store is refused before a connection is made. Keep this file where a pull request
# cannot change it, and review each entry: whoever can open a pull request may use it.
"""


def trust_text(manifest: Manifest, checkout: Checkout) -> str:
    """The trust file for a manifest as it is now. No reference in it is resolved."""
    return "".join(f"{line}\n" for line in _lines(manifest, checkout))


def refused_anyway(manifest: Manifest, checkout: Checkout) -> tuple[str, ...]:
    """What no trust file can allow: references to files of the manifest's own checkout, by server and key."""
    found = list[str]()
    for spec in (manifest.local, *manifest.sources):
        found += (
            f"{spec.name}: `{key}` names a file of the checkout, which no trust file can allow: "
            "keep it elsewhere"
            for key in files_of_checkout(spec, checkout)
        )
        for key in ("ca", "cert", "key") if isinstance(spec.tls, TlsSpec) else ():
            value = getattr(spec.tls, key)
            path = checkout.path_of(value, spec.place_of(f"tls.{key}"))
            if value and "${" not in value and checkout.holds(path) and checkout.digest(path) is None:
                found.append(f"{spec.name}: there is no file {path}, so that its digest cannot be written")
    return tuple(found)


def _lines(manifest: Manifest, checkout: Checkout) -> Iterator[str]:
    yield from _HEAD.splitlines()
    yield "trust: 1"
    yield f"manifests: [{written(manifest.name)}]"
    yield ""
    yield "local:"
    yield from _entry(server_entry(manifest.local.by_environment(), checkout))
    if manifest.sources:
        yield ""
        yield "sources:"
    entries = list[dict[str, object]]()
    for source in manifest.sources:
        entry = server_entry(source, checkout)
        if entry not in entries:
            entries.append(entry)
            yield from _entry(entry)


def _entry(entry: Mapping[str, object]) -> Iterator[str]:
    begin = "  - "
    for key, value in entry.items():
        if key == "stores" and isinstance(value, list):
            yield "    stores:"
            yield from (f"      - {in_line(each)}" for each in value)
        else:
            yield f"{begin}{key}: {in_line(value)}"
        begin = "    "
