"""``lensaudit models compact``: a finder's weights in fewer bits, with what that does to its scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say, say_json, say_table

EXAMPLES = (
    "lensaudit models compact runs/large runs/test --out runs/small",
    "lensaudit models compact runs/large runs/test --bits 6 --out runs/smaller",
)


def compact(
    finder: opt.Finder,
    lens_set: Annotated[
        Path, typer.Argument(metavar="SET", help="Labelled set that did not train the finder, to compare its scores.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Becomes the smaller finder's folder.")],
    bits: Annotated[int, typer.Option("--bits", metavar="N", min=4, max=8, help="Of a weight: 4 to 8.")] = 8,
    force: opt.Force = False,
    batch: opt.Batch = None,
    reading: opt.Reading = opt.READING,
    as_json: opt.Json = False,
) -> None:
    """Keep the large matrices of a finder in few bits, and say what that does to its scores.

    It is used as any other finder afterwards; whether a change can be excluded is said, and nothing is refused for it.
    """
    from lensaudit.cli.running import open_both, progress_bar, scores_of
    from lensaudit.errors import UsageError
    from lensaudit.evaluation.compacting import (
        HEAD,
        IN_WORDS,
        compact_finder,
        refuse_uncompactable,
        rows_of_changes,
        sentence,
        write_compacted,
    )
    from lensaudit.files import writable_folder
    from lensaudit.finders.load import stored_in
    from lensaudit.finders.store import refuse_other_finder

    loaded, opened = open_both(finder, lens_set, reading)
    refuse_uncompactable(loaded, opened)
    folder = stored_in(loaded)
    if folder is not None and out.resolve() == folder.resolve():
        raise UsageError(f"{out}: is the folder of the finder itself; choose another --out")
    if not force:
        inputs = {"finder": loaded.weights_hash, "set": opened.content_hash}
        refuse_other_finder(out, inputs, {"bits": bits}, "or --force to replace it")
    writable_folder(out)
    scores = scores_of(loaded, opened, None, batch)
    with progress_bar(f"scoring with {bits} bit") as report:
        made = compact_finder(loaded, opened, bits, scores, report)
    write_compacted(made, folder, opened, out)
    record = made[1]
    if as_json:
        say_json({"out": str(out), **record.to_json()})
        return
    say(f"{loaded.name} on {lens_set}: {record.n_lenses} lenses, {record.n_non_lenses} non-lenses")
    say_table(HEAD, rows_of_changes(record))
    say(sentence(record))
    say(f"{out}: weights in {bits} bit, {record.file_bytes / 1e6:.2f} MB; {IN_WORDS[record.kept]}")
