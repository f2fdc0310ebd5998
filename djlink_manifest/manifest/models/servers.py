"""How servers and stores are reached, as a manifest says it. See `values` for the whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Discriminator, Field, PlainValidator, Tag
from pydantic.json_schema import SkipJsonSchema

from djlink_manifest.manifest.models.fields import MarkName, Port
from djlink_manifest.manifest.models.written import From, Model, Placed, kind
from djlink_manifest.manifest.text.nodes import Origin
from djlink_manifest.manifest.text.references import LOCAL_PASS, LOCAL_USER

USER = "The account. Default: `${env:DJ_USER}` at local, `${env:LINK_USER}` at a source."
PASSWORD = (
    "A reference to the password, never the password itself. Default: `${env:DJ_PASS}` at local, "
    "`${env:LINK_PASS}` at a source."
)
PASSWORDS = ["${env:LINK_PASS}", "${file:/run/secrets/link}"]


class TlsSpec(Model):
    """PEM files for an encrypted and verified connection; relative paths start from this file's folder."""

    ca: str = Field(
        "",
        description="The certificate authority that signed the server's certificate.",
        examples=["certs/lab.pem"],
    )
    cert: str = Field("", description="The certificate that identifies djlink to the server.")
    key: str = Field("", description="The private key of `cert`.")


class ServerSpec(Placed):
    """How a server is reached. Every value may be, or hold, `${env:NAME}` or `${file:path}`."""

    host: str = Field(description="Host name or address, without the port.", examples=["db.ourlab.example"])
    port: Port = Field("3306", description="The port.", examples=[3306])
    user: str = Field(LOCAL_USER, description=USER)
    password: str = Field(LOCAL_PASS, description=PASSWORD, examples=PASSWORDS, repr=False)
    tls: Annotated[
        bool | TlsSpec | None,
        From(
            Annotated[
                Annotated[bool, Tag("[switch]")] | Annotated[TlsSpec, Tag("[mapping]")], Discriminator(kind)
            ]
        ),
    ] = Field(
        None,
        description="true: encrypted, verified with the system's certificate authorities. false: not "
        "encrypted. A mapping: encrypted, verified with these files. Default: false for a loopback host, "
        "otherwise true.",
        examples=[True, {"ca": "certs/lab.pem"}],
    )

    @property
    def name(self) -> str:
        """`local`, or the source's name."""
        return self.origin.name


class LocalSpec(ServerSpec):
    """The server that receives the rows.

    `without_files`: DataJoint's configuration is taken from the environment alone.
    """

    own: ClassVar[frozenset[str]] = frozenset({"origin", "without_files"})

    identity: Annotated[str | None, From(MarkName)] = Field(
        None,
        description="A name by which the marks know this server, in place of its host name, port, data "
        "directory and uuid: for a server that moves on purpose, as a container does that is made anew.",
        examples=["ourlab-db"],
    )
    datajoint: bool = Field(
        False,
        description="true: what is not written here (host, port, user, password, tls) is as DataJoint's "
        "configuration says: DJ_* variables, datajoint.json, .secrets. `local: datajoint` is the short form.",
    )
    without_files: Annotated[bool, PlainValidator(lambda value: value), SkipJsonSchema()] = False

    def by_environment(self) -> LocalSpec:
        """Return the server with nothing left to DataJoint's files: only the environment is asked."""
        if not self.datajoint:
            return self
        return self.model_copy(update={"host": self.host or "${env:DJ_HOST}", "without_files": True})

    @staticmethod
    def at(server: ServerSpec) -> LocalSpec:
        """Return a local server that no manifest file declares."""
        made: LocalSpec = LocalSpec.model_construct(**dict(server))
        return made


class StoreSettings(Model):
    """How a store of a source is reached. Every text may be, or hold, `${env:NAME}` or `${file:path}`."""

    protocol: str = Field(description="file, s3, gcs or azure.", examples=["s3"])
    location: str = Field(
        "",
        description="The folder, or the prefix in the bucket. Relative folders are relative to this file.",
        examples=["/mnt/princeton/raw"],
    )
    endpoint: str = Field(
        "", description="Host and port of the S3 service.", examples=["s3.princeton.example"]
    )
    bucket: str = Field("", description="The bucket (s3, gcs).")
    container: str = Field("", description="The container (azure).")
    secure: bool = Field(True, description="Whether to use HTTPS for the S3 service.")
    access_key: str = Field("", description="A reference (s3).", examples=["${env:PRINCETON_KEY}"])
    secret_key: str = Field("", description="A reference (s3).", examples=["${file:/run/secrets/s3}"])
    token: str = Field("", description="A reference (gcs).")
    project: str = Field("", description="The project (gcs).")
    account_name: str = Field("", description="The account (azure).")
    account_key: str = Field("", description="A reference (azure).")
    connection_string: str = Field("", description="A reference (azure).")
    schema_prefix: str = Field(
        "", description="The section of objects by schema and table, if it is not `_schema`."
    )


class StoreSpec(Placed):
    """A store of a source: its settings as given, which may hold references, or another store's name."""

    settings: tuple[tuple[str, object], ...] | str = Field(repr=False)

    @property
    def name(self) -> str:
        """The name that the source's tables use."""
        return self.origin.name


def store_specs(value: Mapping[str, StoreSettings | str], origin: Origin) -> tuple[StoreSpec, ...]:
    """Return the stores of a source by name; `origin` is the source's."""
    return tuple(
        StoreSpec.model_construct(
            origin=origin.below("store_settings", name),
            settings=given
            if isinstance(given, str)
            else tuple((key, getattr(given, key)) for key in sorted(given.model_fields_set)),
        )
        for name, given in sorted(value.items())
    )
