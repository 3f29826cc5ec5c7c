"""Keras models (``.keras``, ``.h5``) on Keras 3's torch backend, once it is known that they name plain layers alone.

Keras builds what a model's configuration names, and some of that can run code: Lambda layers, and functions of other
packages. So the configuration is read here first, and every class and function in it must be one of a list.
"""

from __future__ import annotations

import copy
import io
import json
import os
import shutil
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lensaudit.documents import json_of
from lensaudit.errors import DataError, MachineError
from lensaudit.files import sha256
from lensaudit.finders.formats.declaration import Outputs
from lensaudit.untrusted import kind_of, printable

AGAIN = "save it again with model.save(FILE)"
LARGEST_CONFIG = 16 << 20
_MEMBERS = {"metadata.json", "config.json", "model.weights.h5"}
_ROOM = 64 << 20
"""Bytes that the tensors of a file may have beyond eight times the file's own."""

_CLASSES = frozenset(
    """
    Sequential Functional Model InputLayer Activation ActivityRegularization Add AlphaDropout Average AveragePooling2D
    BatchNormalization Concatenate Conv2D Conv2DTranspose Cropping2D Dense DepthwiseConv2D Dropout ELU Flatten
    GaussianDropout GaussianNoise GlobalAveragePooling2D GlobalMaxPooling2D GroupNormalization LayerNormalization
    LeakyReLU MaxPooling2D Maximum Minimum Multiply PReLU Permute RandomContrast RandomFlip RandomRotation
    RandomTranslation RandomZoom ReLU Rescaling Reshape SeparableConv2D Softmax SpatialDropout2D Subtract
    UnitNormalization UpSampling2D ZeroPadding2D DTypePolicy Policy __keras_tensor__
    Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity LecunNormal LecunUniform Ones Orthogonal
    RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros
    L1 L2 L1L2 MaxNorm MinMaxNorm NonNeg UnitNorm
    """.split()  # noqa: SIM905
)
"""Layers, initialisers, regularisers and constraints that calculate, and run nothing that a file brings."""
_FUNCTIONS = frozenset(
    """
    elu exponential gelu hard_sigmoid hard_silu hard_swish leaky_relu linear log_softmax mish relu relu6 selu sigmoid
    silu softmax softplus softsign swish tanh
    """.split()  # noqa: SIM905
)
_MODULES = ("keras", "builtins", "tensorflow.keras", "tf_keras", "tensorflow.python.keras")


class KerasNetwork(nn.Module):
    """A model of Keras on the torch backend, called on the device of its images."""

    def __init__(self, model: Any, output: int | None) -> None:
        super().__init__()
        self.model, self.output = model, output
        self.requires_grad_(False)

    def __deepcopy__(self, memo: dict[int, Any]) -> KerasNetwork:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras goes by way of a file, and by calls that numpy deprecates
            return KerasNetwork(copy.deepcopy(self.model, memo), self.output)

    def without_activation(self, outputs: Outputs) -> KerasNetwork | None:
        """The model without its last activation, where that is the sigmoid or softmax of such outputs."""
        import keras

        kind = "sigmoid" if outputs == "probability" else "softmax"
        with warnings.catch_warnings(), keras.device("cpu"):
            warnings.simplefilter("ignore")
            found = _before(self.model.outputs[self.output or 0], kind, keras)
            if found is None:
                return None
            model = keras.Model(self.model.inputs, found)
            model.trainable = False
        return KerasNetwork(model, None)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """What the model gives for images in its own layout."""
        import keras

        with keras.device(str(images.device)):
            result = self.model(images, training=False)
        chosen: torch.Tensor = result if self.output is None or torch.is_tensor(result) else result[self.output]
        return chosen


def read_model(path: Path, output: int | None) -> tuple[KerasNetwork, tuple[int | None, ...], str]:
    """The model in a Keras file as a module, the shape of its input (None for any number), and the file's hash.

    Raises
    ------
    MachineError
        Keras is not installed, or runs on another backend than torch in this process.
    DataError
        The file is torn, holds weights alone, or names what could run code.
    """
    keras, h5py = _libraries(path)
    try:
        archive = kind_of(path).key == "keras"
        config = _config_in_zip(path, h5py) if archive else _config_in_hdf5(path, h5py)
    except DataError:
        raise
    except Exception as torn:  # zipfile and h5py fail in many ways on damaged files
        raise DataError(f"{path}: is torn ({printable(torn, 80)}); fetch the file again") from torn
    for what in _refused(config):
        raise DataError(f"{path}: {what}; export it as ONNX: model.export(FILE, format='onnx')")
    model = _built(path, config, archive, keras, h5py)
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple):
        raise DataError(f"{path}: takes several inputs, one image tensor is needed; export a model of one input")
    gives = len(model.outputs)
    if (output is None and gives > 1) or (output or 0) >= gives:
        raise DataError(f"{path}: gives {gives} result(s); say which in the declaration: output: 0")
    return KerasNetwork(model, None if gives == 1 else output), shape, sha256(path)


def _libraries(path: Path) -> tuple[Any, Any]:
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "torch"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own dependencies, which no user can act on
            import h5py
            import keras
    except ImportError as missing:
        raise MachineError(f"{path}: is a Keras model; pip install 'lensaudit[keras]'") from missing
    if keras.backend.backend() != "torch":
        raise MachineError(
            f"{path}: Keras runs on {keras.backend.backend()} in this process, torch is needed; set "
            f"KERAS_BACKEND=torch before it is imported"
        )
    return keras, h5py


def _config_in_zip(path: Path, h5py: Any) -> Any:
    with zipfile.ZipFile(path) as archive:
        members = {one.filename: one.file_size for one in archive.infolist()}
        if not _MEMBERS - {"metadata.json"} <= members.keys() <= _MEMBERS:
            odd = printable(min(members.keys() ^ _MEMBERS), 40)
            raise DataError(f"{path}: its members are not those of a plain model ({odd!r}); {AGAIN}")
        if sum(members.values()) > path.stat().st_size + 1000 or members["config.json"] > LARGEST_CONFIG:
            raise DataError(f"{path}: declares {sum(members.values()) / 1e6:.4g} MB, more than it has; {AGAIN}")
        with h5py.File(io.BytesIO(archive.read("model.weights.h5")), "r") as weights:
            _check_hdf5(path, weights, h5py)
        return json_of(archive.read("config.json"), f"{path}: config.json", AGAIN, nan=True)


def _config_in_hdf5(path: Path, h5py: Any) -> Any:
    with h5py.File(path, "r") as file:
        _check_hdf5(path, file, h5py)
        words = file.attrs.get("model_config")
        if words is None:
            raise DataError(f"{path}: holds weights alone, not the network; {AGAIN}, which stores both")
        config = json_of(words, f"{path}: model_config", AGAIN, nan=True)
    return _as_today(config)


def _as_today(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration of Keras 2 as Keras 3 reads it: a Sequential has a name, and an input of its own."""
    inner = config.get("config")
    if config.get("class_name") != "Sequential":
        return config
    told = {"name": "sequential", "layers": inner} if isinstance(inner, list) else dict(inner or {})
    layers = list(told.get("layers", []))
    first = dict(layers[0].get("config", {})) if layers else {}
    shape = first.pop("batch_input_shape", None)
    if shape is not None:
        own = {"class_name": "InputLayer", "config": {"batch_shape": shape, "dtype": "float32", "name": "input_images"}}
        rest = layers[1:] if layers[0]["class_name"] == "InputLayer" else [layers[0] | {"config": first}, *layers[1:]]
        told["layers"] = [own, *rest]
    return config | {"config": told}


def _check_hdf5(path: Path, file: Any, h5py: Any) -> None:
    """Refuse a file whose data lie in other files, or are far larger than it."""
    total = 0

    def see(group: Any) -> None:
        nonlocal total
        for name in group:
            if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
                raise DataError(f"{path}: has data in another file; {AGAIN}")
            one = group[name]
            if isinstance(one, h5py.Group):
                see(one)
            elif one.external:
                raise DataError(f"{path}: has data in another file; {AGAIN}")
            else:
                total += one.nbytes

    see(file)
    if total > 8 * path.stat().st_size + _ROOM:
        raise DataError(f"{path}: declares {total / 1e6:.4g} MB of weights, far more than it has; {AGAIN}")


def _refused(value: Any, key: str = "") -> Iterator[str]:
    """What in a configuration is not on the list, as clauses."""
    if isinstance(value, Mapping):
        name = value.get("class_name")
        if name is not None:
            yield from _refused_class(value, str(name))
        for inner, one in value.items():
            if inner != "compile_config":  # is never read
                yield from _refused(one, str(inner))
    elif isinstance(value, list):
        for one in value:
            yield from _refused(one, key)
    elif key.endswith("activation") and isinstance(value, str) and value not in _FUNCTIONS:
        yield f"has the activation {printable(value, 40)!r}, which is none of Keras' own"


def _refused_class(value: Mapping[str, Any], name: str) -> Iterator[str]:
    module, registered = value.get("module"), value.get("registered_name")
    if "lambda" in name.casefold():
        yield "has a Lambda layer, which is stored code"
    elif name == "function":
        if value.get("config") not in _FUNCTIONS:
            yield f"has the function {printable(value.get('config'), 40)!r}, which is not run from a file"
    elif name not in _CLASSES or registered not in (None, name):
        yield f"has {printable(registered or name, 40)!r}, which is not among the layers that are run from a file"
    if module is not None and str(module).partition(".src")[0] not in (*_MODULES, *(f"keras.{one}" for one in _PARTS)):
        yield f"has {printable(name, 40)!r} of {printable(module, 40)!r}, which is not run from a file"


_PARTS = ("layers", "initializers", "regularizers", "constraints", "activations", "models", "dtype_policies")


def _built(path: Path, config: Mapping[str, Any], archive: bool, keras: Any, h5py: Any) -> Any:
    """The model, from a copy of an HDF5 file with the configuration that was checked."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), keras.device("cpu"):
        warnings.simplefilter("ignore")  # of arguments that newer versions call otherwise
        own = Path(folder) / ("model.keras" if archive else "model.h5")
        shutil.copyfile(path, own)
        if not archive:
            with h5py.File(own, "r+") as file:
                file.attrs["model_config"] = json.dumps(config)
                file.attrs.pop("training_config", None)
        try:
            model = keras.saving.load_model(own, compile=False, safe_mode=True)
        except Exception as error:  # of its own kinds
            reason = printable(" ".join(str(error).split()), 120)
            raise DataError(f"{path}: Keras {keras.__version__} cannot build it ({reason}); {AGAIN}") from error
    if not hasattr(model, "outputs"):
        raise DataError(f"{path}: its model has no input shape; {AGAIN} after it was called once")
    model.trainable = False
    return model


def _before(result: Any, kind: str, keras: Any) -> Any:
    """What a result of a model is before the activation `kind` of the layer that gives it; None where it has none.

    Weights and the layers before are shared; the last layer of a model within the model counts too.
    """
    history = result._keras_history
    layer, node = history.operation, history.operation._inbound_nodes[history.node_index]
    takes = node.input_tensors
    if len(takes) != 1:
        return None
    if isinstance(layer, keras.Model):
        inner = _before(layer.outputs[history.tensor_index], kind, keras)
        return None if inner is None else keras.Model(layer.inputs, inner, name=layer.name)(takes[0])
    if isinstance(layer, keras.layers.Softmax):
        return takes[0] if kind == "softmax" else None
    if getattr(layer, "activation", None) is not getattr(keras.activations, kind):
        return None
    plain = type(layer).from_config({**layer.get_config(), "activation": "linear"})
    logits = plain(takes[0])
    plain.set_weights(layer.get_weights())
    return logits
