"""``lensaudit models card``: a model card with the numbers of an audit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lensaudit.cli import options as opt
from lensaudit.cli.console import say


def model_card(
    finder: opt.Finder,
    audit: Annotated[Path, typer.Option("--audit", metavar="DIR", help="Folder that lensaudit report wrote.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Markdown, as README.md of a repository.")],
    license: Annotated[str, typer.Option("--license", metavar="ID", help="Of the weights, as the Hub spells it.")] = "",
    force: opt.Force = False,
) -> None:
    """Write a model card in the Hub's layout, whose every number is of one audit of these very weights.

    Refused for an audit of other weights. The card holds the hashes of the weights, of the set and of the audit.
    """
    from lensaudit.errors import UsageError
    from lensaudit.report.audit_file import AUDIT_NAME, read_audit

    if out.exists() and not force:
        raise UsageError(f"{out}: is there already; choose another --out, or --force to replace it")
    found = read_audit(audit)  # a wrong folder is told before torch is imported

    from lensaudit.errors import DataError
    from lensaudit.files import sha256, write_text
    from lensaudit.finders import load_finder, read_record
    from lensaudit.finders.load import stored_in
    from lensaudit.report.model_card import CardFacts
    from lensaudit.report.model_card import model_card as written

    loaded = load_finder(finder)
    folder = stored_in(loaded)
    record = None if folder is None else read_record(folder)
    facts = CardFacts(loaded.weights_hash, sha256(audit / AUDIT_NAME), finder, license, record)
    try:
        words = written(found, facts)
    except DataError as other:
        raise DataError(f"{audit}: {other}") from other
    write_text(out, words)
    say(f"{out}: model card of {loaded.name}, audit.json {facts.audit_hash[:16]}")
