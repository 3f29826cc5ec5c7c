"""The table of docs/finders.md: what the shipped finders measured at the end of their training, from their records.

python benchmarks/finder_table.py
"""

from __future__ import annotations

from lensaudit.finders import builtin_recipes, read_record
from lensaudit.finders.facts import MetricFacts
from lensaudit.finders.store import FINDER_FILE

COLUMNS = ("auroc", "tpr_at_fpr", "tpr0", "tpr10", "accuracy")


def main() -> None:
    """Print one row per finder that has weights."""
    print(
        "| finder | parameters | trained on | test images | AUROC | completeness at FPR 1 % | TPR0 | TPR10 | accuracy |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, folder in builtin_recipes().items():
        if not (folder / FINDER_FILE).is_file():
            continue
        record = read_record(folder)
        data, test = record.training_data, record.metrics.test
        trained = f"{data.n_training} {data.population}" if data.n_training is not None else "see its card"
        cells = [f"`{name}`", f"{record.parameters}", trained]
        if test is not None and test.auroc is not None:
            cells += [f"{test.n_lenses} + {test.n_non_lenses}", *(_cell(getattr(test, column)) for column in COLUMNS)]
        else:
            cells += ["see its card", *[""] * len(COLUMNS)]
        print(f"| {' | '.join(cells)} |")


def _cell(metric: MetricFacts | None) -> str:
    if metric is None or metric.value is None:
        return "–"
    interval = "" if metric.low is None else f" [{metric.low:.3f}, {metric.high:.3f}]"
    return f"{metric.value:.3f}{interval}"


if __name__ == "__main__":
    main()
