"""ONNX with gradients: the same maps as of the network's own weights, parity with onnxruntime, and nothing run."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from network_files import BANDS, SIZE, declaration, small_network, write_onnx, write_program
from timm_here import let_timm_load

from lensaudit.errors import DataError, MachineError, UsageError
from lensaudit.explaining import explain_prepared
from lensaudit.finders import load_finder
from lensaudit.finders.formats import onnx_torch

pytestmark = pytest.mark.skipif(not let_timm_load(), reason="onnx2torch imports torchvision, which is not here")
GRADIENTS = {"gradients": "onnx2torch"}


@pytest.fixture(scope="module")
def net():
    return small_network()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(3, len(BANDS), SIZE, SIZE, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def finder(net, tmp_path_factory):
    return load_finder(declaration(write_onnx(net, tmp_path_factory.mktemp("onnx") / "a.onnx"), **GRADIENTS))


@pytest.fixture(scope="module")
def program(net, tmp_path_factory):
    return load_finder(declaration(write_program(net, tmp_path_factory.mktemp("program") / "a.pt2")))


def test_scores_and_what_is_said_of_them(net, images, finder):
    with torch.inference_mode():
        two = net(images)
    torch.testing.assert_close(finder.logit(images), two[:, 1] - two[:, 0], rtol=0, atol=1e-5)  # sums in another order
    assert finder.differentiable
    assert finder.parameters == sum(tensor.numel() for tensor in net.parameters())
    (note,) = [one for one in finder.notes if "onnx2torch" in one]
    assert "of the largest log-odds on 8 test images (0.0001 allowed)" in note


@pytest.mark.parametrize("method", ["saliency", "guided-backprop", "gradcam", "deeplift", "occlusion"])
def test_maps_are_those_of_the_program_of_the_same_network(net, images, finder, method, program):
    ours, theirs = (explain_prepared(one, images[:1], method).maps for one in (finder, program))
    # Dense layers are Gemm there, which sums in another order: single precision.
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())


def test_a_module_that_differs_is_refused(net, tmp_path, monkeypatch):
    path = write_onnx(net, tmp_path / "a.onnx")
    told = declaration(path, **GRADIENTS, parity=1e-9)
    with pytest.raises(DataError, match=r"differs from onnxruntime by .* more than parity \(1e-09\); leave gradients"):
        load_finder(told)
    convert = onnx_torch.read_converted

    def another(*asked):
        module = convert(*asked)
        next(iter(module.parameters())).mul_(1.01)
        return module

    monkeypatch.setattr(onnx_torch, "read_converted", another)
    with pytest.raises(DataError, match=r"differs from onnxruntime by .* more than parity \(0.0001\)"):
        load_finder(declaration(path, **GRADIENTS))


def test_layouts_batches_and_results_are_as_without_gradients(net, images, tmp_path):
    two = net(images).detach()
    for name, made, words in (
        ("a", {"nhwc": True}, {}),
        ("b", {"batch": 2}, {}),
        ("c", {"more": ("layer3",)}, {"output": 0}),
        ("d", {"external": "d.data"}, {}),
        ("e", {"ends": ("Softmax",)}, {"outputs": "softmax"}),
    ):
        told = declaration(write_onnx(net, tmp_path / f"{name}.onnx", **made), name, **words, **GRADIENTS)
        torch.testing.assert_close(load_finder(told).logit(images), two[:, 1] - two[:, 0], rtol=0, atol=1e-5)


def test_names_in_the_file_are_never_run(net, images, tmp_path):
    model = onnx.load(write_onnx(net, tmp_path / "a.onnx"))
    marker = tmp_path / "ran"
    for number, node in enumerate(model.graph.node):
        node.name = f'x{number}")(0); __import__("pathlib").Path({str(marker)!r}).touch() #'
    onnx.save(model, tmp_path / "a.onnx")
    finder = load_finder(declaration(tmp_path / "a.onnx", **GRADIENTS))
    torch.testing.assert_close(
        finder.logit(images), (net(images)[:, 1] - net(images)[:, 0]).detach(), rtol=0, atol=1e-5
    )
    assert not marker.exists()


@pytest.mark.parametrize("nested", ["function", "graph", "graphs"])
def test_programs_within_programs_are_not_converted(nested):
    """Their names would not be ours: onnx2torch writes Python of them."""
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    inner = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "inner", [], [value])
    more = {"graph": {"then_branch": inner}, "graphs": {"branches": [inner]}, "function": {}}[nested]
    graph = helper.make_graph([helper.make_node("If", ["x"], ["y"], **more)], "g", [value], [value])
    own = helper.make_function("mine", "f", ["x"], ["y"], [], [helper.make_opsetid("", 17)])
    model = helper.make_model(graph, functions=[own] if nested == "function" else [])
    with pytest.raises(DataError, match=r"^net\.onnx: has functions, branches or loops, .*; leave gradients out$"):
        onnx_torch._rename(model, 0, "", Path("net.onnx"))


def test_what_cannot_be_converted_gets_one_line(net, tmp_path, monkeypatch):
    path = write_onnx(net, tmp_path / "a.onnx")
    with pytest.raises(UsageError, match=r"gradients is of ONNX files, a.pt2 is pt2, which has its own; leave it out"):
        load_finder(declaration(write_program(net, tmp_path / "a.pt2"), "b", **GRADIENTS))
    odd = write_onnx(net, tmp_path / "odd.onnx", ends=("Celu", "Det")[:1], opset=17)
    monkeypatch.setattr(
        "onnx2torch.converter.get_converter", lambda **_: (_ for _ in ()).throw(NotImplementedError("no\nCelu"))
    )
    with pytest.raises(DataError, match=r"onnx2torch cannot convert it \(no Celu\); leave gradients out, or export"):
        load_finder(declaration(odd, "odd", **GRADIENTS))
    monkeypatch.setitem(sys.modules, "onnx2torch", None)
    with pytest.raises(
        MachineError, match=r"gradients of ONNX need onnx2torch .*pip install 'lensaudit\[onnx-gradients"
    ):
        load_finder(declaration(path, **GRADIENTS))


def test_without_it_the_way_to_gradients_is_said(net, images, tmp_path):
    finder = load_finder(declaration(write_onnx(net, tmp_path / "a.onnx")))
    with pytest.raises(DataError, match="has no gradient; say gradients: onnx2torch in its YAML, or use occlusion"):
        explain_prepared(finder, images[:1], "saliency")
