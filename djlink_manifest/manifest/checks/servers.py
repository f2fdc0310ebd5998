"""Servers and references: secrets are never literal, references stand only where they are resolved."""

from __future__ import annotations

import re

from djlink_manifest.manifest.checks.stores import is_store_secret
from djlink_manifest.manifest.models.names import identifier_fault, source_fault
from djlink_manifest.manifest.models.schema_models import ManifestModel, ServerModel, TlsModel
from djlink_manifest.manifest.models.values import Manifest
from djlink_manifest.manifest.text import references
from djlink_manifest.manifest.text.nodes import Fields, Items, Leaf, Node, Steps, dotted, spot_of
from djlink_manifest.manifest.text.problems import Problems, Spot

_SERVER_KEYS = frozenset({"host", "port", "user", "password", "outbound"})
_SHOWN_KEYS = ("host", "port", "user", "outbound")  # in what is printed, or on the server
_SECRET_NAME = re.compile(r"(?:^|_)(?:pass|passwd|password|pwd|pw|secret|token|credentials?)$", re.IGNORECASE)
_TLS_KEYS = frozenset({"ca", "cert", "key"})


def check_servers(manifest: Manifest, whole: ManifestModel, root: Fields, problems: Problems) -> None:
    """Note what is wrong with names, addresses, logins and TLS of the servers, and stray references."""
    _check_server(("local",), whole.local, root, problems)
    for name, source in whole.sources.items():
        steps = ("sources", name)
        if fault := source_fault(name):
            problems.error(f"the source's name {fault}", spot_of(root, steps, key=True), dotted(steps))
        _check_server(steps, source, root, problems)
        if source.outbound and "${" not in source.outbound and (fault := identifier_fault(source.outbound)):
            here = (*steps, "outbound")
            problems.error(f"the outbound schema's name {fault}", spot_of(root, here), dotted(here))
    if not manifest.contact.strip():
        problems.warning(
            "`contact` is missing",
            spot_of(root, ("contact",)),
            "contact",
            "write `contact: you@lab.example`; source owners see it with the rows that you hold",
        )
    _check_references(root, (), problems)
    _check_swapped(whole, root, problems)


def _check_swapped(whole: ManifestModel, root: Fields, problems: Problems) -> None:
    """Note references to passwords where other values are meant, which are shown."""
    servers: list[tuple[Steps, ServerModel]] = [(("local",), whole.local)]
    servers += [(("sources", name), source) for name, source in whole.sources.items()]
    secret = {each for _, server in servers for each in _references(server.password)}
    for steps, server in servers:
        for key in _SHOWN_KEYS:
            for each in _references(str(getattr(server, key, None) or "")):
                if each in secret or (each.kind == "env" and _SECRET_NAME.search(each.name)):
                    here = (*steps, key)
                    problems.error(
                        f"`{key}` refers to a password: `${{{each.kind}:{each.name}}}`",
                        spot_of(root, here),
                        dotted(here),
                        f"refer to the {key} itself: this value is displayed, and a password must not be",
                    )


def _references(text: str) -> list[references.Reference]:
    try:
        return [each for each in references.parts(text) if isinstance(each, references.Reference)]
    except references.BadReference:
        return []


def _check_server(steps: Steps, server: ServerModel, root: Fields, problems: Problems) -> None:
    """`password` is told at its key: the line of its value may be an anchor's, which is not masked."""
    set_keys = server.model_fields_set
    variable = "DJ_PASS" if steps == ("local",) else "LINK_PASS"
    if (
        "password" in set_keys
        and not references.only_references(server.password)
        and not _broken(server.password)
    ):
        problems.conceal(spot_of(root, (*steps, "password")))  # where it stands, be it an anchor's line
        problems.error(
            "the manifest contains a password" if server.password else "`password` is empty",
            spot_of(root, (*steps, "password"), key=True),
            dotted((*steps, "password")),
            f"write `password: ${{env:{variable}}}` and set the variable; if this was committed, change the "
            "password",
        )
    for key in ("host", "user"):
        if key in set_keys and not getattr(server, key).strip():
            problems.error(f"`{key}` is empty", spot_of(root, (*steps, key), key=True), dotted((*steps, key)))
    _check_host(steps, server, root, problems)
    if isinstance(server.tls, TlsModel):
        _check_tls(steps, server.tls, root, problems)


def _check_host(steps: Steps, server: ServerModel, root: Fields, problems: Problems) -> None:
    here = (*steps, "host")
    if "://" in server.host or "@" in server.host:
        problems.conceal(spot_of(root, here))
        help = "write only the host name; use the keys `port`, `user` and `password` for the rest"
        problems.error(
            "`host` is a URL or contains a login", spot_of(root, here, key=True), dotted(here), help
        )
    elif "${" in server.host or not server.host.strip():
        return
    elif re.fullmatch(r"[^:\[\]]+:\d+", server.host):
        host, _, port = server.host.partition(":")
        problems.error(
            "`host` contains a port",
            spot_of(root, here),
            dotted(here),
            f"write `host: {host}` and `port: {port}`",
        )
    elif re.search(r"[\s/\\`'\"]", server.host):
        problems.error("`host` is not a host name or address", spot_of(root, here), dotted(here))


def _check_tls(steps: Steps, tls: TlsModel, root: Fields, problems: Problems) -> None:
    here = (*steps, "tls")
    if problems.any_error_at(dotted(here)):
        return  # what does not fit was taken out
    if not (tls.ca or tls.cert or tls.key):
        help = "write `tls: true` to verify with the system's certificate authorities"
        problems.error("`tls` does not name a file", spot_of(root, here, key=True), dotted(here), help)
    elif bool(tls.cert) != bool(tls.key):
        there, missing = ("cert", "key") if tls.cert else ("key", "cert")
        problems.error(
            f"`tls` has `{there}` without `{missing}`",
            spot_of(root, (*here, there), key=True),
            dotted((*here, there)),
            "give the client certificate and its key together",
        )


def _check_references(node: Node, steps: Steps, problems: Problems) -> None:
    """Note references that are misspelt, or that stand where nothing resolves them."""
    if isinstance(node, Fields):
        for key, entry in node.entries.items():
            here = (*steps, key)
            if references.has_reference(key):
                problems.error(
                    "a reference cannot be a key", entry.spot, dotted(steps), "write the name itself"
                )
            if isinstance(entry.value, Leaf):
                concealed = key == "password" or is_store_secret(here)
                _check_text(entry.value, entry.spot if concealed else entry.value.spot, here, problems)
            else:
                _check_references(entry.value, here, problems)
    elif isinstance(node, Items):
        for index, item in enumerate(node.items):
            if isinstance(item, Leaf):
                _check_text(item, item.spot, (*steps, index), problems)
            else:
                _check_references(item, (*steps, index), problems)


def _check_text(leaf: Leaf, spot: Spot, steps: Steps, problems: Problems) -> None:
    if not isinstance(leaf.value, str) or "${" not in leaf.value:
        return
    if _resolved(steps):
        if _broken(leaf.value):
            help = "a reference is `${env:NAME}` or `${file:path}`"
            problems.error("a reference is misspelled", spot, dotted(steps), help)
    elif references.has_reference(leaf.value):
        problems.error(
            "references are not resolved here",
            spot,
            dotted(steps),
            "references work in host, port, user, password, tls, outbound and store_settings",
        )


def _resolved(steps: Steps) -> bool:
    """Whether the value at a place is one in which references are resolved."""
    match steps:
        case ("local", "tls", key) | ("sources", _, "tls", key):
            return key in _TLS_KEYS
        case ("sources", _, "store_settings", _, _):
            return True
        case ("local", key) | ("sources", _, key):
            return key in _SERVER_KEYS
    return False


def _broken(text: str) -> bool:
    try:
        references.parts(text)
    except references.BadReference:
        return True
    return False
