"""Programs of torch.export: read operator by operator, and nothing that a file says is evaluated, unpickled or run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from network_files import BANDS, SIZE, changed, declaration, small_network, write_program
from torch import nn
from torch.nn import functional

from lensaudit.errors import DataError
from lensaudit.finders import load_finder
from lensaudit.finders.formats.pt2 import read_program


class Many(nn.Module):
    """One of each layer that becomes a layer again, and operators that do not."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 8, 3, stride=2, padding=1, groups=2)
        self.norm, self.plain = nn.BatchNorm2d(8), nn.BatchNorm2d(8, affine=False)
        self.second = nn.Conv2d(8, 8, 3, padding="same", bias=False, dilation=2)
        self.prelu = nn.PReLU(8)
        self.layer_norm, self.dense = nn.LayerNorm(8), nn.Linear(8, 3)
        self.register_buffer("shift", torch.tensor([0.5, 0.25]), persistent=False)
        for part in (self.norm, self.plain):
            part.running_mean.normal_(generator=torch.Generator().manual_seed(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.first(x.permute(0, 3, 1, 2) - self.shift[:, None, None]))
        x = functional.avg_pool2d(functional.leaky_relu(x, 0.2, inplace=True), 2) + 0.1
        y = self.plain(self.prelu(self.second(x)))
        z = functional.relu(y, inplace=True)
        x = torch.cat([functional.gelu(x) + z, functional.elu(y)], 1).unflatten(1, (2, 8)).mean(1)
        a, b = functional.max_pool2d(x, 3, 2, 1).chunk(2, 1)
        x = functional.adaptive_avg_pool2d(torch.cat([a * b.sigmoid(), functional.silu(b)], 1), 1).view(x.shape[0], -1)
        return self.dense(functional.dropout(self.layer_norm(x), training=self.training)).squeeze(-1)


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    return write_program(small_network(), tmp_path_factory.mktemp("program") / "good.pt2")


def test_layers_and_operators_calculate_what_the_network_does(tmp_path):
    torch.manual_seed(2)
    net = Many().eval()
    images = torch.rand(3, 16, 16, 2)
    module, shape, _ = read_program(write_program(net, tmp_path / "many.pt2", images), None)
    assert shape == (None, 16, 16, 2)
    kinds = {type(layer).__name__ for layer in module.layers}
    assert {"Conv2d", "BatchNorm2d", "PReLU", "LeakyReLU", "GELU", "MaxPool2d", "Linear"} <= kinds
    ours, theirs = images.clone().requires_grad_(), images.clone().requires_grad_()
    torch.testing.assert_close(module(ours), net(theirs), rtol=0, atol=0)  # the same kernels in the same order
    module(ours).sum().backward()
    net(theirs).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=1e-7)  # sums of several paths, in another order


def test_transposed_channels_and_a_fixed_batch_are_seen(tmp_path):
    torch.manual_seed(2)
    net = Many().eval()
    path = write_program(net, tmp_path / "many.pt2", torch.rand(2, 16, 16, 2), dynamic=False)
    finder = load_finder(declaration(path, size=16))
    images = torch.rand(5, 2, 16, 16)
    three = net(images.permute(0, 2, 3, 1))
    wanted = three[:, 1] - three[:, [0, 2]].logsumexp(1)
    torch.testing.assert_close(finder.logit(images), wanted, rtol=0, atol=1e-6)  # batches of 2: other blocks of sums


def _node(document: dict) -> dict:
    return document["graph_module"]["graph"]["nodes"][0]


def _weight(document: dict) -> dict:
    return document["config"]["0.weight"]


GRAPH, WEIGHTS = "models/model.json", "model_weights_config.json"


@pytest.mark.parametrize(
    ("member", "change", "says"),
    [
        (
            GRAPH,
            lambda d: _node(d).update(target="torch.ops.aten.from_file.default"),
            "torch.ops.aten.from_file.default,",
        ),
        (GRAPH, lambda d: _node(d).update(target="torch.hub.load"), "uses torch.hub.load, which is not among the"),
        (GRAPH, lambda d: _node(d).update(target="_operator.attrgetter"), "uses _operator.attrgetter, which is not"),
        (GRAPH, lambda d: _node(d).update(target="torch.ops.aten.relu.other"), "relu.other, which this torch lacks"),
        (GRAPH, lambda d: _node(d)["inputs"][0].update(arg={"as_graph": {}}), "an operator takes graph; export a"),
        (GRAPH, lambda d: _node(d)["inputs"][0].update(arg={"as_tensor": {"name": "no"}}), "uses 'no', which nothing"),
        (GRAPH, lambda d: d["graph_module"].pop("graph"), "is torn or of another version of torch.export"),
        (
            GRAPH,
            lambda d: d["graph_module"]["signature"]["output_specs"].append({"buffer_mutation": {}}),
            "changes its own buffers, so it was exported in training; save it again",
        ),
        (
            WEIGHTS,
            lambda d: _weight(d).update(use_pickle=True),
            "tensor '0.weight' is pickled, which could",
        ),
        (
            WEIGHTS,
            lambda d: _weight(d)["tensor_meta"].update(sizes=[{"as_int": 1 << 40}]),
            "776 are declared",
        ),
        (WEIGHTS, lambda d: _weight(d).update(path_name="../../x"), "is torn or of another version of torch.export"),
    ],
)
def test_a_program_that_could_do_more_is_refused(program, tmp_path, member, change, says):
    path = changed(program, tmp_path / "bad.pt2", member, change)
    with pytest.raises(DataError) as refused:
        load_finder(declaration(path))
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_stored_checks_and_expressions_are_never_evaluated(program, tmp_path):
    touch = f"__import__('pathlib').Path({str(tmp_path / 'ran')!r}).touch()"

    def poison(document: dict) -> None:
        document["guards_code"] = [touch]
        sizes = document["graph_module"]["graph"]["tensor_values"]["input"]["sizes"]
        sizes[0] = {"as_expr": {"expr_str": touch, "hint": None}}

    path = changed(program, tmp_path / "bad.pt2", GRAPH, poison)
    images = torch.rand(2, len(BANDS), SIZE, SIZE)
    two = small_network()(images)
    torch.testing.assert_close(load_finder(declaration(path)).logit(images), two[:, 1] - two[:, 0])
    assert not (tmp_path / "ran").exists()


def test_the_guide_writes_a_program_that_is_read(tmp_path, monkeypatch):
    guide = (Path(__file__).parents[2] / "docs/how-to/finder-files.md").read_text(encoding="utf-8")
    shown, *_ = re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL)
    code = next(one for one in re.findall(r"```python\n(.*?)```", guide, re.DOTALL) if "torch.export.save" in one)
    monkeypatch.chdir(tmp_path)
    exec(code, {"net": nn.Sequential(nn.Conv2d(1, 2, 5, 4), nn.ReLU(), nn.Flatten(), nn.Linear(162, 1), nn.Sigmoid())})
    (tmp_path / "mine.yaml").write_text(shown.replace("network.onnx", "network.pt2"), encoding="utf-8")
    finder = load_finder("mine.yaml")
    assert (finder.recipe.bands, finder.recipe.size, finder.field_arcsec) == (("VIS",), 40, 20.0)


def test_a_torn_program_gets_one_line(program, tmp_path):
    path = tmp_path / "torn.pt2"
    path.write_bytes(program.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"torn.pt2: "):
        load_finder(declaration(path))


@pytest.mark.parametrize(("end", "outputs"), [(nn.Sigmoid(), "probability"), (nn.Softmax(1), "softmax")])
def test_the_last_activation_is_left_out(tmp_path, end, outputs):
    net = small_network()
    images = 300 * torch.rand(3, len(BANDS), SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    finder = load_finder(declaration(write_program(nn.Sequential(*net, end), tmp_path / "a.pt2"), outputs=outputs))
    with torch.inference_mode():
        two = net(images)
    true = two[:, 1] - two[:, 0] if outputs == "softmax" else two[:, 1]
    assert true.abs().max() > 30
    torch.testing.assert_close(finder.logit(images), true, rtol=1e-6, atol=1e-5)  # the same kernels
    assert not finder.notes
    images.requires_grad_()
    (gradient,) = torch.autograd.grad(finder.logit(images).sum(), images)
    assert (gradient.abs().amax(dim=(1, 2, 3)) > 0).all()
