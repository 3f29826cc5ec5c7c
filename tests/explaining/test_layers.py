"""Convolutions by name."""

import pytest
import torch
from torch import fx, nn

from lensaudit.errors import UsageError
from lensaudit.explaining.layers import convolutions, find_layer
from lensaudit.explaining.trace import traced_graph
from lensaudit.finders import ARCHITECTURES
from lensaudit.finders.finder import weights_hash


@pytest.mark.parametrize(
    ("name", "numbers"), [("ou66", [0, 4, 7, 10, 13, 17, 20, 23, 26]), ("ou200", [0, 4, 8, 12, 16, 19])]
)
def test_numbers_are_those_of_the_paper(name, numbers):
    layers = convolutions(ARCHITECTURES[name].build(4, 2))
    assert [int(layer.name) for layer in layers] == numbers
    assert layers[0].kernels == 50


def test_what_does_not_exist_is_answered_with_what_does():
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 2, 3))
    with pytest.raises(UsageError, match="no convolution '1'; this finder's are 0, 2"):
        find_layer(net, "1")
    with pytest.raises(UsageError, match="layer 2 has no kernel 2; it has 0 to 1"):
        find_layer(net, "2").check(2)
    with pytest.raises(UsageError, match="has no convolution"):
        convolutions(nn.Linear(2, 2))


@pytest.mark.parametrize("name", ["conv-1", "größe", "0", 'a"b', "a\\", "a\nb", "a\0b"])
def test_a_graph_that_is_handed_on_can_be_written_whatever_its_layers_are_called(name):
    """torch.fx writes the names of layers between quotes into the Python it compiles."""
    module = nn.Sequential()
    module.add_module(name, nn.Conv2d(2, 3, 3))
    graph, image = traced_graph(module), torch.ones(1, 2, 5, 5)
    assert (graph is None) == (name in {'a"b', "a\\", "a\nb", "a\0b"})
    if graph is not None:
        assert torch.equal(fx.GraphModule(module, graph)(image), module(image))


def test_weights_are_hashed_whatever_their_layers_are_called():
    module = nn.Sequential()
    module.add_module("a\udc80", nn.Conv2d(2, 3, 3))  # a file's name that is no UTF-8
    assert len(weights_hash(module)) == 64
