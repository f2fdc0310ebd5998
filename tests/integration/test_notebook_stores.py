# mypy: allow-subclassing-any
# DataJoint ships no types, so its table classes are Any to the type checker.
"""External files in a notebook: `Link(stores=...)` over DataJoint's own configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from djlink_manifest import Link
from djlink_manifest.errors import LinkRefused, UsageError
from tests.support.notebooks import Notebook, notebook

__all__ = ["notebook"]


def linked(link: Link, name: str) -> Any:
    """The class of a linked table."""
    return link(type(name, (), {}))


def declare(notebook: Notebook, stores: dict[str, Any]) -> None:
    """Tables of the source with values in its store, and in its default store, which is the same."""
    import datajoint as dj

    # DataJoint asks for the store '' where `<blob@>` means the default one
    notebook.owner._config.stores = {**stores, "default": "theirs", "": stores["theirs"]}
    schema = dj.Schema(notebook.rig.names("lab"), connection=notebook.owner)

    @schema
    class Image(dj.Manual):
        definition = """
        image : int32
        ---
        pixels : <blob@theirs>
        """

    @schema
    class Mask(dj.Manual):
        definition = """
        -> Image
        ---
        bits : <blob@theirs>
        """

    @schema
    class Photo(dj.Manual):
        definition = """
        photo : int32
        ---
        pixels : <blob@>
        """

    Image.insert1({"image": 1, "pixels": {"a": [1, 2]}})
    Mask.insert1({"image": 1, "bits": {"b": [3]}})
    Photo.insert1({"photo": 1, "pixels": {"c": [4]}})


def test_external_values_come_into_the_stores_that_link_names(notebook: Notebook, tmp_path: Path) -> None:
    import datajoint as dj

    places = {name: str(tmp_path / name) for name in ("theirs", "ours")}
    for place in places.values():
        Path(place).mkdir()
    stores: dict[str, Any] = {name: {"protocol": "file", "location": place} for name, place in places.items()}
    declare(notebook, stores)
    local, source = notebook.local_schema, notebook.source_schema
    with dj.config.override(stores=stores):
        with pytest.raises(LinkRefused, match="the store `theirs`") as caught:
            notebook.link("Image")
        assert str(caught.value.hint).startswith('give Link stores={"<local store>": "theirs"}; ')
        with pytest.raises(LinkRefused, match="has no store `our`") as caught:
            linked(Link(local, source, stores={"our": "theirs"}), "Image")
        assert caught.value.hint == "did you mean `ours`?"
        link = Link(local, source, stores={"ours": "theirs"})
        image, mask = linked(link, "Image"), linked(link, "Mask")
        assert image().pull(display_progress=False).entities == 1
        assert mask().pull(display_progress=False).entities == 1
        assert len(list(Path(places["ours"]).rglob("*"))) > 2
        assert image().fetch1("pixels") == {"a": [1, 2]}
        assert image().source.fetch1("pixels") == {"a": [1, 2]}
        assert mask().fetch1("bits") == {"b": [3]}
        inline = Link(local, source, stores={"inline": ["theirs"]})
        assert inline.stores == (("theirs", "inline"),)


def test_the_stores_of_a_source_can_be_named_its_default_one_too(notebook: Notebook, tmp_path: Path) -> None:
    import datajoint as dj

    local_side, source_side = tmp_path / "ours", tmp_path / "theirs"
    local_side.mkdir()
    source_side.mkdir()
    source_rows = {"protocol": "file", "location": str(source_side)}
    declare(notebook, {"theirs": source_rows})
    local, source = notebook.local_schema, notebook.source_schema
    to = {"ours": ["default", "theirs"]}
    with dj.config.override(stores={"ours": {"protocol": "file", "location": str(local_side)}}):
        with pytest.raises(LinkRefused, match=r"how to reach the default store of") as caught:
            linked(Link(local, source, stores=to), "Photo")
        assert str(caught.value.hint).startswith('give Link source_stores={"default": {')
        assert notebook.rig.run("local", f"SHOW DATABASES LIKE '{notebook.local}'") == []
        wrong: list[tuple[Any, str]] = [
            ({"default": {"location": "/x"}}, "'default' is invalid"),
            ({"default": 1}, "'default' is invalid"),
            ({"": "theirs"}, "'' is invalid"),
        ]
        for given, words in wrong:
            with pytest.raises(UsageError, match=words):
                Link(local, source, stores=to, source_stores=given)
        for given, words in (
            ({"default": "thiers"}, "has no store `thiers`"),
            ({"default": {"protocol": "s3", "bucket": "b"}}, "not set up correctly"),
        ):
            with pytest.raises(LinkRefused, match=words):
                linked(Link(local, source, stores=to, source_stores=given), "Photo")
        photo = linked(
            Link(local, source, stores=to, source_stores={"default": "theirs", "theirs": source_rows}),
            "Photo",
        )
        assert photo().pull(display_progress=False).entities == 1
        assert photo().fetch1("pixels") == {"c": [4]}
        assert photo().source.fetch1("pixels") == {"c": [4]}
        # a link beside it knows what was said of the source's stores
        image = linked(Link(local, source, stores=to), "Image")
        assert image().pull(display_progress=False).entities == 1
        assert image().source.fetch1("pixels") == {"a": [1, 2]}
        assert image().unlink("drop")
        assert photo().unlink("drop")


def test_a_default_store_of_the_source_is_given_with_settings_of_its_own(
    notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datajoint as dj

    (tmp_path / "theirs").mkdir()
    (tmp_path / "ours").mkdir()
    declare(notebook, {"theirs": {"protocol": "file", "location": str(tmp_path / "theirs")}})
    monkeypatch.chdir(tmp_path)
    link = Link(
        notebook.local_schema,
        notebook.source_schema,
        stores={"default": "default"},
        source_stores={"default": {"protocol": "file", "location": "theirs"}},
    )
    monkeypatch.chdir(tmp_path.parent)
    local_store = {"ours": {"protocol": "file", "location": str(tmp_path / "ours")}, "default": "ours"}
    with dj.config.override(stores=local_store):
        photo = linked(link, "Photo")
        assert photo().pull(display_progress=False).entities == 1
        assert photo().fetch1("pixels") == photo().source.fetch1("pixels") == {"c": [4]}
