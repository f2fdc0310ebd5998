"""The workflows of the continuous integration: valid, pinned, without rights, of commands that exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.servers import NEWER, PAIRS

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
ACTIONS = sorted((GITHUB / "actions").glob("*/action.yml"))
FORMS = [path for path in sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml")) if path.name != "config.yml"]
SCHEMAS = {
    "github-workflows": WORKFLOWS,
    "github-actions": ACTIONS,
    "github-issue-forms": FORMS,
    "github-issue-config": [GITHUB / "ISSUE_TEMPLATE" / "config.yml"],
    "dependabot": [GITHUB / "dependabot.yml"],
}
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def loaded(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return value


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in WORKFLOWS:
        for name, job in loaded(path)["jobs"].items():
            yield f"{path.stem}/{name}", job


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, job in jobs():
        for step in job["steps"]:
            yield name, step
    for path in ACTIONS:
        for step in loaded(path)["runs"]["steps"]:
            yield path.parent.name, step


def commands() -> list[tuple[str, str]]:
    """What jobs run, without the packages of the system that they install."""
    installs = "sudo apt-get install "
    return [(name, s["run"]) for name, s in steps() if not s.get("run", installs).startswith(installs)]


def problems(schema: str, paths: list[Path]) -> str:
    """What the published schema of GitHub has against the files; nothing where they are valid."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"),
            *map(str, paths),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("schema", SCHEMAS)
def test_each_file_is_as_githubs_schema_says(schema: str) -> None:
    assert SCHEMAS[schema]
    assert problems(schema, SCHEMAS[schema]) == ""


def test_a_workflow_that_is_not_as_the_schema_says_is_noticed(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(WORKFLOWS[0].read_text().replace("runs-on:", "runs-at:", 1))
    assert "runs-on" in problems("github-workflows", [wrong])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_read_the_repository_and_nothing_else(path: Path) -> None:
    workflow = loaded(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert "concurrency" in workflow
    assert not re.search(r"pull_request_target|secrets\.", path.read_text())
    for job in workflow["jobs"].values():
        assert "permissions" not in job
        assert job["timeout-minutes"] < 360


def test_every_action_is_pinned_to_a_commit_whose_version_is_named() -> None:
    used = [line.strip() for path in (*WORKFLOWS, *ACTIONS) for line in path.read_text().splitlines()]
    used = [line.removeprefix("- ") for line in used if re.match(r"(- )?uses:", line)]
    assert len(used) > 10
    for line in used:
        if match := re.fullmatch(r"uses: \./(\S+)", line):
            assert (ROOT / match[1] / "action.yml").exists()
        else:
            assert re.fullmatch(r"uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)
    versions: dict[str, set[str]] = {}
    for line in used:
        versions.setdefault(line.partition("@")[0], set()).add(line)
    assert all(len(lines) == 1 for lines in versions.values())


def test_no_checkout_leaves_a_token_behind() -> None:
    checkouts = [step for _, step in steps() if step.get("uses", "").startswith("actions/checkout@")]
    assert len(checkouts) == len(list(jobs()))
    assert all(step["with"] == {"persist-credentials": False} for step in checkouts)


@pytest.mark.parametrize(("job", "command"), commands(), ids=lambda value: str(value))
def test_every_command_is_a_make_target_that_make_would_run(job: str, command: str) -> None:
    make, target, *settings = shlex.split(command)
    assert make == "make"
    assert target in phony()
    assert all(
        re.match(r"[A-Z]+=", each) and f"\n{each.partition('=')[0]} ?=" in MAKEFILE for each in settings
    )
    done = subprocess.run(
        ["make", "--dry-run", target, *settings], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    named = re.findall(r"\btests/[\w/.]+", done.stdout)
    assert all((ROOT / each).exists() for each in named)


def test_each_target_of_make_is_told_by_its_help() -> None:
    told = set(re.findall(r'@echo "make ([\w-]+) ', MAKEFILE))
    assert told == phony() - {"help", "servers"}
    assert set(re.findall(r"^([\w-]+):", MAKEFILE, re.MULTILINE)) == phony()


def test_each_pair_of_vendors_has_a_job() -> None:
    job = loaded(GITHUB / "workflows" / "checks.yml")["jobs"]["integration"]
    assert sorted(job["strategy"]["matrix"]["pair"]) == sorted(map(str, (*PAIRS, *NEWER)))
    [env] = [step["env"] for step in job["steps"] if "env" in step]
    assert env == {"PAIR": "${{ matrix.pair }}"}
    done = subprocess.run(
        ["make", "--dry-run", "integration", "PAIR=mariadb-mysql"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "--pair mariadb-mysql" in done.stdout


def test_unit_tests_run_on_each_python_that_the_package_names_and_on_the_newest() -> None:
    package = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    named = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', package)
    assert f'requires-python = ">={named[0]}"' in package
    matrix = loaded(GITHUB / "workflows" / "checks.yml")["jobs"]["unit"]["strategy"]["matrix"]
    assert matrix["python"] == [*named, "3.x"]


def test_a_commit_is_checked_by_the_commands_that_make_lint_runs() -> None:
    hooks = [hook for repo in loaded(ROOT / ".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    lint = MAKEFILE.partition("\nlint:")[2].partition("\n\n")[0]
    for hook in hooks:
        program, *words = shlex.split(hook["entry"])
        words = [word for word in words if not word.startswith("--")]
        assert " ".join(["$(BIN)/" + Path(program).name, *words]) in lint


def phony() -> set[str]:
    (names,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    return set(names.split())
