"""The examples for CI services: valid, and their steps run from a branch to the apply on main."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from pre_commit.clientlib import load_manifest

from tests.support.markdown import Rendered
from tests.support.pipelines.review import Review
from tests.support.rig import PASSWORD, Rig

ROOT = Path(__file__).parents[2]
CI = ROOT / "examples" / "ci"
WORKFLOW, PIPELINE = CI / "github-workflow.yml", CI / "gitlab-ci.yml"
JOBS = ("check", "plan", "apply")
SECRETS = {"DJ_PASS": PASSWORD, "LINK_PASS": PASSWORD}
# what the steps call of GitHub: a comment is kept, a run's artifacts are copied
GH = """#!/bin/sh -e
printf '%s\\n' "$*" >> "$FAKE/calls"
case "$1 $2" in
  "pr comment") while [ "$1" != --body-file ]; do shift; done; cp "$2" "$FAKE/comment.md" ;;
  "api repos/lab/atlas/commits/"*) echo headsha ;;
  "run list") echo 42 ;;
  "run download") while [ "$1" != --dir ]; do shift; done; mkdir -p "$2"; cp "$FAKE"/artifact/* "$2" ;;
  *) exit 9 ;;
esac
"""


@pytest.mark.parametrize(
    ("schema", "path"), [("github-workflows", WORKFLOW), ("gitlab-ci", PIPELINE)], ids=["github", "gitlab"]
)
def test_an_example_is_as_its_services_schema_says(schema: str, path: Path) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_hooks_are_as_pre_commit_reads_them_and_their_commands_exist() -> None:
    hooks = load_manifest(str(ROOT / ".pre-commit-hooks.yaml"))
    assert [hook["id"] for hook in hooks] == ["djlink-fmt", "djlink-validate"]
    for hook in hooks:
        ended = subprocess.run(
            [
                sys.executable,
                "-m",
                "djlink_manifest",
                *shlex.split(hook["entry"])[1:],
                "-f",
                "examples/two-labs.yaml",
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr


def steps(job: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(WORKFLOW.read_text())["jobs"][job]["steps"]
    return found


def test_no_step_puts_what_an_author_chose_into_a_script_and_only_steps_that_need_them_have_secrets() -> None:
    for job in yaml.safe_load(WORKFLOW.read_text())["jobs"]:
        for step in steps(job):
            assert "${{" not in step.get("run", "")
            if "secrets." in str(step.get("env")):
                assert step["name"] in ("Plan", "Apply it")
        if job != "apply":
            assert all("DJLINK_TRUST" in s["env"] for s in steps(job) if "secrets." in str(s.get("env")))
    assert "secrets." not in str(steps("check"))


def test_no_step_runs_code_of_the_checkout_or_lets_an_author_choose_what_is_trusted() -> None:
    """`python -c` imports from the current folder; a base branch and a tag are chosen by who may push."""
    text = WORKFLOW.read_text()
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    assert "base_ref" not in code
    assert "python" not in "\n".join(step.get("run", "") for job in JOBS for step in steps(job))
    bases = [s["env"]["BASE"] for job in JOBS for s in steps(job) if "BASE" in s.get("env", {})]
    assert bases
    assert set(bases) == {"refs/remotes/origin/main"}
    # read as text: YAML 1.1 takes the key `on` for true
    assert "pull_request:\n    branches: [main]\n" in code


def test_the_page_of_a_merge_request_does_not_go_where_a_branch_has_led_it(tmp_path: Path) -> None:
    script = yaml.safe_load(PIPELINE.read_text())["plan"]["script"]
    (tmp_path / "prey").write_text("kept")
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout/plan.html").symlink_to("../prey")
    (tmp_path / "djlink").write_text("#!/bin/sh\necho page\n")
    (tmp_path / "djlink").chmod(0o755)
    environ = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(["bash", "-ec", "\n".join(script)], cwd=tmp_path / "checkout", env=environ, check=True)
    assert (tmp_path / "prey").read_text() == "kept"
    assert (tmp_path / "checkout/plan.html").read_text() == "page\n"


class Runner:
    """A machine of a service: a checkout, a folder for files, and djlink on its path."""

    def __init__(self, review: Review, folder: Path) -> None:
        self.review, self.folder = review, folder
        self.work, self.temp, self.fake = folder / "work", folder / "temp", folder / "fake"
        bin_ = folder / "bin"
        for each in (self.temp, self.fake, bin_):
            each.mkdir(parents=True)
        for name, text in (
            ("djlink", f'#!/bin/sh\nexec {sys.executable} -m djlink_manifest "$@"\n'),
            ("pip", "#!/bin/sh\n"),
            ("gh", GH),
        ):
            (bin_ / name).write_text(text)
            (bin_ / name).chmod(0o755)
        self.environ = {
            "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(folder),
            "RUNNER_TEMP": str(self.temp),
            "GITHUB_STEP_SUMMARY": str(self.temp / "summary.md"),
            "FAKE": str(self.fake),
            "DJLINK_FILE": "djlink.yaml",
        }

    def checkout(self, branch: str) -> None:
        """A fresh clone, as a service makes one for each run."""
        shutil.rmtree(self.work, ignore_errors=True)
        self.run(
            f"git clone -q --branch {branch} file://{self.review.rig.folder} {self.work}", {}, self.folder
        )

    def run(self, script: str, environ: Mapping[str, str], folder: Path | None = None) -> tuple[int, str]:
        """Run a script as a service does: bash that ends at the first error."""
        ended = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", script],
            cwd=folder or self.work,
            env={**self.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert PASSWORD not in ended.stdout
        return ended.returncode, ended.stdout

    def job(self, name: str) -> list[tuple[str, int, str]]:
        """Run a job's steps in order; after a failure only those that say `always()`."""
        told, failed = list[tuple[str, int, str]](), False
        for step in steps(name):
            if "run" not in step or (failed and "always()" not in step.get("if", "")):
                if step.get("uses", "").startswith("actions/upload-artifact"):
                    shutil.rmtree(self.fake / "artifact", ignore_errors=True)
                    if (self.temp / "plan").exists():
                        shutil.copytree(self.temp / "plan", self.fake / "artifact")
                continue
            code, said = self.run(step["run"], {k: self._value(v) for k, v in step.get("env", {}).items()})
            told.append((step["name"], code, said))
            failed = failed or code != 0
        return told

    def _value(self, text: str) -> str:
        """A value of `env` with the service's expressions replaced."""
        known = {
            "runner.temp": str(self.temp),
            "github.token": "token",
            "github.event.pull_request.number": "7",
            "github.repository": "lab/atlas",
            "github.sha": "mergesha",
            **{f"secrets.{name}": value for name, value in SECRETS.items()},
        }
        return re.sub(r"\$\{\{ ([\w.]+) \}\}", lambda found: known[found[1]], text)


@pytest.fixture
def runner(rig: Rig, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    review = Review(rig)
    trust = tmp_path_factory.mktemp("trust") / "trust.yaml"
    review.djlink("fmt")
    review.djlink("trust", "--out", str(trust))
    shutil.move(trust, rig.folder / "trust.yaml")
    review.git("add", "-A")
    review.commit("the trust file")
    review.djlink("apply", "--auto-approve")
    return Runner(review, tmp_path_factory.mktemp("runner"))


def codes(told: list[tuple[str, int, str]]) -> dict[str, int]:
    return {name: code for name, code, _ in told}


def branch(review: Review, tables: dict[str, Any], **more: Any) -> None:
    review.git("checkout", "-q", "-B", "branch", "main")
    review.write(tables, **more)
    review.djlink("fmt")
    review.commit("the branch")


def test_from_a_pull_request_with_its_comment_to_the_apply_of_the_reviewed_plan(runner: Runner) -> None:
    review = runner.review
    branch(review, {"Subject": {}, "Session": {}})
    review.rig.run("lab_a", "INSERT INTO {lab}.subject VALUES (3, 'mouse')")
    runner.checkout("branch")
    assert set(codes(runner.job("check")).values()) == {0}
    assert "a new link" in (runner.temp / "summary.md").read_text()
    told = runner.job("plan")
    assert set(codes(told).values()) == {0}, "\n".join(said for _, _, said in told)
    said = {name: text for name, _, text in told}["Write the comment, the page and the annotations"]
    assert "::notice file=djlink.yaml,line=1" in said
    comment = (runner.fake / "comment.md").read_text()
    print(comment)  # noqa: T201
    shown = Rendered(comment).text
    assert "1 link to create" in shown
    assert "rows to pull" in shown
    assert "| rows to pull | 4 | +3 | 1 |" in comment
    assert "pr comment 7 --repo lab/atlas" in (runner.fake / "calls").read_text()
    assert (runner.fake / "artifact" / "plan.html").read_text().startswith("<!DOCTYPE html>")
    assert PASSWORD not in "".join(path.read_text() for path in (runner.fake / "artifact").iterdir())
    # merged, and applied from another machine's checkout
    review.git("checkout", "-q", "main")
    review.git("merge", "-q", "--ff-only", "branch")
    shutil.rmtree(runner.temp / "plan")
    runner.checkout("main")
    told = runner.job("apply")
    assert set(codes(told).values()) == {0}, "\n".join(said for _, _, said in told)
    assert "run download 42 --repo lab/atlas --name plan" in (runner.fake / "calls").read_text()
    schema = review.rig.local_schema("lab_a", "lab")
    with review.rig.servers.local.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM `{schema}`.session")
        assert cursor.fetchone() == (3,)
    # the same plan once more has nothing left that it said: it is stale, and nothing is done
    review.rig.run("lab_a", "ALTER TABLE {lab}.session ADD COLUMN note varchar(9)")
    told = runner.job("apply")
    assert codes(told)["Apply it"] == 1
    assert "stale" in told[-1][2]


def test_a_branch_that_uses_what_the_trust_file_does_not_name_gets_no_plan_and_no_secret(
    runner: Runner,
) -> None:
    review = runner.review
    document = review.rig.document({"lab_a": {"lab": {"tables": {"Subject": {}}}}})
    local = {**document["local"], "host": "evil.example"}
    branch(review, {"Subject": {}}, local=local)
    runner.checkout("branch")
    assert set(codes(runner.job("check")).values()) == {0}  # offline, whatever it says
    told = runner.job("plan")
    assert codes(told)["Plan"] == 1
    assert "evil.example" in {name: said for name, _, said in told}["Plan"]
    assert not (runner.fake / "comment.md").exists()
    # nor does its own trust file help
    (review.rig.folder / "trust.yaml").write_text((review.rig.folder / "trust.yaml").read_text() + "# mine\n")
    review.commit("another trust file")
    runner.checkout("branch")
    assert codes(runner.job("plan"))["Plan"] == 1


def test_a_manifest_that_is_not_valid_is_annotated_and_goes_no_further(runner: Runner) -> None:
    review = runner.review
    review.git("checkout", "-q", "-B", "branch", "main")
    review.write({"Subject": {"pul": "all"}})
    review.commit("a mistake")
    runner.checkout("branch")
    told = runner.job("check")
    assert [(name, code) for name, code, _ in told] == [("Install djlink", 0), ("Check the manifest", 1)]
    assert "::error file=djlink.yaml,line=" in told[-1][2]


def test_the_pipeline_plans_a_merge_request_and_applies_the_plan_of_main(runner: Runner) -> None:
    review, pipeline = runner.review, yaml.safe_load(PIPELINE.read_text())
    branch(review, {"Subject": {}, "Session": {}})
    trust = runner.temp / "trust.yaml"
    shutil.copy(review.rig.folder / "trust.yaml", trust)
    base = subprocess.run(
        ["git", "rev-parse", "main"], cwd=review.rig.folder, capture_output=True, text=True, check=True
    )
    environ = {**SECRETS, "DJLINK_TRUST": str(trust), "CI_MERGE_REQUEST_DIFF_BASE_SHA": base.stdout.strip()}
    runner.checkout("branch")
    for job in ("check", "plan"):
        code, said = runner.run("\n".join(pipeline[job]["script"]), environ)
        assert code == 0, said
    assert (runner.work / "plan.html").read_text().startswith("<!DOCTYPE html>")
    review.git("checkout", "-q", "main")
    review.git("merge", "-q", "--ff-only", "branch")
    runner.checkout("main")
    for job in ("plan on main", "apply"):
        code, said = runner.run("\n".join(pipeline[job]["script"]), environ)
        assert code == 0, said
    assert json.loads(review.djlink("plan", "--json"))["has_changes"] is False


def test_the_service_applies_and_the_timer_starts_it(runner: Runner) -> None:
    read = configparser.RawConfigParser(strict=False, delimiters=("=",))
    read.optionxform = str  # type: ignore[assignment,method-assign]
    read.read(CI / "djlink.service")
    command = read["Service"]["ExecStart"].replace("/usr/local/bin/djlink", "djlink")
    runner.checkout("main")
    code, said = runner.run(command, SECRETS)
    assert code == 0, said
    assert read["Service"]["Type"] == "oneshot"
    timer = configparser.RawConfigParser(delimiters=("=",))
    timer.read(CI / "djlink.timer")
    assert (timer["Timer"]["OnCalendar"], timer["Install"]["WantedBy"]) == ("hourly", "timers.target")
