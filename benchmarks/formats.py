"""One network in four formats: a small CNN trained in Keras, an audit page of each, and equal numbers.

The CNN has the layers of our ``petrillo``, so that its weights also go into a safetensors file of that architecture.
It is trained by Keras on prepared images of a simulated set (conspicuous lenses among galaxies without a source),
turned and mirrored anew in each epoch, and saved as ``.keras``; the same weights as safetensors, as a program of
torch.export (``.pt2``) and as ONNX. The preprocessing is declared in steps, the same in every YAML.
Each file is declared by a YAML and audited by ``lensaudit report`` with the same probes. Printed: AUROC of each, and
the largest difference of a score from the Keras file's. Exit 1 where scores differ by more than 1e-5, a metric by more
than 1e-6, or the words of a finding are others.

    python benchmarks/formats.py [--n 3000] [--epochs 12] [--population conspicuous] [--out DIR]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "torch"
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import numpy as np
import torch
from network_files import write_onnx, write_program
from torch import nn

from lensaudit.finders import declare_finder, initialised_module, load_recipe, read_scores
from lensaudit.lensset import LensSet, simulate

SIZE, FIELD, BANDS = 45, 20.0, ("VIS", "H")
STEPS: list[dict[str, Any]] = [
    {"step": "crop", "fraction": 0.6},
    {"step": "resize"},
    {"step": "minmax"},
    {"step": "asinh", "a": 0.02},
]
LIMIT = 1e-5
BATCH = 32


def trained(lens_set: LensSet, epochs: int) -> Any:
    """A Keras model of petrillo's layers, trained on the set as a finder prepares it; one logit.

    He-normal weights, Adam at 1e-3 that falls to 0 along a cosine, dropout 0.3; no image is held out, as nothing is
    chosen by one.
    """
    import keras

    keras.utils.set_random_seed(1)
    layers: list[Any] = [keras.Input((len(BANDS), SIZE, SIZE))]
    for kernels, width, pooled in ((16, 7, True), (32, 5, True), (64, 3, False), (64, 3, False), (64, 3, True)):
        layers.append(
            keras.layers.Conv2D(
                kernels, width, padding="same", activation="relu", data_format="channels_first",
                kernel_initializer="he_normal",
            )
        )  # fmt: skip
        if pooled:
            layers.append(keras.layers.MaxPooling2D(2, data_format="channels_first"))
    dense = keras.layers.Dense(256, activation="relu", kernel_initializer="he_normal")
    layers += [keras.layers.Flatten(), keras.layers.Dropout(0.3), dense, keras.layers.Dropout(0.3)]
    model = keras.Sequential([*layers, keras.layers.Dense(1)])
    images, labels = prepared(lens_set), lens_set.labels.astype(np.float32)
    falling = keras.optimizers.schedules.CosineDecay(1e-3, epochs * -(-len(images) // BATCH))
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(falling), loss=loss)
    for epoch in range(epochs):
        model.fit(turned(images, epoch), labels, batch_size=BATCH, epochs=1, verbose=0)
    return model


def turned(images: np.ndarray, epoch: int) -> np.ndarray:
    """The images, each in one of its eight orientations."""
    ways = np.random.default_rng([1, epoch]).integers(0, 8, len(images))
    found = np.empty_like(images)
    for way in range(8):
        some = np.rot90(images[ways == way], way % 4, (2, 3))
        found[ways == way] = some[..., ::-1] if way > 3 else some
    return found


def prepared(lens_set: LensSet) -> np.ndarray:
    """Images (n, 2, 45, 45) as every finder of this script takes them."""
    finder = declare_finder(nn.Flatten(), bands=BANDS, size=SIZE, field_of_view_arcsec=FIELD, stretch=STEPS)
    images, _ = finder.prepare(lens_set.cutouts(slice(None)))
    return np.asarray(images.contiguous().numpy())


def as_torch(model: Any) -> nn.Sequential:
    """Our petrillo with the weights of the Keras model."""
    words = {"bands": BANDS, "size": SIZE, "outputs": 1, "field_of_view_arcsec": FIELD}
    net = initialised_module(load_recipe("petrillo").model_copy(update=words), torch.Generator().manual_seed(0)).eval()
    weights = [np.asarray(value) for value in model.get_weights()]
    turned = [torch.from_numpy(np.ascontiguousarray(one.transpose(*{4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[one.ndim])))
              for one in weights]  # fmt: skip
    net.load_state_dict(dict(zip(net.state_dict(), turned, strict=True)))
    assert isinstance(net, nn.Sequential)
    return net


def written(model: Any, folder: Path) -> dict[str, Path]:
    """Format → the YAML that declares its file."""
    from safetensors.torch import save_file

    net = as_torch(model)
    model.save(folder / "cnn.keras")
    save_file(net.state_dict(), folder / "cnn.safetensors")
    write_program(net, folder / "cnn.pt2", torch.rand(2, len(BANDS), SIZE, SIZE))
    write_onnx(net, folder / "cnn.onnx", shape=(len(BANDS), SIZE))
    found = {}
    for ending, more in (
        ("keras", "layout: NCHW"), ("safetensors", "architecture: petrillo"), ("pt2", ""), ("onnx", ""),
    ):  # fmt: skip
        found[ending] = folder / f"{ending}.yaml"
        found[ending].write_text(
            f"file: cnn.{ending}\nname: cnn\nbands: [{', '.join(BANDS)}]\nsize: {SIZE}\nfield_of_view_arcsec: {FIELD}\n"
            f"preprocessing: {json.dumps(STEPS)}\noutputs: logit\nn_outputs: 1\nlens_index: 0\n{more}\n"
        )
    return found


def lensaudit(*words: object) -> None:
    """Run a command; its error is ours."""
    subprocess.run([sys.executable, "-m", "lensaudit", *map(str, words)], check=True)


def numbers(audit: Path) -> dict[str, Any]:
    """What the page says of the finder: metrics with intervals, and its findings."""
    found = json.loads((audit / "audit.json").read_text())
    metrics = {one["name"]: (one["value"], one["low"], one["high"]) for one in found["performance"]["metrics"]}
    return {"metrics": metrics, "findings": [(one["text"], one["verdict"]) for one in found["findings"]]}


def alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two pages say the same: findings word by word, metrics within float32's rounding of the scores."""
    ours, theirs = (np.array(list(page["metrics"].values()), float) for page in (one, other))
    return one["findings"] == other["findings"] and np.allclose(ours, theirs, rtol=0, atol=1e-6, equal_nan=True)


def main() -> None:
    """Train, write, audit, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=3000)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--population", default="conspicuous")
    parser.add_argument("--out", type=Path, default=None, help="Keep files and pages here.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if options.out is None else options.out
        folder.mkdir(parents=True, exist_ok=True)
        for name, n, seed in (("train", options.n, 1), ("test", 600, 2)):
            simulate("euclid", options.population, n, seed, folder / name, 2)
        files = written(trained(LensSet.open(folder / "train"), options.epochs), folder)
        kept, good = {}, True
        for name, declared in files.items():
            lensaudit("score", declared, folder / "test", "--out", folder / f"{name}.parquet", "--top", 0)
            lensaudit(
                "report", declared, "--set", folder / "test", "--probe", "red-source", "--probe", "compound",
                "--probe-n", 60, "--judge-n", 0, "--dream-steps", 0, "--no-kernels", "--no-embed",
                "--out", folder / f"page-{name}",
            )  # fmt: skip
            scores = read_scores(folder / f"{name}.parquet")[0].logit
            kept[name] = scores, numbers(folder / f"page-{name}")
            apart = float(np.abs(scores - kept["keras"][0]).max())
            same = alike(kept[name][1], kept["keras"][1])
            good &= apart <= LIMIT and same
            auroc = "{:.4f} [{:.4f}, {:.4f}]".format(*kept[name][1]["metrics"]["auroc"])
            print(
                f"{name}: AUROC {auroc}, log-odds within {apart:.1e} of Keras', page {'equal' if same else 'differs'}"
            )
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
