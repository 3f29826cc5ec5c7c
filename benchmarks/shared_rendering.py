"""Rendering both arms of a pair together against apart, where the edit only turns the PSF or only changes a colour.

The images must be the same bits. Printed are the medians over pairs of paired repeats: CPU time apart over together, in
one run on one core. The kernels of the PSF are drawn before, as an audit draws them once for all pairs.

    python benchmarks/shared_rendering.py [--pairs 30]

Claim: ratio ≥ 1.5 for both.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from lensaudit.imaging import EUCLID, Rendered, render, render_arms
from lensaudit.scenes import Scene, draw_scene, edits

CLAIMED_RATIO = 1.5
EDITS: dict[str, Callable[[Scene], Scene]] = {
    "PSF turned by 60°": lambda scene: edits.psf_angle(scene, 60.0),
    "source half way to the lens galaxy's colour": lambda scene: edits.source_colour(scene, 0.5),
}


def equal(one: Rendered, other: Rendered) -> bool:
    """Whether all images and all lensed light are the same bits."""
    return all(
        np.array_equal(a[band], b[band])
        for a, b in ((one.images, other.images), (one.truth.source_light, other.truth.source_light))
        for band in EUCLID.band_names
    )


def seconds(call: Callable[[], object]) -> float:
    """Processor seconds of one call."""
    start = time.process_time()
    call()
    return time.process_time() - start


def main() -> None:
    """Check that the bits agree, then time both ways in turn, the first of them changing places."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=30)
    pairs = parser.parse_args().pairs
    lowest = np.inf
    for name, edit in EDITS.items():
        ratios = []
        for index in range(pairs):
            arms = [draw_scene("single", 7, index), edit(draw_scene("single", 7, index))]
            apart = [render(arm, EUCLID) for arm in arms]
            if not all(equal(a, b) for a, b in zip(apart, render_arms(arms, EUCLID), strict=True)):
                sys.exit(f"{name}: pair {index} differs between together and apart")
            ways = (
                lambda arms=arms: [render(arm, EUCLID) for arm in arms],
                lambda arms=arms: render_arms(arms, EUCLID),
            )
            order = (0, 1) if index % 2 else (1, 0)
            spent = {which: min(seconds(ways[which]) for _ in range(3)) for which in order}
            ratios.append(spent[0] / spent[1])
        low, middle, high = np.percentile(ratios, [25, 50, 75])
        print(
            f"{name}: apart over together {middle:.2f} (quartiles {low:.2f} to {high:.2f}, n = {pairs} pairs), "
            "bit-equal in all"
        )
        lowest = min(lowest, middle)
    print(f"lowest ratio {lowest:.2f} (claim ≥ {CLAIMED_RATIO})")
    sys.exit(int(lowest < CLAIMED_RATIO))


if __name__ == "__main__":
    main()
