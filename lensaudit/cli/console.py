"""Everything a command prints goes through here, so that no foreign word reaches the terminal raw."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

import typer

from lensaudit.untrusted import printable
from lensaudit.verdicts import Step, fail_words, failing, in_short

if TYPE_CHECKING:
    from lensaudit.probes import ProbeAudit, ProbeResult
    from lensaudit.report.schema import Headline


GAP = "  "
NARROWEST = 24
"""Characters that the last column of a table needs to be wrapped beside the others, not below them."""

_NUMBER = re.compile(r"[-+−–—.,%…\[\]() \d*]*(?:e[-+]\d+)?")


def say(*lines: str, err: bool = False) -> None:
    """Print each of `lines` as one line, characters that a terminal acts on escaped."""
    for line in lines:
        typer.echo(printable(line), err=err)


def say_text(text: str) -> None:
    """Print `text` line by line, characters that a terminal acts on escaped."""
    say(*text.rstrip().split("\n"))


def say_json(value: Any) -> None:
    """Print `value` as indented JSON; what a terminal acts on is escaped as JSON does it, what is no number is null."""
    from lensaudit.records import plain

    text = json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False)
    typer.echo("\n".join(re.sub(r"[^\n]", _escaped, line) for line in text.split("\n")))


def say_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, split: bool = False) -> None:
    """Print a table that fits the terminal; see `table`.

    Parameters
    ----------
    split
        Print columns that do not fit beside each other as further tables, each with the first column before them.
    """
    listed = [list(row) for row in rows]
    parts = _parts(columns, listed, terminal_width()) if split else [list(range(len(columns)))]
    for number, part in enumerate(parts):
        say(*([""] if number else []))
        say(*table([columns[at] for at in part], [[row[at] for at in part] for row in listed]))


def terminal_width() -> int:
    """Characters of a line: of the terminal, or 80 where the output is none."""
    return shutil.get_terminal_size((80, 24)).columns


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], width: int | None = None) -> list[str]:
    r"""Lines of a table that fits `width` characters; no word of it is cut.

    Text of the last column is wrapped to what the others leave. Where that is too little, each row becomes a block
    of its own: its first cell, and below it a line per column.

    Parameters
    ----------
    columns
        Titles.
    rows
        A cell per column; a newline in a cell begins another line of it. Columns of numbers are set to the right.
    width
        Characters; by default those of the terminal, 80 where the output is none.

    Examples
    --------
    >>> print("\n".join(table(("metric", "n"), [("AUROC", "200"), ("recall", "90")], 80)))
    metric    n
    ───────────
    AUROC   200
    recall   90
    """
    width = terminal_width() if width is None else width
    cells = [[[printable(line) for line in cell.split("\n")] for cell in row] for row in rows]
    heads = [printable(title) for title in columns]
    wide = [max(map(_cells, [heads[at], *(line for row in cells for line in row[at])])) for at in range(len(heads))]
    free = width - sum(wide[:-1]) - len(GAP) * (len(wide) - 1)
    if free < min(wide[-1], NARROWEST):
        return [line for row in cells for line in _block(heads, row, width)]
    right = [all(_NUMBER.fullmatch(line) for row in cells for line in row[at]) for at in range(len(heads))]
    last = min(wide[-1], free)
    wrapped = [[*row[:-1], [part for line in row[-1] for part in _wrapped(line, last)]] for row in cells]
    apart = any(len(cell) > 1 for row in cells for cell in row)
    lines = [_line(heads, wide, right), "─" * min(width, sum(wide[:-1]) + last + len(GAP) * (len(wide) - 1))]
    for number, row in enumerate(wrapped):
        lines += [""] if apart and number else []
        height = max(map(len, row))
        lines += [_line([cell[at] if at < len(cell) else "" for cell in row], wide, right) for at in range(height)]
    return lines


def warn(message: str) -> None:
    """Print one warning on standard error."""
    say(f"lensaudit: warning: {message}", err=True)


def any_encoding() -> None:
    """Let standard output and error take every character: what their encoding lacks is written as an escape."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _escaped(found: re.Match[str]) -> str:
    sign = found[0]
    return sign if printable(sign) == sign else json.dumps(sign)[1:-1]


def _cells(text: str) -> int:
    """Columns of a terminal that `text` takes: two for a wide character."""
    from rich.cells import cell_len

    return cell_len(text)


def _parts(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[list[int]]:
    """Which columns go into which table, so that each fits `width`; the first column goes into all."""
    wide = [
        max(_cells(printable(line)) for cell in (title, *(row[at] for row in rows)) for line in cell.split("\n"))
        for at, title in enumerate(columns)
    ]
    parts, free = [[0]], width - wide[0]
    for at in range(1, len(columns)):
        needed = len(GAP) + wide[at]
        if needed > free and len(parts[-1]) > 1:
            parts.append([0])
            free = width - wide[0]
        parts[-1].append(at)
        free -= needed
    return parts


def _wrapped(line: str, width: int) -> list[str]:
    return textwrap.wrap(line, max(1, width), break_long_words=False, break_on_hyphens=False) or [""]


def _line(cells: Sequence[str], wide: Sequence[int], right: Sequence[bool]) -> str:
    padded = []
    for text, width, flush in zip(cells, wide, right, strict=True):
        space = " " * (width - _cells(text))
        padded.append(space + text if flush else text + space)
    return GAP.join(padded).rstrip()


def _block(heads: Sequence[str], row: Sequence[Sequence[str]], width: int) -> list[str]:
    """A row as a block: no table of these words fits."""
    lines = [" ".join(row[0])]
    for title, cell in zip(heads[1:], row[1:], strict=True):
        if words := " ".join(filter(None, cell)):
            first, *more = _wrapped(f"{title}: {words}", width - 2 * len(GAP))
            lines += [GAP + first, *(2 * GAP + part for part in more)]
    return lines


_OURS = str(Path(__file__).parent)
_PRINTERS = ("typer", "rich", "click", "contextlib")
"""Libraries that print what lensaudit's commands hand them."""


class _Output:
    """Standard output that takes what lensaudit's commands print; all else goes to standard error.

    A module of the user's that prints while it works would otherwise end up in what ``--json`` prints.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write `text` where it belongs."""
        stream = self._stream if _by_lensaudit(sys._getframe(1)) else sys.stderr
        return stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _by_lensaudit(frame: FrameType | None) -> bool:
    """Whether the innermost frame that is not a printing library's is a command's."""
    while frame is not None:
        file, module = frame.f_code.co_filename, str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if file != __file__ and module not in _PRINTERS:
            return file.startswith(_OURS) or not os.path.isabs(file)  # such as <string>, given to python -c
        frame = frame.f_back
    return True


@contextmanager
def own_output() -> Iterator[None]:
    """Keep foreign words out of standard output, and let a closed stream take everything."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        error = sys.stderr or nowhere
        with redirect_stderr(error), redirect_stdout(_Output(sys.stdout or nowhere)):
            yield
            sys.stdout.flush()


def drop_what_cannot_be_written() -> None:
    """After a write that failed: let Python's own last flush of both streams succeed."""
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is None or stream.closed:
            continue
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


def check_fail_on(word: str | None) -> None:
    """Refuse what --fail-on does not know."""
    from lensaudit.errors import UsageError

    if word is not None and word not in fail_words():
        raise UsageError(f"--fail-on '{word}' is unknown; allowed: {', '.join(fail_words())}")


def fail_where(words: Sequence[str], fail_on: str | None) -> None:
    """End with exit code 1 where a verdict is the one the user chose to fail on, or a graver one."""
    from lensaudit.errors import EXIT_AUDIT_FAILED

    if fail_on is not None and failing(words, fail_on):
        raise typer.Exit(EXIT_AUDIT_FAILED)


def say_verdict(verdict: Headline) -> None:
    """The verdict of a report: headline, sentences, and what to do next; an earlier version's has no next steps."""
    say(verdict.headline)
    say(*(f"  {sentence}" for sentence in verdict.sentences))
    say_next(verdict.next)


def say_next(steps: Sequence[Step]) -> None:
    """What to do next, each command on a line of its own so that it can be copied."""
    for step in steps:
        say(f"next: {step.why}{':' if step.command else ''}")
        if step.command:
            say(f"  {step.command}")


def print_audit(audit: ProbeAudit, out: Path) -> None:
    """The leading finding of every probe, and where the rest is."""
    rows = [(one.verdict.word, one.probe, one.meaning) for one in audit.ranked]
    rows += [("not applicable", name, why) for name, why in audit.not_applicable.items()]
    rows += [("not on hosts", name, why) for name, why in audit.not_on_hosts.items()]
    say_table(("verdict", "probe", "what it means"), rows)
    say(in_short(audit.answers))
    say_next(audit.next_steps())
    say(f"written to {out}")


def print_result(result: ProbeResult, out: Path) -> None:
    """The findings of one probe, its verdict, and where the rest is."""
    from lensaudit.probes import FINDINGS_HEAD, findings_rows

    say(f"{result.definition.title}: {result.finder.name}")
    rows = findings_rows(result.findings)
    if len(rows) > 2:
        each = zip(result.findings, rows, strict=True)
        cells = [[one.which, *(cell.replace(" [", "\n[") for cell in row[3:])] for one, row in each]
        say_table(("pairs", *FINDINGS_HEAD[3:]), cells, split=True)
    else:
        say_table(("", *(f"pairs {k}" for k in range(1, 1 + len(rows)))), zip(FINDINGS_HEAD, *rows, strict=True))
    say(f"{result.verdict.word}: {result.verdict.sentence}", f"written to {out}")
