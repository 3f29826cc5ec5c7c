"""ONNX models as exporters write them: layouts, batches, outputs, and what this onnxruntime cannot open."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from network_files import BANDS, SIZE, declaration, small_network, write_onnx

from lensaudit.errors import DataError
from lensaudit.finders import load_finder
from lensaudit.finders.formats.opening import SATURATES

SUMS = 1e-5  # onnxruntime sums in another order than torch: some roundings of single precision


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(5, len(BANDS), SIZE, SIZE, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def net():
    return small_network()


def logits(net, images) -> torch.Tensor:
    with torch.inference_mode():
        return net(images)


@pytest.mark.parametrize("made", [{"batch": 1}, {"batch": 2}, {"nhwc": True}, {"nhwc": True, "batch": 1}])
def test_layout_and_batch_are_those_of_the_file(net, images, tmp_path, made):
    finder = load_finder(declaration(write_onnx(net, tmp_path / "a.onnx", **made)))
    two = logits(net, images)
    torch.testing.assert_close(finder.logit(images), two[:, 1] - two[:, 0], rtol=0, atol=SUMS)


def test_softmax_and_probabilities_become_log_odds(net, images, tmp_path):
    two = logits(net, images)
    softmax = declaration(write_onnx(net, tmp_path / "a.onnx", ends=("Softmax",)), "a", outputs="softmax", lens_index=0)
    torch.testing.assert_close(load_finder(softmax).logit(images), two[:, 0] - two[:, 1], rtol=0, atol=SUMS)
    several = declaration(write_onnx(net, tmp_path / "b.onnx", ends=("Sigmoid",)), "b", outputs="probability")
    finder = load_finder(several)
    torch.testing.assert_close(finder.logit(images), two[:, 1], rtol=0, atol=SUMS)  # the sigmoid is left out
    assert finder.recipe.outputs == 1
    one = small_network(outputs=1)
    single = declaration(write_onnx(one, tmp_path / "c.onnx", ends=("Sigmoid",)), "c", outputs="probability")
    torch.testing.assert_close(load_finder(single).logit(images), logits(one, images)[:, 0], rtol=0, atol=SUMS)


@pytest.mark.parametrize(("end", "outputs"), [("Sigmoid", "probability"), ("Softmax", "softmax")])
def test_log_odds_have_no_end_where_the_last_operator_can_be_left_out(net, images, tmp_path, end, outputs):
    bright = 3000 * images
    two = logits(net, bright)
    true = two[:, 1] - two[:, 0] if outputs == "softmax" else two[:, 1]
    assert true.abs().max() > 300  # beyond what probabilities in single precision can tell, 16.6 and 87
    for name, ends, made, tolerance in (
        ("last", (end,), {}, 1e-2),  # single precision of logits of some thousand
        ("before", (end, "Identity"), {}, None),
        ("outside", (end,), {"external": "outside.data"}, None),
    ):
        path = write_onnx(net, tmp_path / f"{name}.onnx", ends=ends, **made)
        finder = load_finder(declaration(path, name, outputs=outputs))
        found = finder.logit(bright)
        if tolerance:
            torch.testing.assert_close(found, true, rtol=1e-5, atol=tolerance)
            assert not finder.notes
            assert load_finder(declaration(path, name, outputs=outputs)).weights_hash == finder.weights_hash
        else:
            assert (found - true).abs().max() > 1
            assert finder.notes == ((SATURATES,) if outputs == "probability" else ())


@pytest.mark.parametrize(
    ("made", "words", "says"),
    [
        (
            {"ends": ("Softmax",)},
            {},
            "its outputs are probabilities that add up to 1, not logits; say outputs",
        ),
        ({"ends": ("Sigmoid",)}, {}, "its outputs are probabilities, not logits; say outputs: probability"),
        ({"ends": ("Softmax",)}, {"outputs": "probability"}, "its 2 outputs add up to 1; say outputs: softmax"),
        ({"ends": ("Sigmoid",)}, {"outputs": "softmax"}, "its 2 outputs do not add up to 1, so they are no softmax"),
        ({"nhwc": True}, {"layout": "NCHW"}, "its input is (n, 16, 16, 2), which is NHWC, not NCHW; leave layout out"),
        ({"more": ("layer3",)}, {}, "gives 2 results (0 layer18, 1 layer3); say which in the declaration: output: 0"),
        ({"opset": 99}, {}, "has opset 99, onnxruntime"),
        ({"ends": ("Magic",), "domain": "my.own"}, {}, "has the operator my.own.Magic of another maker, which"),
    ],
)
def test_what_does_not_fit_gets_one_line(net, tmp_path, made, words, says):
    with pytest.raises(DataError) as refused:
        load_finder(declaration(write_onnx(net, tmp_path / "a.onnx", **made), **words))
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_one_of_several_results_is_taken(net, images, tmp_path):
    finder = load_finder(declaration(write_onnx(net, tmp_path / "a.onnx", more=("layer3",)), output=0))
    two = logits(net, images)
    torch.testing.assert_close(finder.logit(images), two[:, 1] - two[:, 0], rtol=0, atol=SUMS)


def test_external_data_count_and_must_be_there(net, tmp_path):
    path = write_onnx(net, tmp_path / "a.onnx", external="a.data")
    told = declaration(path)
    before = load_finder(told)
    assert before.parameters == sum(tensor.numel() for tensor in net.parameters())
    data = bytearray((tmp_path / "a.data").read_bytes())
    data[0] ^= 1
    (tmp_path / "a.data").write_bytes(data)
    assert load_finder(told).weights_hash != before.weights_hash
    (tmp_path / "a.data").unlink()
    with pytest.raises(DataError, match=r"its external data 'a.data' are missing; put that file beside it"):
        load_finder(told)


def test_a_torn_file_gets_one_line(net, tmp_path):
    path = write_onnx(net, tmp_path / "a.onnx")
    whole = path.read_bytes()
    for length in (20, len(whole) // 2, len(whole) - 3):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match="is torn or no ONNX model; fetch the file again"):
            load_finder(declaration(path))


def test_copies_open_the_file_again(net, images, tmp_path):
    module = load_finder(declaration(write_onnx(net, tmp_path / "a.onnx"))).module
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        torch.testing.assert_close(other(images), module(images), rtol=0, atol=0)
