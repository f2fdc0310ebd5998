"""Complete the commands that messages name by the files of a manifest that Python loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape, unescape

from djlink_manifest.errors import DjlinkError
from djlink_manifest.model.next_steps import COMMAND, Options, completed

FILE_OPTIONS = ("-f", "--file")
WITHOUT_FILES = frozenset({"completion", "demo", "show", "source"})


def of_files(files: Sequence[str]) -> Options:
    """Return what adds `-f` with these files to each command that is about a manifest."""

    def options(words: Sequence[str]) -> list[str]:
        named = any(word.partition("=")[0] in FILE_OPTIONS for word in words)
        if named or words[0] in WITHOUT_FILES or "--help" in words:
            return []
        return [word for each in files for word in (FILE_OPTIONS[0], each)]

    return options


def completed_html(text: str, options: Options) -> str:
    """Return HTML with the options added to each command in its text."""
    return COMMAND.sub(lambda found: escape(completed(unescape(found[0]), options)), text)


@contextmanager
def errors_name(files: Sequence[str]) -> Iterator[None]:
    """Complete the commands in the hint of an error that is raised inside."""
    try:
        yield
    except DjlinkError as error:
        error.hint = error.hint and completed(error.hint, of_files(files))
        raise
