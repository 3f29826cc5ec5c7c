"""Which method to believe, by kind of scene, over many finders: docs/explanation-scores.md and our recommendation.

``python benchmarks/explanation_scores.py keep OU-66=runs/judged/OU_66-lenses OU-66=runs/judged/OU_66-others …`` takes
the scores of single images out of folders of ``lensaudit judge`` (several of one finder are put together) into one file
a finder under reports/explanations/, so that a later session goes on from there. ``… page --made 2026-11-27`` applies
the rule to all these files, and writes the recommendation into the package and the tables into the page.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lensaudit import __version__
from lensaudit.display.numbers import decimal, with_interval
from lensaudit.display.page import markdown_table
from lensaudit.documents import keep_json
from lensaudit.explaining.judging.attributor import attributor
from lensaudit.explaining.judging.believed_page import study_lines
from lensaudit.explaining.judging.believing import NEEDED, POOLS, Belief, Margin, beliefs_of
from lensaudit.explaining.judging.judgement import Judgement, kept_scores
from lensaudit.explaining.judging.recommending import FILE, JudgedFinder, Study, found_of
from lensaudit.explaining.judging.records import ImageScore
from lensaudit.files import write_bytes
from lensaudit.scenes.scene import KINDS

KEPT = Path(__file__).parents[1] / "reports" / "explanations"
PAGE = Path(__file__).parents[1] / "docs" / "explanation-scores.md"
BEGIN, END = "% tables of benchmarks/explanation_scores.py", "% end of tables"
COLUMNS = ("explainer", "kind", "system", *NEEDED)
ORDER = (*KINDS[:3], "all lenses", *KINDS[3:], "all non-lenses")
Scored = dict[tuple[str, str], tuple[ImageScore, ...]]


def keep(words: list[str]) -> None:
    """``NAME=FOLDER`` … → a file a finder; what an earlier session kept of the same weights stays unless replaced."""
    for name in dict.fromkeys(word.partition("=")[0] for word in words):
        path, scored = KEPT / f"{name}.parquet", Scored()
        facts: dict[str, Any] = {"finder": name, "checks": {}, "commands": []}
        folders = [Path(word.partition("=")[2]) for word in words if word.partition("=")[0] == name]
        judgements = [Judgement.read(folder) for folder in folders]
        (facts["hash"],) = {judged.finder_hash for judged in judgements}
        if path.is_file():
            scored, before = read(path)
            if before["hash"] == facts["hash"]:
                facts |= {"checks": before["checks"], "commands": before["commands"]}
            else:
                scored = {}
        for folder, judged in zip(folders, judgements, strict=True):
            scored |= kept_scores(folder)
            facts["checks"] |= {check.method: check.verdict for check in judged.checks}
            facts["commands"] = list(dict.fromkeys([*facts["commands"], judged.provenance.command]))
        rows = [row for key, scores in scored.items() for row in table_rows(key, scores)]
        table = pa.table({column: [row[i] for row in rows] for i, column in enumerate(COLUMNS)})
        for i, column in enumerate(COLUMNS):
            kept = table[column].cast(pa.float32()) if column in NEEDED else table[column].dictionary_encode()
            table = table.set_column(i, column, kept)
        path.parent.mkdir(exist_ok=True)
        pq.write_table(table.replace_schema_metadata({"facts": json.dumps(facts)}), path, compression="zstd")
        print(f"{path.name}: {len(rows)} maps scored, {path.stat().st_size / 1000:.0f} kB")


def table_rows(key: tuple[str, str], scores: tuple[ImageScore, ...]) -> list[tuple]:
    values = {(one.system, one.score): one.value for one in scores}
    return [
        (*key, system, *(values.get((system, score), float("nan")) for score in NEEDED))
        for system in dict.fromkeys(one.system for one in scores)
    ]


def read(path: Path) -> tuple[Scored, dict]:
    """(explainer, kind) → scores; and what is known of the finder."""
    table = pq.read_table(path)
    scored: dict[tuple[str, str], list[ImageScore]] = {}
    for row in table.to_pylist():
        of = scored.setdefault((row["explainer"], row["kind"]), [])
        of += [ImageScore(row["system"], score, row[score]) for score in NEEDED]
    facts = json.loads(table.schema.metadata[b"facts"])
    return {key: tuple(scores) for key, scores in scored.items()}, facts


def page(made: str) -> None:
    """Write the recommendation, and the tables into the page."""
    kept = [read(path) for path in sorted(KEPT.glob("*.parquet"))]
    beliefs = {facts["finder"]: beliefs_of(facts["finder"], scored, facts["checks"]) for scored, facts in kept}
    finders = tuple(JudgedFinder(f["finder"], f["hash"], found_of(beliefs[f["finder"]])) for _, f in kept)
    study = Study(made, __version__, finders)
    keep_json(FILE, study.to_json())
    lines = [*study_lines(study, ORDER), *margins(beliefs), *images(beliefs, kept)]
    head, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    tail = rest.partition(END)[2]
    write_bytes(PAGE, "\n".join([f"{head}{BEGIN}", "", *lines, f"{END}{tail}"]).encode())


def margins(beliefs: dict[str, tuple[Belief, ...]]) -> list[str]:
    """Mean over finders of the margins, on all lenses and all non-lenses."""
    lines = ["## By how much", "", MARGINS, ""]
    for pool in POOLS:
        here = [one for found in beliefs.values() for one in found if one.kind == pool]
        rows = []
        for name in dict.fromkeys(one.method for one in here):
            of = [one for one in here if one.method == name]
            numbers = [f"{np.mean([one.infidelity for one in of]):.2f}"]
            for margin in ("amount", "order"):
                values = [getattr(one, margin) for one in of]
                numbers += [over_finders(values)]
            rows.append([attributor(name).title, str(len(of)), *numbers])
        if rows:
            head = ("method", "finders", "infidelity", "amount beyond the best rival", "order beyond the best rival")
            lines += [f"**{pool}**", "", markdown_table(head, rows), ""]
    return lines


MARGINS = (
    "Mean over finders (lowest to highest finder; of one finder its 95 % interval over images) of the mean difference, "
    "image by image, to the rival that the method beats least; above 0 the method is better. *Amount* is a difference "
    "of infidelity, which runs from 0 to 1; *order* one of insertion less deletion, which are mean values of p(lens)."
)


def over_finders(margins: list[Margin]) -> str:
    values = [margin.value for margin in margins]
    if len(values) == 1:
        return with_interval(values[0], margins[0].low, margins[0].high, 2)
    ends = " … ".join(decimal(end, 2, sign=True) for end in (min(values), max(values)))
    return f"{decimal(float(np.mean(values)), 2, sign=True)} ({ends})"


def images(beliefs: dict[str, tuple[Belief, ...]], kept: list[tuple[Scored, dict]]) -> list[str]:
    """Images of each finder and kind, and the method with the lowest infidelity on lenses."""
    rows = []
    for _, facts in kept:
        found = beliefs[facts["finder"]]
        counts = {kind: max((one.n for one in found if one.kind == kind), default=0) for kind in ORDER}
        lenses = [one for one in found if one.kind in ("all lenses", "single")]
        best = min(lenses, key=lambda one: (one.kind == "single", one.infidelity), default=None)
        told = "–"
        if best is not None:
            margin = with_interval(best.amount.value, best.amount.low, best.amount.high, 2)
            told = f"{attributor(best.method).title}: {best.infidelity:.2f}, {margin} below the {best.amount.rival}"
        checks = ", ".join(f"{name} {verdict}" for name, verdict in facts["checks"].items()) or "not made"
        shown = [kind for kind in KINDS if counts[kind]]
        rows.append([facts["finder"], ", ".join(f"{counts[kind]} {kind}" for kind in shown), told, checks])
    head = ("finder", "images", "lowest infidelity on lenses", "randomisation check")
    return ["## Finder by finder", "", markdown_table(head, rows), ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("keep").add_argument("words", nargs="+", metavar="NAME=FOLDER")
    commands.add_parser("page").add_argument("--made", required=True, metavar="DAY")
    options = parser.parse_args()
    if options.command == "keep":
        keep(options.words)
    else:
        page(options.made)


if __name__ == "__main__":
    main()
