"""Completion of `djlink` at a shell: the scripts that shells load, and the answers to what they ask.

A script calls djlink itself, with the words typed so far in the environment. Such a call prints what could
come next and nothing else, whatever is wrong.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

import click
from click.shell_completion import BashComplete, CompletionItem, FishComplete, ShellComplete, ZshComplete

PROGRAM, VARIABLE = "djlink", "_DJLINK_COMPLETE"

# click's own script for bash lets the shell expand what is offered: `princeton.*` becomes names of files
BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' response type value
    COMPREPLY=()
    response=$(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD="$COMP_CWORD" \\
        %(complete_var)s=bash_complete "$1" 2>/dev/null)
    while IFS=, read -r type value; do
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done <<< "$response"
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class _Bash(BashComplete):
    """Bash splits `--target=x` into three words, and takes what it is given as it stands."""

    source_template = BASH

    @staticmethod
    def _check_version() -> None:
        """Ask nothing of the bash that happens to be installed."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one in hand, with `--option=value` as one word, and that one."""
        words, incomplete = super().get_completion_args()
        if incomplete == "=" and words and words[-1].startswith("--"):
            return words, ""
        if len(words) > 1 and words[-1] == "=" and words[-2].startswith("--"):
            return words[:-1], incomplete
        return words, incomplete

    def format_completion(self, item: CompletionItem) -> str:
        """Return an item with a backslash before what bash would expand."""
        value = item.value
        if item.type == "plain":
            value = "".join(f"\\{c}" if c in "*?" else c for c in str(value))
        return f"{item.type},{value}"


SHELLS: Mapping[str, type[ShellComplete]] = {"bash": _Bash, "zsh": ZshComplete, "fish": FishComplete}


def script(command: click.Command, shell: str) -> str:
    """Return what a shell loads to complete `djlink`."""
    return SHELLS[shell](command, {}, PROGRAM, VARIABLE).source()


def answered(command: click.Command, obj: object) -> bool:
    """Print what could come next, where a shell asks for that, and return whether it does. Never raises."""
    shell, _, question = os.environ.get(VARIABLE, "").partition("_")
    if question not in ("complete", "source") or shell not in SHELLS:
        return False
    try:
        if question == "source":
            sys.stdout.write(script(command, shell))
            return True
        sys.stdout.write(SHELLS[shell](command, {"obj": obj}, PROGRAM, VARIABLE).complete() + "\n")
        sys.stdout.flush()
    except Exception:  # a message would end up in the line that somebody types
        return True
    return True
