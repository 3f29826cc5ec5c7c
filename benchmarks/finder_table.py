"""The table of docs/finders.md: what the shipped finders measured at the end of their training, from their records.

python benchmarks/finder_table.py
"""

from __future__ import annotations

from pathlib import Path

from lensaudit.finders import builtin_recipes, read_record
from lensaudit.finders.facts import MetricFacts
from lensaudit.finders.store import FINDER_FILE
from lensaudit.training import FLAT, late_fall, read_history

COLUMNS = ("auroc", "tpr_at_fpr", "tpr0", "tpr10", "accuracy")


def main() -> None:
    """Print one row per finder that has weights."""
    print(
        "| finder | parameters | trained on | last third | test images | AUROC | completeness at FPR 1 % | TPR0 "
        "| TPR10 | accuracy |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, folder in builtin_recipes().items():
        if not (folder / FINDER_FILE).is_file() or name == "cae-bgm":  # docs/clusters.md has that
            continue
        record = read_record(folder)
        data, measured, where = record.training_data, record.metrics.test, ""
        if measured is None or measured.auroc is None:
            measured, where = record.metrics.validation, " of validation"
        trained = f"{data.n_training} {data.population}" if data.n_training is not None else "see its card"
        trained += "" if data.redden is None else " reddened"
        cells = [f"`{name}`", f"{record.parameters}", trained, _curve(folder)]
        if measured is not None and measured.auroc is not None:
            cells += [f"{measured.n_lenses} + {measured.n_non_lenses}{where}"]
            cells += [_cell(getattr(measured, column)) for column in COLUMNS]
        else:
            cells += ["see its card", *[""] * len(COLUMNS)]
        print(f"| {' | '.join(cells)} |")


def _curve(folder: Path) -> str:
    """By how much the last third of the epochs lowered the validation loss, and whether that is flat."""
    history = folder / "history.csv"
    if not history.is_file():
        return "see its card"
    losses = [row.validation_loss for row in read_history(history)]
    fall = late_fall(losses)
    if fall is None:
        return f"{len(losses)} epoch{'' if len(losses) == 1 else 's'}: too few to say"
    return f"−{100 * fall:.1f} % of {len(losses)} epochs: {'flat' if fall < FLAT else 'falling'}"


def _cell(metric: MetricFacts | None) -> str:
    if metric is None or metric.value is None:
        return "–"
    interval = "" if metric.low is None else f" [{metric.low:.3f}, {metric.high:.3f}]"
    return f"{metric.value:.3f}{interval}"


if __name__ == "__main__":
    main()
