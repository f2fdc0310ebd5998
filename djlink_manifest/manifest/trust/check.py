"""Holds a manifest against a trust file: every server, reference, file and store that it does not allow.

It runs before anything is connected or resolved. What a manifest does with what it may use is for its review.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from djlink_manifest.manifest.checks.checked import Checked
from djlink_manifest.manifest.models.servers import LocalSpec, ServerSpec, StoreSpec, TlsSpec
from djlink_manifest.manifest.models.trust import (
    DIGEST,
    TrustedLocal,
    TrustedServer,
    TrustedSource,
    TrustedStore,
    TrustedTls,
)
from djlink_manifest.manifest.models.values import SourceSpec
from djlink_manifest.manifest.text.nodes import Steps
from djlink_manifest.manifest.trust.match import Checkout
from djlink_manifest.manifest.trust.read import TrustFile
from djlink_manifest.manifest.trust.suggest import (
    file_entry,
    files_of_checkout,
    in_line,
    server_entry,
    store_entry,
    text_entry,
)
from djlink_manifest.model.server.address import is_loopback

_NOT = "is not in the trust file"


@dataclass(frozen=True, slots=True)
class Untrusted:
    """What a trust file does not allow: where it stands below the server, and what would allow it."""

    steps: Steps
    summary: str
    help: str


def check_trust(at: Checked, file: TrustFile, checkout: Checkout) -> None:
    """Note all that the manifest would use and the trust file does not allow."""
    manifest, trust = at.manifest, file.trust
    if manifest.name not in trust.manifests:
        help = _add(file, f"`{in_line(manifest.name)}` to `manifests`")
        at.error(("name",), f"the manifest's name `{manifest.name}` {_NOT}", help)
    servers: list[tuple[ServerSpec, Sequence[TrustedServer], Sequence[TrustedServer]]] = [
        (manifest.local, trust.local, trust.sources),
        *((source, trust.sources, trust.local) for source in manifest.sources),
    ]
    for spec, allowed, others in servers:
        for each in untrusted(spec, allowed, others, file, checkout):
            at.error((*spec.origin.path, *each.steps), each.summary, each.help)


def untrusted(
    spec: ServerSpec,
    allowed: Sequence[TrustedServer],
    others: Sequence[TrustedServer],
    file: TrustFile,
    checkout: Checkout,
) -> list[Untrusted]:
    """All of a server that the entries `allowed` do not cover; `others` are those of the other role."""
    at = _Server(spec, file, checkout)
    same = [entry for entry in allowed if at.is_at(entry)]
    if same:
        return min((list(at.differences(entry)) for entry in same), key=len)
    place = f"{spec.host}:{spec.port}"
    list_name = at.list_name
    if any(at.is_at(entry) for entry in others):
        summary = (
            f"`{place}` is trusted as a source, not as the local server"
            if list_name == "local"
            else f"`{place}` is trusted as the local server, not as a source"
        )
    else:
        summary = f"the server `{place}` of `{spec.name}` {_NOT}"
    entry = in_line(server_entry(spec, checkout))
    is_port = any(entry.host == spec.host for entry in allowed) and "port" in spec.model_fields_set
    return [
        Untrusted(
            ("port",) if is_port else ("host",),
            summary,
            _add(file, f"`- {entry}` below `{list_name}`"),
        )
    ]


@dataclass(frozen=True, slots=True)
class _Server:
    """A server of the manifest, compared with entries of the trust file."""

    spec: ServerSpec
    file: TrustFile
    checkout: Checkout

    @property
    def list_name(self) -> str:
        return "local" if isinstance(self.spec, LocalSpec) else "sources"

    def is_at(self, entry: TrustedServer) -> bool:
        """Whether an entry is for this host and port."""
        return self._allows((entry.host,), "host") and self._allows((entry.port,), "port")

    def differences(self, entry: TrustedServer) -> Iterator[Untrusted]:
        """What the entry for this host and port does not allow."""
        for key in ("user", "password"):
            if not self._allows(getattr(entry, key), key):
                yield self._text(key)
        yield from self._tls(entry.tls)
        if isinstance(self.spec, LocalSpec) and isinstance(entry, TrustedLocal):
            identity = self.spec.identity
            if identity is not None and identity != entry.identity:
                help = self._add(f"`identity: {in_line(identity)}`")
                yield Untrusted(("identity",), f"the identity `{identity}` of the local server {_NOT}", help)
        if isinstance(self.spec, SourceSpec) and isinstance(entry, TrustedSource):
            if not self._allows(entry.outbound, "outbound"):
                yield self._text("outbound")
            names = {store.name for store in self.spec.store_settings}
            for store in self.spec.store_settings:
                if store.settings not in names:  # else it is that store, which is looked at itself
                    yield from self._store(store, entry.stores)

    def _allows(self, allowed: Sequence[str], key: str) -> bool:
        return self.checkout.allows(allowed, getattr(self.spec, key), self.spec.place_of(key))

    def _text(self, key: str) -> Untrusted:
        value: str = getattr(self.spec, key)
        shown = f" {value}" if "${" in value else f" `{value}`"
        if key in files_of_checkout(self.spec, self.checkout):
            return Untrusted(
                (key,),
                f"`{key}`{shown} names a file of the manifest's own checkout",
                "a pull request may change that file: keep it elsewhere, and name it by its absolute path",
            )
        wanted = in_line(text_entry(value, self.spec.place_of(key), self.checkout))
        return Untrusted(
            (key,),
            f"`{key}`{shown} {_NOT} for {self.spec.host}:{self.spec.port}",
            self._add(f"`{wanted}` to `{key}`"),
        )

    def _tls(self, allowed: bool | TrustedTls | None) -> Iterator[Untrusted]:
        wanted = self.spec.tls
        if wanted is False:
            # a loopback address may be a tunnel to a server that the entry wants to be verified
            if allowed is not False and not (allowed is None and is_loopback(self.spec.host)):
                yield Untrusted(("tls",), f"`tls: false` {_NOT}", self._add("`tls: false`"))
            return
        if not isinstance(wanted, TlsSpec):
            if allowed is True and wanted is not True and is_loopback(self.spec.host):
                words = "`tls: true` is missing, which the trust file asks for"
                yield Untrusted(("host",), words, "write `tls: true`")
            if isinstance(allowed, TrustedTls):
                help = f"write `tls` as the trust file {self.file.path} has it"
                yield Untrusted(("tls",), "the trust file allows only its own files for `tls`", help)
            return
        entry = allowed if isinstance(allowed, TrustedTls) else TrustedTls()
        for key in ("ca", "cert", "key"):
            value: str = getattr(wanted, key)
            place = self.spec.place_of(f"tls.{key}")
            texts: tuple[str, ...] = getattr(entry, key)
            if value and not self.checkout.allows_file(texts, value, place):
                path = self.checkout.path_of(value, place)
                words = f"`tls.{key}: {value}` {_NOT} for {self.spec.host}:{self.spec.port}"
                if "${" not in value and self.checkout.holds(path) and not self.checkout.digest(path):
                    help = "it is no file of the checkout, or a symbolic link leads out: name the file itself"
                else:
                    help = self._add(f"`{key}: {in_line(file_entry(value, place, self.checkout))}` to `tls`")
                yield Untrusted(("tls", key), words, help)
            elif texts and not value:
                words = f"`tls` lacks `{key}`, which the trust file has"
                yield Untrusted(("tls",), words, f"write `{key}` as the trust file {self.file.path} has it")

    def _store(self, store: StoreSpec, allowed: Sequence[TrustedStore]) -> Iterator[Untrusted]:
        """The keys of a store that differ from the nearest entry; the store where none is near."""
        below = ("store_settings", store.name)
        help = self._add(f"`- {in_line(store_entry(store, self.checkout))}` to `stores`")
        if isinstance(store.settings, str):
            if not any(entry.configured == store.settings for entry in allowed):
                words = f"the store `{store.settings}` of DataJoint's configuration {_NOT}"
                yield Untrusted(below, words, help)
            return
        settings = dict(store.settings)
        near = [
            self._store_differences(store, settings, entry)
            for entry in allowed
            if not entry.configured and entry.protocol == settings["protocol"]
        ]
        keys = min(near, key=len, default=None)
        if keys is None:
            yield Untrusted((*below, "protocol"), f"the store `{store.name}` {_NOT}", help)
            return
        for key in keys:
            place = (*below, key) if key in settings else below
            yield Untrusted(place, f"`{key}` of the store `{store.name}` {_NOT}", help)

    def _store_differences(
        self, store: StoreSpec, settings: dict[str, object], entry: TrustedStore
    ) -> list[str]:
        found = sorted(settings.keys() - TrustedStore.model_fields.keys())
        for key in TrustedStore.model_fields.keys() - {"configured", "protocol", "location", "secure"}:
            value, allowed = str(settings.get(key, "")), str(getattr(entry, key))
            place = store.place_of(key)
            if value != allowed and not self.checkout.allows((allowed,), value, place):
                found.append(key)
        if settings.get("secure", True) is False and entry.secure:
            found.append("secure")
        location, place = str(settings.get("location", "")), store.place_of("location")
        if settings["protocol"] == "file":
            is_allowed = self.checkout.allows_folder(entry.location, location, place)
        else:
            is_allowed = self.checkout.allows((entry.location,), location, place) or _below(
                location, entry.location
            )
        if not is_allowed:
            found.append("location")
        return sorted(found)

    def _add(self, what: str) -> str:
        return _add(self.file, f"{what} of {self.spec.host}:{self.spec.port} below `{self.list_name}`")


def _below(location: str, allowed: str) -> bool:
    """Whether a prefix of objects is an allowed one or below it; references are no prefixes."""
    if "${" in location or "${" in allowed:
        return False
    steps, wanted = (text.strip("/").split("/") if text.strip("/") else [] for text in (location, allowed))
    return steps[: len(wanted)] == wanted and not {"", ".", ".."} & set(steps)


def _add(file: TrustFile, what: str) -> str:
    # the digest of a short secret that lies in the checkout would give it away
    what = re.sub(rf"{DIGEST}[0-9a-f]{{64}}", f"{DIGEST}…", what)
    return f"if this is intended, the owner of {file.path} adds {what}"
