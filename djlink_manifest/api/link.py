"""The decorator that links a table."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from djlink_manifest.api import runs
from djlink_manifest.api.homes import Decorated
from djlink_manifest.api.linked import linked_class
from djlink_manifest.api.manifests import LinkDeclaration, StoreNames
from djlink_manifest.api.schema import LazySchema
from djlink_manifest.errors import LinkRefused, Location, UsageError
from djlink_manifest.manifest.models.names import identifier_fault
from djlink_manifest.manifest.models.servers import StoreSpec
from djlink_manifest.manifest.text.nodes import Origin
from djlink_manifest.manifest.text.references import LINK_OUTBOUND, has_reference
from djlink_manifest.model.tables.naming import source_of


class LinkDecorator:
    """Decorates a class named as a source table: it becomes the local table that the source's rows come into.

    `local_schema` receives; `source_schema` is a LazySchema with a host. `stores` maps each local store to
    the source store, or stores, whose objects go there. `source_stores` says how the source's stores are
    reached where DataJoint's configuration does not: by name, `default` for the one that `<blob@>` means
    there, settings as DataJoint has them, or the name of a store of that configuration. `outbound` is the
    schema on the source's server for the keys of what is held, else the environment's LINK_OUTBOUND says it.
    `contact` is shown to the owners of held rows.

        @Link(local_schema, source_schema)
        class Session:
            \"\"\"Sessions of the other lab.\"\"\"

    Where the link is new its tables are made on both servers; else they are used as they stand, and the
    source is not asked. Raises UsageError, SecretError where an account is not set, LinkRefused where the
    link cannot be, and Unreachable; nothing is made then.
    """

    def __init__(
        self,
        local_schema: LazySchema,
        source_schema: LazySchema,
        stores: Mapping[str, str | Sequence[str]] | None = None,
        *,
        source_stores: Mapping[str, str | Mapping[str, Any]] | None = None,
        outbound: str | None = None,
        contact: str | None = None,
    ) -> None:
        given: tuple[tuple[Any, str], ...] = ((local_schema, "local"), (source_schema, "source"))
        for each, what in given:
            if not isinstance(each, LazySchema):
                raise UsageError(
                    f"Link requires the {what} schema as a LazySchema, not {type(each).__name__}",
                    hint='use LazySchema("my_schema"), with host="..." for the source',
                )
        if not (source_schema.is_remote or source_schema.has_account):
            raise UsageError(
                f"the source schema `{source_schema.database}` names no host",
                hint=f'LazySchema("{source_schema.database}", host="...")',
            )
        if local_schema.is_remote and not local_schema.has_account:
            raise UsageError(
                f"the local schema `{local_schema.database}` names a host but no account",
                hint="omit `host` to use DataJoint's own connection, or give `user` and `password`",
            )
        if outbound is not None and (fault := identifier_fault(outbound)):
            raise UsageError(f"Link: the outbound schema's name {fault}")
        self.local_schema, self.source_schema = local_schema, source_schema
        self.stores = _stores(stores or {})
        self._source_stores = {} if source_stores is None else _checked(source_stores)
        self.outbound = outbound if outbound is not None else LINK_OUTBOUND
        self.contact = contact

    def __call__(self, cls: type) -> Any:
        """The linked class, with the name, docstring and other members of the decorated one."""
        frame = sys._getframe(1)
        place = Location(frame.f_code.co_filename, frame.f_lineno, 1)
        if getattr(cls, "__bases__", None) != (object,):
            raise UsageError(
                "Link decorates a class without bases, because its definition comes from the source",
                hint=f"class {getattr(cls, '__name__', 'Table')}:",
                location=place,
            )
        source, local = self.source_schema.database, self.local_schema.database
        source_stores = tuple(
            StoreSpec.model_construct(origin=Origin.outside(place, name), settings=settings)
            for name, settings in sorted(self._source_stores.items())
        )
        declaration = LinkDeclaration(
            source, cls.__name__, local, self.stores, location=place, source_stores=source_stores
        )
        home = Decorated(self.local_schema, self.source_schema, declaration, self.outbound, self.contact)
        tables = home.existing()
        if tables is None:
            _check_order(home)
            tables, unlinked = runs.made(home, home.pulling(None))
            _linked_before.append((home, unlinked))
        members = {k: v for k, v in vars(cls).items() if k not in {"__dict__", "__weakref__"}}
        return linked_class(cls.__name__, home, tables, members)


# what was linked anew in this process, and the parents of it that were not linked then
_linked_before: list[tuple[Decorated, frozenset[tuple[str, str]]]] = []


def _check_order(home: Decorated) -> None:
    """LinkRefused where a child of the new link was linked just before it, and has no foreign key to it.

    It is said once: decorating both again, the parent first, adds the foreign key with the next pull.
    """
    for before in list(_linked_before):
        child, unlinked = before
        same = source_of(home.address) == source_of(child.address)
        parents = [place for place in unlinked if home.declaration.names(*place)]
        if same and parents:
            _linked_before.remove(before)
            raise LinkRefused(
                f"{child.address} refers to {home.address}, but was linked before it and without the "
                "foreign key",
                link=home.address,
                location=home.declaration.location,
                hint=f"link the parent first: decorate {home.name}, then {child.name} again",
            )


def _stores(stores: Mapping[str, str | Sequence[str]]) -> StoreNames:
    """Source store and local store, in the core's order, from the API's `{local: source}`."""
    pairs = list[tuple[Any, Any]]()
    for local, named in stores.items():
        pairs += [(named, local)] if isinstance(named, str) else [(each, local) for each in _listed(named)]
    for names in pairs:
        if not all(isinstance(name, str) and name for name in names):
            raise UsageError(
                f"Link: `stores` must map names to names, not {names[1]!r} to {names[0]!r}",
                hint='stores={"local_store": "source_store"}',
            )
    sources = [source_name for source_name, _ in pairs]
    twice = sorted({name for name in sources if sources.count(name) > 1})
    if twice:
        raise UsageError(f"Link: the source store `{twice[0]}` is mapped to two local stores")
    return tuple(sorted(pairs))


def _checked(given: Mapping[Any, Any]) -> dict[str, str | tuple[tuple[str, object], ...]]:
    """The stores of the source by name: settings, with folders from where Python runs, or another name."""
    found = dict[str, str | tuple[tuple[str, object], ...]]()
    for name, store in given.items():
        right = isinstance(store, str) or (isinstance(store, Mapping) and "protocol" in store)
        if not (isinstance(name, str) and name and store and right):
            raise UsageError(
                f"Link: `source_stores` must map names of stores to settings or other names; {name!r} is "
                "invalid",
                hint='source_stores={"default": "raw", "raw": {"protocol": "file", "location": "/mnt/raw"}}',
            )
        if isinstance(store, str):
            found[name] = store
            continue
        settings = dict(store)
        location = str(settings.get("location", ""))
        if settings["protocol"] == "file" and location and not has_reference(location):
            settings["location"] = str(Path(location).expanduser().absolute())
        found[name] = tuple(sorted(settings.items()))
    return found


def _listed(named: Any) -> list[Any]:
    return list(named) if isinstance(named, list | tuple) else [named]
