"""The one place that resolves references to secrets. No message here holds a resolved value."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from djlink_manifest.errors import Location, SecretError
from djlink_manifest.manifest.models.datajoint_config import (
    VARIABLES,
    ConfigFault,
    Key,
    Setting,
    is_encrypted,
    settings_of,
)
from djlink_manifest.manifest.models.names import identifier_fault
from djlink_manifest.manifest.text.references import BadReference, ValueReference, has_reference, parts
from djlink_manifest.model.server.address import Secret, ServerAddress, Tls, is_loopback
from djlink_manifest.model.stores.store import Store

if TYPE_CHECKING:  # the owner's commands name a server without a manifest, and do not wait for pydantic
    from djlink_manifest.manifest.models.servers import LocalSpec, TlsSpec
    from djlink_manifest.manifest.models.values import SourceSpec

_MAX_FILE = 65_536


class NamedServer(Protocol):
    """A server that a manifest or a command line names; its texts may hold references."""

    @property
    def name(self) -> str:
        """What errors call it."""

    @property
    def host(self) -> str:
        """The host's name or address."""

    @property
    def port(self) -> str:
        """The port."""

    @property
    def user(self) -> str:
        """The account."""

    @property
    def password(self) -> str:
        """The reference to the password."""

    @property
    def tls(self) -> bool | Tls | TlsSpec | None:
        """Whether the connection is encrypted and verified, and by which files; None where it is not said."""

    def place_of(self, key: str) -> Location:
        """Where a key is set; relative files start from the folder of that file."""


_Server = TypeVar("_Server", bound=NamedServer)


def resolve_server(spec: NamedServer, environ: Mapping[str, str]) -> ServerAddress:
    """The address of a server with every reference resolved.

    Where the manifest does not say `tls`, a loopback host is reached plainly and any other one encrypted and
    verified; what is left to DataJoint's configuration is as that says. Raises SecretError, which names the
    variable or file, the line and the server, never a value.
    """

    spec, password = from_datajoint(spec, environ)

    def text(value: str, key: str) -> str:
        place = spec.place_of(key)
        return resolve_text(value, environ, place, f"`{key}` of server `{spec.name}`", spec.name)

    host = text(spec.host, "host").strip()
    port = text(spec.port, "port").strip()
    if not host or "/" in host or any(c.isspace() for c in host):
        raise _error(
            spec,
            "host",
            "`host` does not resolve to a host name",
            "write a host name or address without a port",
        )
    if not (port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 65536):
        raise _error(spec, "port", "`port` does not resolve to a number from 1 to 65535", None)
    user = text(spec.user, "user")
    written = ((host, spec.host), (user, spec.user))
    return ServerAddress(
        name=spec.name,
        host=host,
        port=int(port),
        user=user,
        password=Secret(text(spec.password, "password") if password is None else password),
        tls=_tls(spec, host, environ),
        written=tuple((value, as_said) for value, as_said in written if has_reference(as_said)),
    )


def from_datajoint(
    spec: _Server, environ: Mapping[str, str], *, with_password: bool = True
) -> tuple[_Server, str | None]:
    """Return a server with what it leaves to DataJoint's configuration, and the password from there.

    The password is None where the manifest names it. Raises SecretError at the manifest's line.
    """
    local = cast("LocalSpec", spec)
    if not getattr(spec, "datajoint", False):
        return spec, None
    try:
        found = left_to_datajoint(local, environ, with_password=with_password)
        changes: dict[str, object] = {
            key: _literal(found[key]) for key in ("host", "port", "user") if key in found
        }
        if "use_tls" in found:
            changes["tls"] = is_encrypted(found["use_tls"])
    except ConfigFault as fault:
        raise _error(local, "datajoint", f"DataJoint's configuration: {fault.message}", fault.hint) from None
    if not local.host and "host" not in found:
        changes["host"] = "localhost"  # as DataJoint has it
    password = found.get("password")
    return cast("_Server", local.model_copy(update=changes)), password.value if password else None


def left_to_datajoint(
    spec: LocalSpec, environ: Mapping[str, str], *, with_password: bool = True
) -> dict[Key, Setting]:
    """Return the settings that a server takes from DataJoint's configuration. Raises ConfigFault."""
    found = settings_of(environ, Path.cwd(), with_files=not spec.without_files, with_password=with_password)
    written = {"use_tls" if key == "tls" else key for key in spec.model_fields_set}
    if not spec.host:
        written.discard("host")
    needed: tuple[Key, ...] = ("user", "password") if with_password else ("user",)
    for key in needed:
        if key not in written and key not in found:
            where = (
                ""
                if spec.without_files
                else f", or write it to .secrets/database.{key} beside datajoint.json"
            )
            raise ConfigFault(f"it has no `database.{key}`", f"set {VARIABLES[key]}{where}")
    return {key: setting for key, setting in found.items() if key not in written}


def datajoint_origins(spec: LocalSpec, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield one sentence on where the settings are from that a server leaves to DataJoint's configuration.

    Yields nothing where there are none, or the configuration cannot be used: using it says why.
    """
    if not spec.datajoint:
        return
    with suppress(ConfigFault):
        by_origin: dict[str, list[str]] = {}
        for key, setting in left_to_datajoint(spec, environ).items():
            by_origin.setdefault(setting.origin, []).append("tls" if key == "use_tls" else key)
        told = (f"{' and '.join(keys)} from {origin}" for origin, keys in sorted(by_origin.items()))
        yield f"{spec.name}: DataJoint's configuration: {', '.join(told)}"


def _literal(setting: Setting) -> str:
    """Return a value that is used as it stands: a file beside the manifest refers to no secret."""
    if setting.is_variable:
        return f"${{env:{setting.origin}}}"
    if "${" in setting.value:
        raise ConfigFault(f"{setting.origin}: a value holds `${{`", "write the value itself there")
    return setting.value


def resolve_outbound(source: SourceSpec, environ: Mapping[str, str]) -> str:
    """The name of a source's outbound schema. Raises SecretError."""
    place = source.place_of("outbound")
    what = f"`outbound` of server `{source.name}`"
    name = resolve_text(source.outbound, environ, place, what, source.name)
    if fault := identifier_fault(name):
        raise _error(source, "outbound", f"the outbound schema's name {fault}", None)
    if has_reference(source.outbound) and name == _password(source, environ):
        words = (
            "`outbound` and `password` resolve to the same value, but the name of a schema is not a secret"
        )
        raise _error(source, "outbound", words, "set the variable that `outbound` refers to")
    return name


def _password(spec: NamedServer, environ: Mapping[str, str]) -> str | None:
    """The password, None where it cannot be had, which is told when the server is opened."""
    place = spec.place_of("password")
    try:
        return resolve_text(spec.password, environ, place, "`password`", spec.name)
    except SecretError:
        return None


def resolve_stores(source: SourceSpec, environ: Mapping[str, str]) -> Mapping[str, Store | str]:
    """The settings of a source's stores with every reference resolved, or the names of other stores.

    Raises SecretError.
    """
    found = dict[str, Store | str]()
    for spec in source.store_settings:
        if isinstance(spec.settings, str):
            found[spec.name] = spec.settings
            continue
        settings = dict[str, object]()
        for key, value in spec.settings:
            place, what = spec.place_of(key), f"`{key}` of the store `{spec.name}` of `{source.name}`"
            if isinstance(value, str):
                value = resolve_text(value, environ, place, what, source.name)
            settings[key] = value
        if settings.get("protocol") == "file":
            place = spec.place_of("location")
            location = str(settings.get("location", ""))
            settings["location"] = str(file_at(location, folder_of(place), environ.get("HOME")))
        found[spec.name] = Store(spec.name, settings)
    return found


def resolve_text(
    text: str,
    environ: Mapping[str, str],
    location: Location,
    what: str,
    server: str | None = None,
) -> str:
    """Return the text of a place with its references replaced; `what` names it in errors.

    Relative files start from the folder of the file that holds it.
    A file's one trailing newline is not part of it. Raises SecretError where a variable is unset or empty, a
    file cannot be read or is empty, or a reference is misspelt.
    """
    try:
        return "".join(
            p if isinstance(p, str) else _resolved(p, folder_of(location), environ) for p in parts(text)
        )
    except BadReference as bad:
        raise SecretError(f"{what}: {bad}", server=server, location=location) from None
    except _Unresolved as fault:
        raise SecretError(
            f"{what}: {fault.message}", hint=fault.hint, server=server, location=location
        ) from None


def folder_of(location: Location) -> str:
    """The folder of the file that a place is in, as an absolute path; of one in a git revision, where it is
    in the work tree."""
    name = re.sub(r"\Agit:[^:]*:", "", location.file)
    return str(Path(name).absolute().parent)


def file_at(name: str, folder: str, home: str | None) -> Path:
    """The path of a file that a value names, relative to the folder of the manifest file that holds it."""
    if name.startswith("~/") and home:
        return Path(home, name[2:])
    return Path(folder, name)


class _Unresolved(Exception):
    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


def _resolved(reference: ValueReference, folder: str, environ: Mapping[str, str]) -> str:
    if reference.kind == "env":
        if value := environ.get(reference.name):
            return value
        state = "empty" if reference.name in environ else "not set"
        raise _Unresolved(
            f"the environment variable {reference.name} is {state}", f"export {reference.name}=..."
        )
    path = file_at(reference.name, folder, environ.get("HOME"))
    hint = "write the value to that file, readable only by you"
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not a path"
        raise _Unresolved(f"the file {path} cannot be read: {reason}", hint) from None
    if len(content) > _MAX_FILE:
        raise _Unresolved(f"the file {path} is larger than {_MAX_FILE} bytes", "is it the right file?")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise _Unresolved(f"the file {path} is not UTF-8 text", hint) from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise _Unresolved(f"the file {path} is empty", hint)
    return text


def _tls(spec: NamedServer, host: str, environ: Mapping[str, str]) -> Tls | None:
    if spec.tls is None or isinstance(spec.tls, bool):
        wanted = not is_loopback(host) if spec.tls is None else spec.tls
        return Tls() if wanted else None
    return Tls(*(_pem(spec, key, environ) for key in ("ca", "cert", "key")))


def _pem(spec: NamedServer, key: str, environ: Mapping[str, str]) -> str | None:
    written = getattr(spec.tls, key)
    if not written:
        return None
    place, what = spec.place_of(f"tls.{key}"), f"`tls.{key}` of server `{spec.name}`"
    name = resolve_text(written, environ, place, what, spec.name)
    path = file_at(name, folder_of(place), environ.get("HOME"))
    if not path.is_file():
        raise _error(
            spec,
            f"tls.{key}",
            f"`tls.{key}`: there is no file {path}",
            "relative paths are relative to the manifest",
        )
    return str(path)


def _error(spec: NamedServer, key: str, message: str, hint: str | None) -> SecretError:
    return SecretError(
        f"server `{spec.name}`: {message}", hint=hint, server=spec.name, location=spec.place_of(key)
    )
