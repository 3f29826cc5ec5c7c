"""Scoring a lens set with an ONNX file against onnxruntime's own loop over prepared arrays.

``python benchmarks/onnx_scoring.py`` writes a network with random weights as ONNX, scores cutouts from disk through its
YAML, and calls the same file by onnxruntime alone on prepared arrays in memory, in batches of the same size. Both take
turns in one run, so that other work on the machine meets both. Claim: ratio ≥ 0.9. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "tests")]
from network_files import write_onnx  # noqa: E402
from scoring import STORED, Repeated, clocks, write_noise  # noqa: E402

CLAIMED_RATIO = 0.9
WARM = 4  # batches


class OwnLoop:
    """onnxruntime alone, timed while scoring pauses."""

    def __init__(self, path: Path, images: np.ndarray, threads: int, every: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.name, self.inputs, self.every = self.session.get_inputs()[0].name, images, every
        self.spent, self.paused, self.images, self.calls = np.zeros(2), np.zeros(2), 0, 0

    def take_turn(self, done: int, n: int) -> None:
        self.calls += 1
        if self.calls % self.every and done < n:
            return
        began = clocks()
        for _ in range(self.every):
            self.session.run(None, {self.name: self.inputs})
        self.spent += clocks() - began
        self.images += self.every * len(self.inputs)
        self.paused += clocks() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--recipe", default="petrillo")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()

    import torch
    import yaml

    from lensaudit.finders import initialised_module, load_finder, load_recipe, score_set
    from lensaudit.finders.score import default_batch_size
    from lensaudit.lensset import LensSet

    torch.set_num_threads(arguments.threads)
    recipe = load_recipe(arguments.recipe)
    net = initialised_module(recipe, torch.Generator().manual_seed(1)).eval()
    with tempfile.TemporaryDirectory() as folder:
        write_noise(Path(folder) / "noise", STORED)
        network = write_onnx(net, Path(folder) / "network.onnx", shape=(len(recipe.bands), recipe.size))
        told = {
            "file": network.name, "bands": ["VIS", "H", "J", "Y"][: len(recipe.bands)], "size": recipe.size,
            "stretch": "minmax", "field_of_view_arcsec": 20.0,
        }  # fmt: skip
        Path(folder, "network.yaml").write_text(yaml.safe_dump(told))
        finder = load_finder(str(Path(folder) / "network.yaml"))
        lens_set, batch = LensSet.open(Path(folder) / "noise"), default_batch_size(finder)
        score_set(finder, Repeated(lens_set, WARM * batch), batch_size=batch)
        prepared = finder.preprocess(lens_set.cutouts(np.arange(batch) % len(lens_set))).contiguous().numpy()
        own = OwnLoop(network, prepared, arguments.threads, every=4)
        began = clocks()
        score_set(finder, Repeated(lens_set, arguments.images), batch_size=batch, progress=own.take_turn)
        scoring = (clocks() - began - own.paused) / arguments.images
    ratio = own.spent / own.images / scoring
    print(f"{arguments.recipe} as ONNX, {arguments.images} cutouts in batches of {batch}: {1 / scoring[0]:.0f}/s")
    print(f"ratio to onnxruntime's own loop {ratio[0]:.3f} (by CPU seconds {ratio[1]:.3f}; claim ≥ {CLAIMED_RATIO})")
    sys.exit(int(ratio[0] < CLAIMED_RATIO))


if __name__ == "__main__":
    main()
