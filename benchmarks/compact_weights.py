"""Ways to bring LensFlow below 8 MB, beside each other: fewer bits, units or weights left out, low rank.

python benchmarks/compact_weights.py runs/lensflow runs/choosing

The set chooses among them, so that it must be neither the training's nor the one the choice is tested on. Sizes are of
the large matrices as they would be stored, in MB; nothing is written. All but fewer bits are measured with what is
left in 8 bit.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import nn

from lensaudit.finders import Finder, load_finder, rounded_to_bits, score_set
from lensaudit.finders.store import weights_bytes
from lensaudit.lensset import LensSet
from lensaudit.statistics import area_change

DENSE = 10
"""Place of the first dense layer, which has 7.29 of the 8.75 million weights; its ReLU and the next layer follow."""

UNITS_OUT = (0.12, 0.4)
WEIGHTS_OUT = (0.25,)
RANK = 740

Change = Callable[[nn.Sequential], float]
"""Changes a module in place; returns by how many MB the file in 8 bit is smaller then."""


def main() -> None:
    """Print a row for each way."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("finder")
    words.add_argument("choosing")
    words.add_argument("--threads", type=int, default=1)
    given = words.parse_args()
    torch.set_num_threads(given.threads)
    full, lens_set = load_finder(given.finder), LensSet.open(given.choosing)
    before, lens = score_set(full, lens_set).logit, lens_set.labels == 1
    print(f"{full.name} on {given.choosing}: {lens.sum()} lenses, {(~lens).sum()} non-lenses")
    print(f"standard deviation of the log-odds {before.std():.3f}")
    print("| way | MB | AUROC | change of the AUROC | change of the log-odds, median | largest |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, bits, change in ways(full, lens_set):
        finder = replace(full, module=copy.deepcopy(full.module))
        saved = change(finder.module)  # type: ignore[arg-type]
        finder = rounded_to_bits(finder, bits)
        after = score_set(finder, lens_set).logit
        area = area_change((before[lens], before[~lens]), (after[lens], after[~lens]))
        moved = np.abs(after - before)
        print(
            f"| {name} | {len(weights_bytes(finder)) / 1e6 - saved:.2f} | {area.new:.4f} "
            f"| {area.change:+.4f} [{area.low:+.4f}, {area.high:+.4f}] | {np.median(moved):.4f} | {moved.max():.3f} |",
            flush=True,
        )


def ways(full: Finder, lens_set: LensSet) -> list[tuple[str, int, Change]]:
    """Name, bits of what is left, and what is done before rounding."""
    mean, order = by_contribution(full, lens_set)
    found: list[tuple[str, int, Change]] = [(f"{bits} bit", bits, lambda module: 0.0) for bits in (8, 7, 6, 4)]
    for share in UNITS_OUT:
        change = partial(drop_units, mean=mean, out=order[: round(share * len(order))])
        found.append((f"{share:.0%} of the first dense layer's units left out", 8, change))
    for share in WEIGHTS_OUT:
        name = f"{share:.0%} of the dense layers' weights left out, a bit of each in a mask"
        found.append((name, 8, partial(drop_weights, share=share)))
    return [*found, (f"first dense layer of rank {RANK}", 8, lower_rank)]


def dense(module: nn.Sequential) -> tuple[nn.Linear, nn.Linear]:
    """The first two dense layers."""
    first, second = module[DENSE], module[DENSE + 2]
    assert isinstance(first, nn.Linear)
    assert isinstance(second, nn.Linear)
    return first, second


@torch.inference_mode()
def by_contribution(full: Finder, lens_set: LensSet) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean activation of the first dense layer's units, and their order: least deviation × outgoing weight first."""
    prepared = full.preprocess(lens_set.cutouts(slice(0, min(256, len(lens_set)))))
    assert isinstance(full.module, nn.Sequential)
    active = full.module[: DENSE + 2](prepared)
    return active.mean(dim=0), (active.std(dim=0) * dense(full.module)[1].weight.norm(dim=0)).argsort()


@torch.inference_mode()
def drop_units(module: nn.Sequential, mean: torch.Tensor, out: torch.Tensor) -> float:
    """Whole units, whose mean goes into the next layer's bias."""
    first, second = dense(module)
    second.bias.add_(second.weight[:, out] @ mean[out])
    first.weight[out], first.bias[out], second.weight[:, out] = 0.0, 0.0, 0.0
    return len(out) * (first.in_features + second.out_features) / 1e6


@torch.inference_mode()
def drop_weights(module: nn.Sequential, share: float) -> float:
    """The smallest weights of each dense layer; a bit says of each whether it is there."""
    saved = 0.0
    for layer in module:
        if isinstance(layer, nn.Linear) and layer.out_features > 2:
            least = layer.weight.abs().flatten().kthvalue(round(share * layer.weight.numel())).values
            layer.weight[layer.weight.abs() <= least] = 0.0
            saved += (share - 1 / 8) * layer.weight.numel()
    return saved / 1e6


@torch.inference_mode()
def lower_rank(module: nn.Sequential) -> float:
    """The first dense layer as a product of two, each of which would be in 8 bit; measured without that rounding."""
    first, _ = dense(module)
    left, values, right = torch.linalg.svd(first.weight, full_matrices=False)
    first.weight.copy_(left[:, :RANK] * values[:RANK] @ right[:RANK])
    return (first.weight.numel() - RANK * (first.in_features + first.out_features)) / 1e6


if __name__ == "__main__":
    main()
