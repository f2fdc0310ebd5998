"""How a plan, or the problems of a manifest, are written: for people, programs and CI services."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import click

from djlink_manifest.cli.options.manifest_options import json_option
from djlink_manifest.cli.terminal.screen import Screen
from djlink_manifest.errors import UsageError

if TYPE_CHECKING:
    from djlink_manifest.reconcile.plan.plan import Plan
    from djlink_manifest.reconcile.plan.terms import PlanTerms
    from djlink_manifest.report.plan.against import Against
    from djlink_manifest.report.plan.text import Detail
    from djlink_manifest.report.screen.annotations import Annotation

PlanOutput = Literal["text", "json", "markdown", "html", "github", "sarif"]


def plan_output_options(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command `--json`, `--markdown`, `--html` and `--format`, as one argument `output`."""

    @functools.wraps(command)
    def with_output(as_json: bool, markdown: bool, html: bool, service: str | None, **others: Any) -> int:
        given = {"--json": as_json, "--markdown": markdown, "--html": html, "--format": service}
        return command(output=one_output(given), **others)

    markdown = click.option(
        "--markdown", is_flag=True, help="Print the plan as Markdown, for a comment under a pull request."
    )
    page = click.option(
        "--html", is_flag=True, help="Print the plan as one page of HTML that needs nothing else."
    )
    json = json_option("Print the plan as JSON (schemas/plan.schema.json).")
    return json(markdown(page(format_option(with_output))))


def format_option(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command `--format`, as an argument `service`."""
    return click.option(
        "--format",
        "service",
        type=click.Choice(["github", "sarif"]),
        help="github: annotations at file and line, as a GitHub workflow takes them. sarif: SARIF 2.1.0, for "
        "other services.",
    )(command)


def one_output(given: Mapping[str, bool | str | None]) -> PlanOutput:
    """Return which of the options of output is given. Raises UsageError for more than one."""
    chosen = [name for name, value in given.items() if value]
    if len(chosen) > 1:
        raise UsageError(f"{chosen[0]} and {chosen[1]} cannot be combined", hint="use one of them")
    value = given[chosen[0]] if chosen else "text"
    return cast(PlanOutput, value if isinstance(value, str) else chosen[0].removeprefix("--"))


def show_annotations(screen: Screen, annotations: Sequence[Annotation], output: PlanOutput) -> None:
    """Write annotations to stdout, for GitHub or as SARIF."""
    from djlink_manifest import __version__
    from djlink_manifest.report.screen.annotations import github_text, sarif_json

    if output == "github":
        screen.data(github_text(annotations))
    else:
        screen.json(sarif_json(annotations, __version__))


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
        case "github" | "sarif":
            from djlink_manifest.report.plan.annotations import plan_annotations

            show_annotations(screen, plan_annotations(plan), output)
        case "text":
            from djlink_manifest.report.plan.text import plan_lines

            screen.show(plan_lines(plan, compared, detail))
