"""The format of a trust file: the servers, references, files and stores that a manifest may use."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Discriminator, Field, PlainValidator, Tag, WithJsonSchema

from djlink_manifest.manifest.models.fields import MarkName, Port, Version, problem
from djlink_manifest.manifest.models.written import From, Model, kind
from djlink_manifest.manifest.text.references import BadReference, ValueReference, only_references, parts

DIGEST = "sha256:"

_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")
_TEXTS = {"anyOf": [{"type": "string"}, {"type": "array", "minItems": 1, "items": {"type": "string"}}]}


def _one_or_more(check: Callable[[str], None]) -> Callable[[object], tuple[str, ...]]:
    """Return what reads a text, or a list of texts, as a tuple of checked texts."""

    def read(value: object) -> tuple[str, ...]:
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not texts or not all(isinstance(t, str) and t for t in texts):
            raise problem("must be text, or a list of texts")
        for text in texts:
            check(text)
        return tuple(texts)

    return read


def _one(check: Callable[[str], None]) -> Callable[[object], str]:
    """Return what reads a checked text."""

    def read(value: object) -> str:
        if not isinstance(value, str) or not value:
            raise problem("must be text")
        check(value)
        return value

    return read


def _check_text(text: str) -> None:
    try:
        found = parts(text)
    except BadReference as bad:
        raise problem(str(bad)) from None
    for part in found:
        if isinstance(part, ValueReference) and part.kind == "file" and not is_absolute(part.name):
            raise problem("must name files by absolute paths, such as `${file:/run/secrets/link}`")


def _check_reference(text: str) -> None:
    _check_text(text)
    if not only_references(text):
        raise problem("must be a reference, `${env:NAME}` or `${file:/path}`")


def _check_file(text: str) -> None:
    if text.startswith(DIGEST):
        if not _SHA256.fullmatch(text):
            raise problem("must be `sha256:` and 64 hex digits, where it is a digest")
        return
    _check_text(text)
    if "${" not in text and not is_absolute(text):
        raise problem("must be an absolute path, or the digest of a file in the checkout, `sha256:…`")


def is_absolute(path: str) -> bool:
    """Whether a path means the same wherever the file that names it lies."""
    return path.startswith(("/", "~/"))


_Text = Annotated[Any, PlainValidator(_one(_check_text)), WithJsonSchema({"type": "string", "minLength": 1})]
_Texts = Annotated[Any, PlainValidator(_one_or_more(_check_text)), WithJsonSchema(_TEXTS)]
_References = Annotated[Any, PlainValidator(_one_or_more(_check_reference)), WithJsonSchema(_TEXTS)]
_Files = Annotated[Any, PlainValidator(_one_or_more(_check_file)), WithJsonSchema(_TEXTS)]

_PASSWORD = (
    "The references to the password: `${env:NAME}`, `${file:/path}`, or `${file:/folder/}` for all files "
    "below a folder."
)
_FILE = "An absolute path, a folder that ends in `/`, or the digest of a file in the checkout (`sha256:…`)."


class TrustedTls(Model):
    """The PEM files that `tls` of a server may name."""

    ca: _Files = Field((), description=_FILE, examples=["/etc/djlink/ourlab.pem"])
    cert: _Files = Field((), description=_FILE)
    key: _Files = Field((), description=_FILE)


class TrustedServer(Model):
    """A server that a manifest may connect to, and what it may log in with there.

    A text stands for itself: `host: ${env:DB}` allows that reference, and no other way to write the host.
    """

    host: _Text = Field(description="The host as the manifest writes it.", examples=["db.ourlab.example"])
    port: Port = Field("3306", description="The port as the manifest writes it.", examples=[3306])
    user: _Texts = Field(description="The accounts, or references to them.", examples=["${env:LINK_USER}"])
    password: _References = Field(
        description=_PASSWORD, examples=["${env:LINK_PASS}", "${file:/run/secrets/}"], repr=False
    )
    tls: Annotated[
        bool | TrustedTls | None,
        From(
            Annotated[
                Annotated[bool, Tag("[switch]")] | Annotated[TrustedTls, Tag("[mapping]")],
                Discriminator(kind),
            ]
        ),
    ] = Field(
        None,
        description="The files that `tls` may name; false: also a connection without TLS. Default: TLS, "
        "verified with the system's certificate authorities, except on a loopback host.",
    )


class TrustedLocal(TrustedServer):
    """A server that may receive the rows."""

    identity: Annotated[str | None, From(MarkName)] = Field(
        None, description="The `identity` that the manifest may state for it."
    )


class TrustedStore(Model):
    """A store that a source may keep its external objects in: keys as in `store_settings`, or a name."""

    configured: str = Field("", description="The name of a store of DataJoint's configuration, alone.")
    protocol: str = Field("", description="file, s3, gcs or azure.")
    location: str = Field(
        "", description="The folder (an absolute path) or prefix; what is below it is allowed too."
    )
    endpoint: str = Field("", description="Host and port of the S3 service.")
    bucket: str = Field("", description="The bucket.")
    container: str = Field("", description="The container.")
    secure: bool = Field(True, description="false: also without HTTPS.")
    access_key: str = Field("", description="The reference.")
    secret_key: str = Field("", description="The reference.")
    token: str = Field("", description="The reference.")
    project: str = Field("", description="The project.")
    account_name: str = Field("", description="The account.")
    account_key: str = Field("", description="The reference.")
    connection_string: str = Field("", description="The reference.")
    schema_prefix: str = Field("", description="The section of objects by schema and table.")


class TrustedSource(TrustedServer):
    """A server that tables may come from."""

    outbound: _Texts = Field(
        description="The names of the outbound schema, or references to them.", examples=["ourlab_outbound"]
    )
    stores: list[TrustedStore] = Field(
        default_factory=list, description="The stores that `store_settings` may describe or name."
    )


class Trust(Model):
    """What manifests may use that nobody has reviewed yet. `djlink trust` writes one."""

    trust: Version = Field(description="The version of this format.")
    manifests: list[MarkName] = Field(
        min_length=1, description="The `name`s that a manifest may have.", examples=[["hippocampus-atlas"]]
    )
    local: list[TrustedLocal] = Field(min_length=1, description="The servers that may receive rows.")
    sources: list[TrustedSource] = Field(
        default_factory=list, description="The servers that tables may come from."
    )
