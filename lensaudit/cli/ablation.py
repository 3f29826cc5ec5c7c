"""``lensaudit train --ablate``: what it shows while it runs, and at the end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lensaudit.cli.console import say, say_json, say_text

if TYPE_CHECKING:
    from lensaudit.training import Machine, Place, Progress, TrainingData, Watch
    from lensaudit.training.ablation import Arm


def run_ablation(
    arms: Sequence[Arm], data: TrainingData, place: Place, repeats: int, machine: Machine, *, as_json: bool
) -> None:
    """Train the arms and show the table."""
    from lensaudit.training import ablate
    from lensaudit.training.ablate import PICTURE_FILE, RESULT_FILE, TABLE_FILE

    ablate(arms, data, place, repeats, machine, _began)
    if as_json:
        say_json(json.loads((place.out / RESULT_FILE).read_text(encoding="utf-8")))
        return
    say_text((place.out / TABLE_FILE).read_text(encoding="utf-8"))
    say(f"{place.out}: {RESULT_FILE}, {TABLE_FILE}, {PICTURE_FILE}; each training in ARM/seed-N")


def _began(arm: str, seed: int) -> Watch:
    return watch_epochs(f"{arm}, seed {seed}")


def watch_epochs(what: str) -> Watch:
    """A line on standard error after every epoch of the training `what`."""
    from lensaudit.training import Watch

    def stepped(progress: Progress, steps: int) -> None:
        if progress.batch == 0 and progress.history:
            row = progress.history[-1]
            say(
                f"{what}, epoch {row.epoch}: loss {row.train_loss:.4f}, validation loss "
                f"{row.validation_loss:.4f}, accuracy {row.validation_accuracy:.4f}, {row.seconds:.0f} s",
                err=True,
            )

    return Watch(stepped=stepped)
