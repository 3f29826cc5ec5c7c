"""Layers of the published finders: shapes of the tables, parameter counts by hand, units against hand-made cases."""

import pytest
import torch
from torch import nn

from lensaudit.finders.architectures import initialised, unfilled
from lensaudit.finders.layers import BottleneckUnit, PlainUnit


def shapes(module, images):
    """Output shape of every direct child of a sequence."""
    found = []
    for layer in module.eval():
        with torch.inference_mode():
            images = layer(images)
        found.append(tuple(images.shape[1:]))
    return found


def conv(inputs, outputs, width):
    return outputs * (inputs * width**2 + 1)


def test_deeplens_is_resnet_46():
    module = unfilled("deeplens", 1, 1, 45)
    convolutions = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
    shortcuts = [m.shortcut for m in module if isinstance(m, BottleneckUnit) and isinstance(m.shortcut, nn.Conv2d)]
    # the first stage keeps 32 channels and the size, so that four of the five first units need a shortcut
    assert (len(convolutions) - len(shortcuts), len(shortcuts)) == (46, 4)
    assert not any(isinstance(m, nn.ReLU) for m in module.modules())
    maps = [shape for shape in shapes(module, torch.rand(2, 1, 45, 45)) if len(shape) == 3]
    assert maps[3::3][:5] == [(32, 45, 45), (64, 23, 23), (128, 12, 12), (256, 6, 6), (512, 3, 3)]

    def unit(before, inner, outer):
        norms = 2 * (before + inner + inner)
        shortcut = 0 if before == outer else conv(before, outer, 1)
        return norms + conv(before, inner, 1) + conv(inner, inner, 3) + conv(inner, outer, 1) + shortcut

    count, before = conv(1, 32, 7) + 2 * 32, 32
    for outer in (32, 64, 128, 256, 512):
        count += unit(before, outer // 2, outer) + 2 * unit(outer, outer // 2, outer)
        before = outer
    assert sum(p.numel() for p in module.parameters()) == count + 512 + 1


def test_epfl_resnet_has_nine_blocks_and_two_shortcuts():
    module = unfilled("epfl-resnet", 1, 1, 200)
    units = [m for m in module if isinstance(m, PlainUnit)]
    assert len(units) == 9
    assert [isinstance(u.shortcut, nn.Conv2d) for u in units] == [False] * 3 + [True, False, False] * 2
    maps = shapes(module, torch.rand(1, 1, 200, 200))
    assert maps[3:12] == [(16, 200, 200)] * 3 + [(32, 100, 100)] * 3 + [(64, 50, 50)] * 3
    assert maps[12] == (64, 6, 6)
    count = conv(1, 16, 3) + 32 + 6 * (conv(16, 16, 3) + 32)
    count += conv(16, 32, 3) + 64 + 5 * (conv(32, 32, 3) + 64) + conv(16, 32, 1)
    count += conv(32, 64, 3) + 128 + 5 * (conv(64, 64, 3) + 128) + conv(32, 64, 1) + 64 * 36 + 1
    assert sum(p.numel() for p in module.parameters()) == count


@pytest.mark.parametrize(("size", "sides"), [(101, [33, 11, 3, 1]), (200, [66, 22, 7, 2])])
def test_lastro_doubles_its_filters_pair_by_pair(size, sides):
    module = unfilled("lastro", 4, 1, size)
    pools = [shape for layer, shape in zip(module, shapes(module, torch.rand(1, 4, size, size)), strict=True)
             if isinstance(layer, nn.MaxPool2d)]  # fmt: skip
    assert pools == [(filters, side, side) for filters, side in zip((16, 32, 64, 128), sides, strict=True)]
    convolutions = [m for m in module if isinstance(m, nn.Conv2d)]
    assert [c.kernel_size[0] for c in convolutions] == [5, 5, 3, 3, 3, 3, 3, 3]
    assert [c.out_channels for c in convolutions] == [16, 16, 32, 32, 64, 64, 128, 128]
    # the paper counts 25: input, then conv, conv, pool, norm, dropout four times, flatten, dense, dropout, dense
    assert 1 + sum(not isinstance(layer, nn.ReLU) for layer in module) == 25


@pytest.mark.parametrize("spatial", [True, False])
def test_the_dropout_of_lastro_is_what_is_asked_for(spatial):
    module = unfilled("lastro", 1, 1, 101, {"spatial_dropout": spatial, "dropout": 0.3})
    kinds = [type(layer) for layer in module if isinstance(layer, nn.Dropout | nn.Dropout2d)]
    assert kinds == [nn.Dropout2d if spatial else nn.Dropout] * 4 + [nn.Dropout]
    assert {layer.p for layer in module if isinstance(layer, nn.Dropout | nn.Dropout2d)} == {0.3}


def test_lensflow_has_the_shapes_of_the_table():
    module = unfilled("lensflow", 1)
    maps = shapes(module, torch.rand(1, 1, 100, 100))
    table = [(30, 96, 96), (30, 48, 48), (60, 44, 44), (60, 22, 22), (90, 18, 18), (90, 9, 9)]
    assert [m for layer, m in zip(module, maps, strict=True) if isinstance(layer, nn.Conv2d | nn.MaxPool2d)] == table
    assert [m for layer, m in zip(module, maps, strict=True) if isinstance(layer, nn.Flatten | nn.Linear)] == [
        (7290,), (1000,), (800,), (600,), (2,)]  # fmt: skip
    assert not any(isinstance(layer, nn.ReLU) for layer in module[:9]), "tanh in the convolutions"


def test_petrillo_has_the_seven_layers_that_lanusse_counts():
    module = unfilled("petrillo", 1, 1, 45)
    assert sum(isinstance(layer, nn.Conv2d | nn.Linear) for layer in module) == 7


def test_a_bottleneck_unit_by_hand():
    """One pixel, one channel: BN of a standard normal's statistics is the identity, so the unit is ELUs and sums."""
    unit = BottleneckUnit(1, 1, 1).eval()
    with torch.no_grad():
        for layer, weight, bias in ((2, 2.0, -3.0), (5, 0.5, 0.0), (8, 4.0, 1.0)):
            unit.change[layer].weight.fill_(weight)
            unit.change[layer].bias.fill_(bias)
    x = 1.0
    first = 2 * x - 3  # −1, through ELU
    second = 0.5 * (torch.e**first - 1)
    third = 4 * (torch.e**second - 1) + 1
    # a batch norm adds 1e-5 to the variance of 1, three times: half of that in each value
    assert unit(torch.full((1, 1, 1, 1), x)).item() == pytest.approx(x + third, abs=1e-4)


def test_a_unit_that_changes_size_has_a_shortcut_of_every_second_pixel():
    unit = PlainUnit(1, 2, stride=2).eval()
    with torch.no_grad():
        for parameter in unit.change.parameters():
            parameter.zero_()
        unit.shortcut.weight.copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))
        unit.shortcut.bias.zero_()
    image = torch.arange(1.0, 26).reshape(1, 1, 5, 5)
    found = unit(image)
    assert torch.equal(found[0, 0], image[0, 0, ::2, ::2])
    assert not found[0, 1].any(), "the negative ones are cut by the ReLU"


def test_batch_norm_has_its_beginning_after_initialisation():
    generator = torch.Generator().manual_seed(1)
    module = initialised("deeplens", 1, 1, 45, generator=generator)
    norm = module[2]
    assert (int(norm.num_batches_tracked), float(norm.running_var.sum())) == (0, 32.0)
