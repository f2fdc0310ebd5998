"""The stores of external values: by name, with what is needed to open them, or why they cannot be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

DEFAULT = "default"  # the store that `<blob@>` means
INLINE = "inline"  # as a target: the value stands in the row
ANY = "*"  # in a mapping: every store that is not named
SECRETS = ("access_key", "secret_key", "token", "account_key", "connection_string")


@dataclass(frozen=True, slots=True)
class Store:
    """A store by its name in DataJoint's configuration or in the manifest, with its settings.

    The settings hold secrets: they are never shown, and `where` says without them what the store is.
    """

    name: str
    settings: Mapping[str, Any] = field(repr=False)

    @property
    def where(self) -> str:
        """What the store is, for messages: protocol and place."""
        keys = ("endpoint", "bucket", "container", "location")
        places = "/".join(str(self.settings[key]) for key in keys if self.settings.get(key))
        return f"{self.settings.get('protocol')}, {places}"

    @property
    def place(self) -> tuple[str, ...]:
        """What tells the store apart from others, as far as settings tell."""
        keys = ("protocol", "endpoint", "bucket", "container", "account_name", "location")
        return tuple(str(self.settings.get(key) or "").rstrip("/") for key in keys)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The settings that no message may show."""
        return tuple(str(self.settings[key]) for key in SECRETS if self.settings.get(key))

    def prefix(self, section: str) -> str:
        """The section's prefix (`hash`, `schema`, `filepath`), without slashes; empty where there is none."""
        return str(self.settings.get(f"{section}_prefix") or "").strip("/")


@dataclass(frozen=True, slots=True)
class NoStore:
    """Why a store cannot be used, and the next step."""

    reason: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Stores:
    """The stores known here: those of DataJoint's configuration, and what the manifest says of the sources'.

    `given` holds, by source, a store's settings or the name of another store.
    """

    configured: Mapping[str, Store | NoStore] = field(default_factory=dict)
    default: str | None = None
    given: Mapping[str, Mapping[str, Store | NoStore | str]] = field(default_factory=dict)

    def of_source(self, source: str, name: str) -> Store | NoStore:
        """The store that a column or row of a source calls so."""
        of_manifest = self.given.get(source, {})
        found: Store | NoStore | str | None = of_manifest.get(name)
        if isinstance(found, str):
            found = of_manifest.get(found) or self.configured.get(found) or _unknown(found, self)
        elif found is None and name != DEFAULT:
            found = self.configured.get(name)
        if isinstance(found, Store | NoStore):
            return found
        what = f"the default store of {source}" if name == DEFAULT else f"the store `{name}` of {source}"
        return NoStore(
            f"no settings say how to reach {what}",
            f"below `sources.{source}.store_settings` write `{name}:` with its protocol and location, "
            "or the name of a store of DataJoint's configuration",
        )

    def local(self, name: str) -> Store | NoStore:
        """The local store of that name; `default` is the lab's default store."""
        if name == DEFAULT and self.default is None:
            return NoStore(
                "DataJoint's configuration names no default store",
                "set `stores.default` there, or name a store in `stores`",
            )
        wanted = self.default if name == DEFAULT and self.default else name
        return self.configured.get(wanted) or _unknown(wanted, self)


def _unknown(name: str, stores: Stores) -> NoStore:
    close = get_close_matches(name, stores.configured, 1)
    known = ", ".join(f"`{each}`" for each in sorted(stores.configured))
    return NoStore(
        f"DataJoint's configuration has no store `{name}`",
        f"did you mean `{close[0]}`?"
        if close
        else f"it has {known}"
        if known
        else "set `stores` there (datajoint.json, DJ_STORES), or name another store in the manifest",
    )
