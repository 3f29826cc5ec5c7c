"""A finder is a file: the same network in every format gives the same scores and maps, and nothing in it is run."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from lens_sets import EUCLID, write_set
from network_files import BANDS, SIZE, declaration, small_network, write_onnx, write_program
from safetensors.torch import save_file
from torch import nn

from lensaudit.errors import DataError, LensauditError, MachineError, UsageError
from lensaudit.explaining.functions import explain_prepared
from lensaudit.finders import load_finder, read_scores
from lensaudit.finders.formats.declaration import FinderFile
from lensaudit.finders.formats.network import as_finders_module, take_activation_off

FORMATS = ("weights.safetensors", "lightning.ckpt", "program.pt2", "network.onnx")
WITH_GRADIENTS = FORMATS[:3]


@pytest.fixture(scope="module")
def net():
    return small_network()


@pytest.fixture(scope="module")
def folder(net, tmp_path_factory) -> Path:
    """The network in every format; nobody writes into it."""
    folder = tmp_path_factory.mktemp("formats")
    state = net.state_dict()
    save_file(state, folder / "weights.safetensors")
    wrapped = {"state_dict": {f"model.net.{key}": tensor for key, tensor in state.items()}, "epoch": 3}
    torch.save(wrapped, folder / "lightning.ckpt")
    write_program(net, folder / "program.pt2")
    write_onnx(net, folder / "network.onnx")
    return folder


@pytest.fixture(scope="module")
def noise_set(tmp_path_factory):
    """Four images of noise in two bands."""
    rng = np.random.default_rng(3)
    images = {band: rng.normal(size=(4, EUCLID[band][0], EUCLID[band][0])).astype(np.float32) for band in BANDS}
    return write_set(tmp_path_factory.mktemp("noise") / "set", images, {band: EUCLID[band][1] for band in BANDS})


def opened(folder: Path, file: str, **words):
    weights = {"architecture": "petrillo"} if file.endswith(("safetensors", "ckpt")) else {}
    return load_finder(declaration(folder / file, file.split(".")[0], **weights, **words))


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(5, len(BANDS), SIZE, SIZE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("file", FORMATS)
def test_every_format_gives_the_scores_of_the_network(folder, net, images, file):
    finder = opened(folder, file)
    with torch.inference_mode():
        two = net(images)
        scores = finder.logit(images)
    # onnxruntime sums in another order: some roundings of single precision; the others call the same kernels
    torch.testing.assert_close(scores, two[:, 1] - two[:, 0], rtol=0, atol=1e-5 if "onnx" in file else 1e-6)
    assert finder.parameters == sum(tensor.numel() for tensor in net.parameters())
    assert (finder.recipe.outputs, finder.recipe.bands, finder.name) == (2, BANDS, file.split(".")[0])
    assert finder.differentiable == (file in WITH_GRADIENTS)


@pytest.mark.parametrize("method", ["saliency", "guided-backprop", "gradcam", "deeplift", "occlusion"])
def test_every_format_with_gradients_gives_the_same_maps(folder, images, method):
    maps = [explain_prepared(opened(folder, file), images[:1], method).maps for file in WITH_GRADIENTS]
    for other in maps[1:]:
        np.testing.assert_allclose(other, maps[0], rtol=0, atol=1e-6 * np.abs(maps[0]).max())  # the same kernels


def test_onnx_says_that_it_has_no_gradient_and_is_occluded(folder, images):
    finder = opened(folder, "network.onnx")
    with pytest.raises(DataError, match="has no gradient"):
        explain_prepared(finder, images[:1], "saliency")
    found = explain_prepared(finder, images[:1], "occlusion").maps
    wanted = explain_prepared(opened(folder, "program.pt2"), images[:1], "occlusion").maps
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max() + 1e-6)  # another order of sums


@pytest.mark.parametrize("file", FORMATS)
def test_commands_take_the_yaml_and_its_folder(folder, lensaudit, noise_set, tmp_path, file):
    shutil.copy(folder / file, tmp_path / file)
    weights = {"architecture": "petrillo"} if file.endswith(("safetensors", "ckpt")) else {}
    path = declaration(tmp_path / file, **weights)
    for name, told in (("yaml", path), ("folder", tmp_path)):
        code, _, error = lensaudit("score", told, noise_set.path, "--out", tmp_path / f"{name}.parquet")
        assert code == 0, error
    scores = [read_scores(tmp_path / f"{name}.parquet")[0].logit for name in ("yaml", "folder")]
    np.testing.assert_array_equal(*scores)
    native = {band: noise_set.cutouts(range(3))[band] for band in BANDS}
    finder = load_finder(path)
    with torch.inference_mode():
        np.testing.assert_allclose(scores[0][:3], finder.logit(finder.preprocess(native)).numpy(), atol=1e-5)
    code, text, _ = lensaudit("models", "show", path, "--json")
    assert code == 0
    assert json.loads(text)["recipe"]["size"] == SIZE


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"bandz": 3}, "mine.yaml: bandz: Extra inputs are not permitted"),
        ({"field_of_view_arcsec": None}, "neither field_of_view_arcsec nor pixel_scale_arcsec is given; give one"),
        (
            {"file": "../network.onnx"},
            "file '../network.onnx' is not in the YAML's folder or below; move it",
        ),
        ({"file": "other.onnx"}, "mine.yaml: file 'other.onnx' is not there; correct the name"),
        ({"stretch": "cube"}, "mine.yaml: stretch: 'cube' is not known; allowed: "),
        ({"architecture": "ou66"}, "architecture is of files of weights alone, network.onnx has its own; leave it out"),
        ({"format": "pt2"}, "network.onnx: is onnx, its declaration says pt2; correct format, or leave it out"),
        (
            {"bands": ["VIS"]},
            "its input is (n, 2, 16, 16), which takes no 1 channel(s) of 16×16 pixels; correct",
        ),
        ({"layout": "NHWC"}, "its input is (n, 2, 16, 16), which is NCHW, not NHWC; leave layout out"),
        ({"lens_index": 2}, "gives 2 numbers for an image, lens_index 2 is none of them"),
        ({"n_outputs": 3}, "gives 2 number(s) for an image, n_outputs says 3; correct it"),
        ({"output": 1}, "gives 1 result(s), output 1 is none of them; correct it"),
        ({"outputs": "softmax"}, "its outputs leave [0, 1], so they are no probabilities; say outputs: logit"),
    ],
)
def test_a_wrong_declaration_gets_one_line(folder, tmp_path, words, says):
    shutil.copy(folder / "network.onnx", tmp_path)
    with pytest.raises(LensauditError) as refused:
        load_finder(declaration(tmp_path / "network.onnx", **words))
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_link_to_itself_is_one_line(tmp_path):
    (tmp_path / "network.onnx").symlink_to("network.onnx")
    with pytest.raises(UsageError, match=r"file 'network.onnx' is not (in the YAML's folder or below|there)"):
        load_finder(declaration(tmp_path / "network.onnx"))


def test_weights_need_an_architecture_that_fits(folder, tmp_path):
    shutil.copy(folder / "weights.safetensors", tmp_path)
    file = tmp_path / "weights.safetensors"
    with pytest.raises(UsageError, match="holds weights alone, so architecture is needed: ou66, ou200"):
        load_finder(declaration(file))
    with pytest.raises(DataError, match="fit neither by name nor"):
        load_finder(declaration(file, architecture="ou66", size=66))
    with pytest.raises(UsageError, match="give logits of NCHW; leave outputs, output and layout out"):
        load_finder(declaration(file, architecture="petrillo", outputs="softmax"))


def test_one_output_is_found_and_a_scale_is_kept(tmp_path, images):
    one = small_network(outputs=1)
    save_file(one.state_dict(), tmp_path / "one.safetensors")
    words = {"field_of_view_arcsec": None, "pixel_scale_arcsec": 0.5}
    finder = load_finder(declaration(tmp_path / "one.safetensors", architecture="petrillo", **words))
    assert (finder.recipe.outputs, finder.field_arcsec, finder.trained_scales) == (1, 8.0, dict.fromkeys(BANDS, 0.5))
    with torch.inference_mode():
        torch.testing.assert_close(finder.logit(images), one(images)[:, 0])


def test_what_carries_code_is_refused_with_the_way_out(net, tmp_path):
    torch.save(net, tmp_path / "whole.pt")
    torch.save(net, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    (tmp_path / "pickle.bin").write_bytes(b"\x80\x04cos\nsystem\n.")
    saved = tmp_path / "saved"
    saved.mkdir()
    (saved / "saved_model.pb").write_bytes(b"\x08\x01\x12\x00")
    for name, says in {
        "whole.pt": "asks for torch.nn.modules.container.Sequential to be run); nothing in it was run; save it again",
        "old.pt": "nothing in it was run; save it again with torch.save(module.state_dict(), FILE)",
        "pickle.bin": "is a Python pickle, which may run anything when it is read; save torch.save(module.state_dict()",
        "saved": "is a SavedModel of TensorFlow, which may carry code; convert it to ONNX with the package tf2onnx",
    }.items():
        with pytest.raises(DataError) as refused:
            load_finder(declaration(tmp_path / name))
        assert says in str(refused.value), name


def test_an_archive_with_a_torn_list_of_members_is_one_line(net, tmp_path):
    torch.save(net.state_dict(), tmp_path / "torn.pt")
    whole = (tmp_path / "torn.pt").read_bytes()
    (tmp_path / "torn.pt").write_bytes(whole.replace(b"PK\x01\x02", b"PK\x00\x00", 1))
    with pytest.raises(DataError, match=r"torn.pt: is a torn zip archive \(.*\); fetch the file again"):
        load_finder(declaration(tmp_path / "torn.pt"))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_torchscript_is_refused(tmp_path):
    torch.jit.script(torch.nn.Linear(2, 1)).save(str(tmp_path / "script.pt"))
    with pytest.raises(DataError, match=r"script.pt: is TorchScript, which is code; save"):
        load_finder(declaration(tmp_path / "script.pt"))


def test_without_onnxruntime_one_line_says_what_to_install(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    shutil.copy(folder / "network.onnx", tmp_path)
    with pytest.raises(MachineError, match=r"needs onnxruntime; pip install 'lensaudit\[onnx\]'"):
        load_finder(declaration(tmp_path / "network.onnx"))


def test_hashes_tell_files_and_what_is_declared_of_them(folder, tmp_path):
    shutil.copy(folder / "network.onnx", tmp_path)
    shutil.copy(folder / "program.pt2", tmp_path)
    hashes = {
        load_finder(declaration(tmp_path / name, **words)).weights_hash
        for name in ("network.onnx", "program.pt2")
        for words in ({}, {"lens_index": 0})
    }
    assert len(hashes) == 4


def test_a_layout_that_a_test_image_refutes_or_leaves_open(tmp_path):
    """The file says nothing of its input's shape, so an image has to."""
    unknown, at = (None,) * 4, tmp_path / "n.pt2"
    torch.manual_seed(0)
    first = nn.Sequential(nn.Conv2d(2, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    either = nn.Sequential(nn.Flatten(), nn.Linear(2 * SIZE**2, 2))

    def layout(net, **words):
        told = FinderFile(file="n.pt2", bands=BANDS, size=SIZE, field_of_view_arcsec=20.0, **words)
        return as_finders_module(net, unknown, "0", told, at)[0].layout

    assert layout(first) == layout(first, layout="NCHW") == "NCHW"
    with pytest.raises(DataError, match="its network takes NCHW, and fails on NHWC; say layout: NCHW"):
        layout(first, layout="NHWC")
    with pytest.raises(DataError, match="channels first and with channels last, and answers differently; say layout"):
        layout(either)
    assert [layout(either, layout=one) for one in ("NCHW", "NHWC")] == ["NCHW", "NHWC"]
    alone = FinderFile(file="n.pt2", bands=("VIS",), size=SIZE, field_of_view_arcsec=20.0)
    dense = nn.Sequential(nn.Flatten(), nn.Linear(SIZE**2, 2))
    assert as_finders_module(dense, unknown, "0", alone, at)[0].layout == "NCHW"  # one band is the same either way


class Peeled(nn.Module):
    """Probabilities of a sum of pixels; what it says lies before its sigmoid is that, or twice as much."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(images.sum(dim=(1, 2, 3)) - 2)

    def without_activation(self, outputs: str) -> nn.Module:
        bare = nn.Module()
        bare.forward = lambda images: self.factor * (images.sum(dim=(1, 2, 3)) - 2)  # type: ignore[method-assign]
        return bare


def test_a_last_sigmoid_is_left_out_only_where_the_rest_gives_the_same_and_is_another_finder():
    words = {"file": "a", "bands": ("VIS",), "size": 2, "pixel_scale_arcsec": 1, "outputs": "probability"}
    told = FinderFile.model_validate(words)
    images = torch.rand(3, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    kept = {}
    for factor in (1.0, 2.0):
        module, _ = as_finders_module(Peeled(factor), (None, 1, 2, 2), "digest", told, Path("a"))
        before = module.get_buffer("file").clone()
        kept[factor] = take_activation_off(module, told), torch.equal(module.get_buffer("file"), before)
        torch.testing.assert_close(module(images), images.sum(dim=(1, 2, 3)) - 2, rtol=0, atol=1e-5)
    assert kept == {1.0: (True, False), 2.0: (False, True)}
