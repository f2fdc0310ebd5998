# mypy: allow-subclassing-any
# DataJoint ships no types, so its table classes are Any to the type checker.
"""External files in a notebook: `Link(stores=...)` over DataJoint's own configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from djlink_manifest import Link
from djlink_manifest.errors import LinkRefused
from tests.notebooks import Notebook, notebook

__all__ = ["notebook"]


def test_external_values_come_into_the_stores_that_link_names(notebook: Notebook, tmp_path: Path) -> None:
    import datajoint as dj

    places = {name: str(tmp_path / name) for name in ("theirs", "ours")}
    for place in places.values():
        Path(place).mkdir()
    stores: dict[str, Any] = {name: {"protocol": "file", "location": place} for name, place in places.items()}
    notebook.owner._config.stores = stores
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

    Image.insert1({"image": 1, "pixels": {"a": [1, 2]}})
    Mask.insert1({"image": 1, "bits": {"b": [3]}})
    with dj.config.override(stores=stores):
        with pytest.raises(LinkRefused, match="the store `theirs`"):
            notebook.link("Image")
        link = Link(notebook.local_schema, notebook.source_schema, stores={"ours": "theirs"})
        image, mask = link(type("Image", (), {})), link(type("Mask", (), {}))
        assert image().pull(display_progress=False).entities == 1
        assert mask().pull(display_progress=False).entities == 1
        assert len(list(Path(places["ours"]).rglob("*"))) > 2
        assert image().fetch1("pixels") == {"a": [1, 2]}
        assert image().source.fetch1("pixels") == {"a": [1, 2]}
        assert mask().fetch1("bits") == {"b": [3]}
        inline = Link(notebook.local_schema, notebook.source_schema, stores={"inline": ["theirs"]})
        assert inline.stores == (("theirs", "inline"),)
