"""How a plan is written: as text, JSON, Markdown or HTML."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import click

from djlink_manifest.cli.options.manifest_options import json_option
from djlink_manifest.cli.terminal.screen import Screen
from djlink_manifest.errors import UsageError

if TYPE_CHECKING:
    from djlink_manifest.reconcile.plan.plan import Plan
    from djlink_manifest.reconcile.plan.terms import PlanTerms
    from djlink_manifest.report.plan.against import Against
    from djlink_manifest.report.plan.text import Detail

PlanOutput = Literal["text", "json", "markdown", "html"]


def plan_output_options(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command `--json`, `--markdown` and `--html`, as one argument `output`."""

    @functools.wraps(command)
    def with_output(as_json: bool, markdown: bool, html: bool, **others: Any) -> int:
        given = {"json": as_json, "markdown": markdown, "html": html}
        chosen = [name for name, is_given in given.items() if is_given]
        if len(chosen) > 1:
            first, second = (f"--{name}" for name in chosen[:2])
            raise UsageError(f"{first} and {second} cannot be combined", hint="use one of them")
        return command(output=chosen[0] if chosen else "text", **others)

    markdown = click.option(
        "--markdown", is_flag=True, help="Print the plan as Markdown, for a comment under a pull request."
    )
    page = click.option(
        "--html", is_flag=True, help="Print the plan as one page of HTML that needs nothing else."
    )
    return json_option("Print the plan as JSON (schemas/plan.schema.json).")(markdown(page(with_output)))


def show_plan(
    screen: Screen,
    plan: Plan,
    output: PlanOutput,
    compared: Against | None,
    whole: str,
    *,
    terms: PlanTerms | None = None,
    detail: Detail = "links",
) -> None:
    """Write a plan to stdout; `whole` says where all of it is, where something is left out.

    `detail` is that of the text.
    """
    match output:
        case "json":
            from djlink_manifest.report.plan.json_form import plan_json

            screen.json(plan_json(plan, terms, against=compared))
        case "markdown":
            from djlink_manifest.report.plan.markdown import plan_markdown

            screen.data(plan_markdown(plan, against=compared, whole=whole))
        case "html":
            from djlink_manifest.report.plan.page import plan_page

            screen.data(plan_page(plan, compared))
        case "text":
            from djlink_manifest.report.plan.text import plan_lines

            screen.show(plan_lines(plan, compared, detail))
