"""Keras models: the scores and maps of the same network in torch, and nothing in a file is run."""

from __future__ import annotations

import json
import os
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from network_files import BANDS, SIZE, changed, declaration, small_network
from torch import nn

from lensaudit.errors import DataError, MachineError
from lensaudit.explaining.functions import explain_prepared
from lensaudit.finders import declare_finder, load_finder


@pytest.fixture(scope="module")
def keras(tmp_path_factory):
    """Keras on torch, which writes its settings where it finds no home."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
        warnings.simplefilter("ignore")
        os.environ["KERAS_BACKEND"] = "torch"
        return pytest.importorskip("keras", reason="is not installed: make install")


def as_keras(net: nn.Sequential, keras: Any) -> Any:
    """The same network with the same weights; it flattens in the order of torch."""
    layers, weights = [keras.Input((SIZE, SIZE, len(BANDS)))], []
    for layer in net:
        if isinstance(layer, nn.Conv2d):
            layers.append(keras.layers.Conv2D(layer.out_channels, layer.kernel_size, padding="same"))
            weights += [layer.weight.permute(2, 3, 1, 0), layer.bias]
        elif isinstance(layer, nn.Linear):
            layers.append(keras.layers.Dense(layer.out_features))
            weights += [layer.weight.T, layer.bias]
        elif isinstance(layer, nn.Flatten):
            layers += [keras.layers.Permute((3, 1, 2)), keras.layers.Flatten()]
        else:
            layers.append({nn.ReLU: keras.layers.ReLU, nn.MaxPool2d: keras.layers.MaxPooling2D}[type(layer)]())
    model = keras.Sequential(layers)
    model.set_weights([tensor.detach().numpy() for tensor in weights])
    return model


@pytest.fixture(scope="module")
def net() -> nn.Sequential:
    return nn.Sequential(*(layer for layer in small_network() if not isinstance(layer, nn.Dropout))).eval()


@pytest.fixture(scope="module")
def folder(net, keras, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    model = as_keras(net, keras)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(folder / "new.keras")
        model.save(folder / "three.h5")
    shutil.copy(folder / "three.h5", folder / "two.h5")
    _as_keras_two(folder / "two.h5")
    return folder


def _as_keras_two(path: Path) -> None:
    """As Keras 2.0 wrote it: a bare list, the input's shape in the first layer, classes without their modules."""
    import h5py

    with h5py.File(path, "r+") as file:
        layers = json.loads(file.attrs["model_config"])["config"]["layers"][1:]
        for layer in layers:
            layer["config"].pop("dtype", None)
            for value in layer["config"].values():
                if isinstance(value, dict):
                    value.pop("module", None)
                    value.pop("registered_name", None)
        layers[0]["config"]["batch_input_shape"] = [None, SIZE, SIZE, len(BANDS)]
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": layers})
        file.attrs["keras_version"] = "2.0.8"


@pytest.mark.parametrize("file", ["new.keras", "three.h5", "two.h5"])
def test_scores_and_maps_are_those_of_the_network_in_torch(folder, net, file):
    finder = load_finder(declaration(folder / file, file.split(".")[0]))
    images = torch.rand(3, len(BANDS), SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    own = declare_finder(net, BANDS, SIZE)
    # channels last and first are summed in other orders: some roundings of single precision
    torch.testing.assert_close(finder.logit(images), own.logit(images), rtol=0, atol=1e-5)
    assert finder.parameters == own.parameters
    for method in ("saliency", "occlusion") if file == "new.keras" else ("saliency",):
        ours, theirs = (explain_prepared(one, images[:1], method).maps for one in (finder, own))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())


def _layer(document: dict) -> dict:
    return document["config"]["layers"][1]


LAMBDA = {"class_name": "__lambda__", "config": {"value": "4wEAAA=="}}
DOWNLOAD = {"module": "keras.utils", "class_name": "function", "config": "get_file", "registered_name": "get_file"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda d: _layer(d).update(class_name="Lambda"),
            "has a Lambda layer, which is stored code; export",
        ),
        (lambda d: _layer(d)["config"].update(activation=LAMBDA), "has a Lambda layer, which is stored code"),
        (lambda d: _layer(d)["config"].update(activation=DOWNLOAD), "has the function 'get_file', which is not run"),
        (
            lambda d: _layer(d)["config"].update(activation="get_file"),
            "has the activation 'get_file', which is none of",
        ),
        (lambda d: _layer(d).update(class_name="Mine"), "has 'Mine', which is not among the layers"),
        (lambda d: _layer(d).update(registered_name="my>Conv2D"), "has 'my>Conv2D', which is not among the layers"),
        (lambda d: _layer(d).update(module="os"), "has 'Conv2D' of 'os', which is not run from a file"),
        (lambda d: _layer(d)["config"].update(filters=5), "cannot build it"),
    ],
)
def test_what_could_run_code_is_refused(folder, tmp_path, change, says):
    with pytest.raises(DataError) as refused:
        load_finder(declaration(changed(folder / "new.keras", tmp_path / "bad.keras", "config.json", change)))
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_weights_alone_torn_files_and_data_elsewhere_get_one_line(folder, tmp_path):
    import h5py

    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file["kernel"] = np.zeros(3)
    with h5py.File(tmp_path / "linked.h5", "w") as file:
        file["kernel"] = h5py.ExternalLink("/etc/passwd", "x")
    for name in ("new.keras", "three.h5"):
        (tmp_path / f"torn-{name}").write_bytes((folder / name).read_bytes()[:3000])
    for name, says in {
        "weights.h5": "holds weights alone, not the network; save it again with model.save(FILE)",
        "linked.h5": "has data in another file",
        "torn-new.keras": "is torn",
        "torn-three.h5": "is torn",
    }.items():
        with pytest.raises(DataError) as refused:
            load_finder(declaration(tmp_path / name))
        assert says in str(refused.value)


def test_without_keras_or_on_another_backend_one_line_says_what_to_do(folder, keras, monkeypatch):
    told = declaration(folder / "new.keras")
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    with pytest.raises(MachineError, match="Keras runs on tensorflow in this process, torch is needed; set KERAS"):
        load_finder(told)
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(MachineError, match=r"is a Keras model; pip install 'lensaudit\[keras\]'"):
        load_finder(told)


def _ending(net: nn.Sequential, keras: Any, how: str, steep: float) -> Any:
    """The network as a Keras model that gives probabilities, its log-odds times `steep`."""
    model = as_keras(net, keras)
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel * steep, bias * steep])
    last = model.layers[-1]
    if how == "dense":
        last.activation = keras.activations.softmax
        return model
    if how == "inside":
        last.activation = keras.activations.softmax
        images = keras.Input((SIZE, SIZE, len(BANDS)))
        return keras.Model(images, model(images))
    layer = keras.layers.Activation("softmax") if how == "activation" else keras.layers.Softmax()
    return keras.Sequential([keras.Input((SIZE, SIZE, len(BANDS))), *model.layers, layer])


@pytest.mark.parametrize("how", ["dense", "inside", "activation", "softmax"])
def test_a_last_softmax_is_left_out_for_log_odds_without_end(net, keras, tmp_path, how):
    """Steep enough that p is 1 or 0 in single precision, where a softmax says nothing and has no gradient."""
    steep = 3e4
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _ending(net, keras, how, steep).save(tmp_path / "ends.keras")
    finder = load_finder(declaration(tmp_path / "ends.keras", outputs="softmax"))
    images = torch.rand(3, len(BANDS), SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    own = declare_finder(net, BANDS, SIZE).logit(images).detach() * steep
    assert float(own.abs().min()) > 100  # a softmax in single precision ends at 87
    # float32 rounding of sums in another order, times the steepness
    torch.testing.assert_close(finder.logit(images).detach(), own, rtol=1e-3, atol=1e-5 * steep)
    assert np.abs(explain_prepared(finder, images[:1], "saliency").maps).max() > 0


@pytest.mark.parametrize(("kind", "ends"), [("probability", "sigmoid"), ("softmax", "softmax")])
def test_a_last_activation_of_another_kind_or_with_more_behind_it_stays(net, keras, tmp_path, kind, ends):
    """Squares of a sigmoid, and a softmax whose classes are turned round behind it, are no sigmoid and no softmax."""
    model = as_keras(net, keras)
    model.layers[-1].activation = getattr(keras.activations, ends)
    p = model.outputs[0]
    behind = (
        keras.layers.Multiply()([p, p])
        if ends == "sigmoid"
        else keras.layers.Permute((2, 1))(keras.layers.Permute((2, 1))(keras.layers.Reshape((2, 1))(p)))
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        keras.Model(model.inputs, behind).save(tmp_path / "more.keras")
    finder = load_finder(declaration(tmp_path / "more.keras", outputs=kind))
    images = torch.rand(3, len(BANDS), SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    logits = net(images).detach()
    p = torch.sigmoid(logits[:, 1]) ** 2 if ends == "sigmoid" else torch.softmax(logits, 1)[:, 1]
    torch.testing.assert_close(torch.sigmoid(finder.logit(images)), p, rtol=0, atol=1e-5)
    assert finder.module.bare is False


def test_of_several_results_the_one_that_is_named_is_scored(net, keras, tmp_path):
    model = as_keras(net, keras)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        keras.Model(model.inputs, [keras.layers.Rescaling(-3.0)(model.outputs[0]), *model.outputs]).save(
            tmp_path / "two.keras"
        )
    with pytest.raises(DataError, match=r"gives 2 result\(s\); say which in the declaration: output: 0"):
        load_finder(declaration(tmp_path / "two.keras"))
    images = torch.rand(3, len(BANDS), SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    logits = net(images).detach()
    for output, factor in ((0, -3), (1, 1)):
        finder = load_finder(declaration(tmp_path / "two.keras", output=output))
        wanted = factor * (logits[:, 1] - logits[:, 0])
        torch.testing.assert_close(finder.logit(images), wanted, rtol=0, atol=1e-5)  # sums of float32
