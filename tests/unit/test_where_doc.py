"""docs/manifest.md lists the functions of a condition; `python -m tests.unit.test_where_doc` writes them."""

from __future__ import annotations

import textwrap
from pathlib import Path

from djlink_manifest.model.vendors.condition_words import CALLABLE, callable_on
from djlink_manifest.model.vendors.versions import since

PAGE = Path(__file__).parents[2] / "docs" / "manifest.md"
BEGIN, END = "<!-- functions: begin -->\n", "<!-- functions: end -->\n"


def listed() -> str:
    """The lists of functions as the page has them."""
    mysql, mariadb = callable_on("mysql"), callable_on("mariadb")
    parts = (
        ("Both vendors", mysql & mariadb),
        ("MySQL alone", mysql - mariadb),
        ("MariaDB alone", mariadb - mysql),
    )
    return "\n".join(
        textwrap.fill(f"**{title}:** {', '.join(map(_told, sorted(names)))}", 118, break_on_hyphens=False)
        + "\n"
        for title, names in parts
    )


def _told(name: str) -> str:
    newer = [
        f"{vendor} {'.'.join(map(str, since(vendor.lower(), name)))}"
        for vendor in ("MySQL", "MariaDB")
        if since(vendor.lower(), name)
    ]
    return f"`{name.upper()}`" + (f" (from {', '.join(newer)})" if newer else "")


def test_the_page_lists_each_function_that_a_condition_may_call() -> None:
    _, _, rest = PAGE.read_text().partition(BEGIN)
    assert rest.partition(END)[0] == listed(), "run python -m tests.unit.test_where_doc"


def test_each_function_is_of_one_vendor_or_of_both() -> None:
    assert callable_on("mysql") | callable_on("mariadb") == CALLABLE


if __name__ == "__main__":
    head, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(head + BEGIN + listed() + END + rest.partition(END)[2])
