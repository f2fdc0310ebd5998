"""How pydantic reads the tree of a manifest into models that keep their place in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, cast

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, PlainValidator, model_validator
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import CoreSchema, ValidationError, core_schema

from djlink_manifest.errors import Location
from djlink_manifest.manifest.text.nodes import Fields, Items, Node, Origin, Steps


class Written(dict[str, object]):
    """A mapping of a manifest file as a dict, with its origin."""

    def __init__(self, tree: Fields, path: Steps, node: Fields) -> None:
        super().__init__({key: data(tree, (*path, key), e.value) for key, e in node.entries.items()})
        self.origin = Origin(path, tree)


def data(tree: Fields, path: Steps, node: Node) -> object:
    """Return a node of a tree as dicts, lists and scalars; the dicts know the path that leads to them."""
    if isinstance(node, Fields):
        return Written(tree, path, node)
    if isinstance(node, Items):
        return [data(tree, (*path, index), item) for index, item in enumerate(node.items)]
    return node.value


class Model(BaseModel):
    """The base of all models: frozen, strict, and without keys that are not declared.

    Only files are validated. Values made in Python come from `model_construct` and `model_copy`, which trust
    the caller: the rules for what people write do not bind what servers or DataJoint already have.
    """

    # built once, inside the whole manifest's, and not each by itself at import as well
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)

    own: ClassVar[frozenset[str]] = frozenset()
    """Fields that are not keys of the file: where it has one of these, that is an unknown key."""

    @model_validator(mode="before")
    @classmethod
    def _from_file(cls, value: Any) -> Any:
        if not isinstance(value, Written) or not cls.own:
            return value
        if unknown := sorted(cls.own & value.keys()):
            raise ValidationError.from_exception_data(
                cls.__name__, [{"type": "extra_forbidden", "loc": (key,), "input": None} for key in unknown]
            )
        return {**value, "origin": value.origin} if "origin" in cls.own else dict(value)


class Placed(Model):
    """The base of models that know where in a manifest they stand."""

    own: ClassVar[frozenset[str]] = frozenset({"origin"})

    origin: Annotated[Origin, PlainValidator(lambda value: value), SkipJsonSchema()]

    @property
    def location(self) -> Location:
        """Where it is declared."""
        return self.origin.location

    def place_of(self, key: str) -> Location:
        """Where a key below it stands (`tls.ca` for one further below); its own place where it is not set."""
        return self.origin.below(*key.split(".")).location


@dataclass(frozen=True, slots=True)
class From:
    """Marks a field that holds another type than its key has in the file.

    `written` is the type in the file and in the JSON Schema; `convert` gets the value of that type and the
    origin of the model, and returns what the field holds.
    """

    written: Any
    convert: Callable[[Any, Origin], Any] = lambda value, origin: value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema of the written type, followed by the conversion."""
        return core_schema.with_info_after_validator_function(
            lambda value, info: self.convert(value, cast("Origin", info.data.get("origin"))),
            handler.generate_schema(self.written),
        )


def kind(value: object) -> str | None:
    """The tag of a value that may have several shapes; brackets keep tags apart from keys."""
    kinds = {bool: "[switch]", list: "[list]", str: "[text]"}
    return "[mapping]" if isinstance(value, dict | BaseModel) else kinds.get(type(value))


def pairs(value: Mapping[str, Any], origin: Origin) -> tuple[tuple[str, Any], ...]:
    """Return a mapping as pairs, sorted by key."""
    return tuple(sorted(value.items()))


def sorted_names(value: list[str], origin: Origin) -> tuple[str, ...]:
    """Return the names of a list, sorted, each once."""
    return tuple(sorted(set(value)))
