"""What a trust file says to allow what a manifest asks for, as values and as YAML."""

from __future__ import annotations

from collections.abc import Mapping

from djlink_manifest.errors import Location
from djlink_manifest.manifest.models.servers import LocalSpec, ServerSpec, StoreSpec, TlsSpec
from djlink_manifest.manifest.models.values import SourceSpec
from djlink_manifest.manifest.text.checkout import absolute
from djlink_manifest.manifest.text.references import BadReference, ValueReference, parts
from djlink_manifest.manifest.text.scalars import written
from djlink_manifest.manifest.trust.match import Checkout


def server_entry(spec: ServerSpec, checkout: Checkout) -> dict[str, object]:
    """The entry below `local` or `sources` that allows a server as the manifest has it.

    What is left to DataJoint's configuration is the environment's, as with a trust file nothing else is read.
    """
    if isinstance(spec, LocalSpec):
        spec = spec.by_environment()
    entry = dict[str, object](
        host=text_entry(spec.host, spec.place_of("host"), checkout),
        port=int(spec.port)
        if spec.port.isdigit()
        else text_entry(spec.port, spec.place_of("port"), checkout),
        user=text_entry(spec.user, spec.place_of("user"), checkout),
        password=text_entry(spec.password, spec.place_of("password"), checkout),
    )
    if isinstance(spec.tls, TlsSpec):
        entry["tls"] = {
            key: file_entry(getattr(spec.tls, key), spec.place_of(f"tls.{key}"), checkout)
            for key in ("ca", "cert", "key")
            if getattr(spec.tls, key)
        }
    elif spec.tls is False:
        entry["tls"] = False
    if isinstance(spec, LocalSpec) and spec.identity:
        entry["identity"] = spec.identity
    if isinstance(spec, SourceSpec):
        entry["outbound"] = text_entry(spec.outbound, spec.place_of("outbound"), checkout)
        names = {store.name for store in spec.store_settings}
        stores = [
            store_entry(store, checkout) for store in spec.store_settings if store.settings not in names
        ]
        if stores:
            entry["stores"] = stores
    return entry


def store_entry(store: StoreSpec, checkout: Checkout) -> dict[str, object]:
    """The entry below `stores` that allows a store of a source."""
    if isinstance(store.settings, str):
        return {"configured": store.settings}
    entry = dict[str, object]()
    settings = dict(store.settings)
    for key in ("protocol", *sorted(settings.keys() - {"protocol"})):
        value = settings[key]
        if isinstance(value, str):
            place = store.place_of(key)
            is_folder = key == "location" and settings["protocol"] == "file" and "${" not in value
            value = (
                str(absolute(checkout.path_of(value, place)))
                if is_folder
                else text_entry(value, place, checkout)
            )
        if value != "" and not (key == "secure" and value is True):
            entry[key] = value
    return entry


def text_entry(value: str, place: Location, checkout: Checkout) -> str:
    """A value as a trust file writes it: files by their absolute paths."""
    try:
        pieces = parts(value)
    except BadReference:
        return value
    return "".join(
        piece
        if isinstance(piece, str)
        else f"${{env:{piece.name}}}"
        if piece.kind == "env"
        else f"${{file:{absolute(checkout.path_of(piece.name, place))}}}"
        for piece in pieces
    )


def file_entry(value: str, place: Location, checkout: Checkout) -> str:
    """A file of `tls` as a trust file writes it: its absolute path, or in the checkout its digest."""
    if "${" in value:
        return text_entry(value, place, checkout)
    path = checkout.path_of(value, place)
    return (checkout.digest(path) if checkout.holds(path) else None) or str(absolute(path))


def files_of_checkout(spec: ServerSpec, checkout: Checkout) -> list[str]:
    """The keys whose references name files of the checkout, which no trust file can allow."""
    found = list[str]()
    for key in ("host", "port", "user", "password", "outbound"):
        value = getattr(spec, key, "")
        try:
            pieces = parts(value)
        except BadReference:
            continue
        for piece in pieces:
            is_file = isinstance(piece, ValueReference) and piece.kind == "file"
            if is_file and checkout.holds(checkout.path_of(piece.name, spec.place_of(key))):  # type: ignore[union-attr]  # is_file
                found.append(key)
    return found


def in_line(value: object) -> str:
    """A value as YAML of one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{written(str(key))}: {in_line(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(in_line, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else written(str(value))
