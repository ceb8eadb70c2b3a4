"""The convolutional bodies: grouped convolutions that are separate networks, any size, and batch-invariant scores."""

import math

import pytest
import torch
from torch import nn

from vae_anomaly.errors import SpecificationError
from vae_anomaly.model.backbones import Convolutional
from vae_anomaly.model.backbones.convolutional import Enlarge, MemberConvolution, MemberGroupNorm, Residual

GRIDS = pytest.mark.parametrize("grid", [(8, 8), (28, 28), (31, 17), (1, 64), (5, 3)])
CHANNELS = (8, 12)


def bodies_of(grid, *, n_members=3, n_maps=1, n_latents=4, channels=CHANNELS, activation="silu", seed=0):
    generator = torch.Generator().manual_seed(seed)
    n_cells = n_maps * grid[0] * grid[1]
    sizes = channels, activation, generator, grid
    encoder = Convolutional().encoder(n_members, n_cells, 2 * n_latents, *sizes)
    return encoder, Convolutional().decoder(n_members, n_latents, n_cells, *sizes)


def numbers(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def plain_layer(layer, member):
    """What one member does in a layer, as PyTorch's own layer."""
    if isinstance(layer, Residual):
        inner = nn.Sequential(*(plain_layer(part, member) for part in layer.layers))
        return PlainResidual(inner)
    if isinstance(layer, MemberConvolution):
        weight = layer.weight[member]
        n_out, n_in = weight.shape[:2]
        plain = nn.Conv2d(n_in, n_out, 3, layer.stride, 1, bias=layer.bias is not None)
        plain.weight.data = weight
        if layer.bias is not None:
            plain.bias.data = layer.bias[member]
        return plain
    if isinstance(layer, MemberGroupNorm):
        n_channels = layer.gain.shape[1]
        plain = nn.GroupNorm(layer.n_groups, n_channels)
        plain.weight.data, plain.bias.data = layer.gain[member], layer.shift[member]
        return plain
    return nn.Upsample(size=layer.size) if isinstance(layer, Enlarge) else nn.SiLU()


class PlainResidual(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, maps):
        return maps + self.inner(maps)


@GRIDS
@torch.no_grad()
def test_members_equal_separate_networks_of_plain_layers(grid):
    encoder, decoder = bodies_of(grid, n_maps=2)
    for body in (encoder, decoder):
        for weights in body.parameters():
            weights.add_(0.1 * numbers(*weights.shape))
    images, latents = numbers(3, 5, 2 * math.prod(grid)), numbers(3, 5, 4)
    outputs, decoded = encoder(images), decoder(latents)
    for member in range(3):
        plain = nn.Sequential(*(plain_layer(layer, member) for layer in encoder.layers))
        small = plain(images[member].reshape(5, 2, *grid)).flatten(1)
        expected = small @ encoder.head.weight[member] + encoder.head.bias[member]
        torch.testing.assert_close(outputs[member], expected, rtol=1e-4, atol=1e-4)
        stem = latents[member] @ decoder.stem.weight[member] + decoder.stem.bias[member]
        plain = nn.Sequential(*(plain_layer(layer, member) for layer in decoder.layers))
        expected = plain(stem.reshape(5, *decoder.smallest)).flatten(1) + decoder.level[member]
        torch.testing.assert_close(decoded[member], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("grid", [(8, 8), (28, 28), (31, 17), (1, 64), (64, 1), (1, 1), (128, 320)])
@pytest.mark.parametrize("n_maps", [1, 3])
@torch.no_grad()
def test_every_size_comes_back_exactly(grid, n_maps):
    channels = Convolutional().layer_sizes(grid)
    encoder, decoder = bodies_of(grid, n_members=2, n_maps=n_maps, channels=channels)
    images = numbers(2, 2, n_maps * math.prod(grid))
    posterior = encoder(images)
    assert posterior.shape == (2, 2, 8)
    assert decoder(posterior[..., :4]).shape == images.shape
    assert encoder.offset.shape == (2, 1, 8)
    assert decoder.offset.shape == (2, 1, images.shape[-1])
    assert all(len(weights) == 2 for body in (encoder, decoder) for weights in body.parameters())


@pytest.mark.parametrize(
    ("grid", "n_halvings"),
    [((1, 1), 1), ((8, 8), 1), ((12, 16), 1), ((17, 3), 2), ((28, 28), 2), ((1, 64), 3), ((128, 320), 6)],
)
def test_halvings_bring_the_longer_side_down_to_eight(grid, n_halvings):
    sizes = Convolutional().layer_sizes(grid)
    assert len(sizes) == n_halvings
    assert max(grid) / 2**n_halvings <= 8
    # Fewer channels where maps are larger.
    assert list(sizes) == sorted(sizes)


def test_tables_are_refused_with_what_to_give_instead():
    for make in (Convolutional().encoder, Convolutional().decoder):
        with pytest.raises(SpecificationError, match=r"image_shape=\(height, width\).*backbone='mlp'"):
            make(1, 4, 2, (8,), "silu", torch.Generator())
    with pytest.raises(SpecificationError, match="rows are of a table"):
        Convolutional().layer_sizes(None)


@torch.no_grad()
def test_offset_is_where_the_outputs_start():
    _, decoder = bodies_of((9, 7), n_maps=2)
    latents = numbers(3, 2, 4)
    before = decoder(latents)
    added = numbers(*decoder.offset.shape)
    decoder.offset.add_(added)
    torch.testing.assert_close(decoder(latents), before + added)


@pytest.mark.parametrize("n_channels", [1, 5, 12, 16, 20, 24])
@torch.no_grad()
def test_norm_groups_divide_the_channels_and_never_mix_members(n_channels):
    norm = MemberGroupNorm(3, n_channels)
    assert n_channels % norm.n_groups == 0
    maps = numbers(2, 3 * n_channels, 4, 5)
    changed = maps.clone()
    changed[:, :n_channels] = 100 * changed[:, :n_channels] ** 2
    assert torch.equal(norm(changed)[:, n_channels:], norm(maps)[:, n_channels:])


@pytest.mark.parametrize(
    ("size", "channels", "margin"), [((32, 32), (8,), 5), ((31, 45), (8,), 5), ((63, 64), (8, 12), 15)]
)
@torch.no_grad()
def test_even_maps_become_an_even_image_without_a_checkerboard(size, channels, margin):
    """A transposed convolution, whose kernel covers pixels unevenly, makes a pattern of them."""
    _, decoder = bodies_of(size, n_members=1, channels=channels)
    n_channels, height, width = decoder.smallest
    even = numbers(1, n_channels, 1, 1).expand(1, n_channels, height, width)
    inside = decoder.layers(even)[0, 0, margin:-margin, margin:-margin]
    assert inside.numel() > 0
    torch.testing.assert_close(inside, inside[0, 0].expand_as(inside), rtol=1e-4, atol=1e-5)
    pattern = nn.ConvTranspose2d(n_channels, 1, 3, 2)(even)[0, 0, margin:-margin, margin:-margin]
    assert pattern.std() > 0.01


@pytest.mark.parametrize("channels", [(16, 32), (5,), (12, 20), ()])
@pytest.mark.parametrize(("grid", "n_maps"), [((28, 28), 1), ((31, 17), 3), ((7, 9), 1)])
@pytest.mark.parametrize("n_rows", [4, 16])
@torch.inference_mode()
def test_row_has_the_same_outputs_at_every_position_and_beside_any_neighbours(channels, grid, n_maps, n_rows):
    for body, n_inputs in zip(
        bodies_of(grid, n_maps=n_maps, channels=channels), (n_maps * math.prod(grid), 4), strict=True
    ):
        rows, others = numbers(3, n_rows, n_inputs), 30 * numbers(3, n_rows, n_inputs, seed=2)
        expected = body(rows)
        order = torch.randperm(n_rows, generator=torch.Generator().manual_seed(0))
        assert torch.equal(body(rows[:, order]), expected[:, order])
        for index in range(0, n_rows, 3):
            beside = others.clone()
            beside[:, index] = rows[:, 0]
            assert torch.equal(body(beside)[:, index], expected[:, 0])
        padded = torch.zeros_like(rows)
        padded[:, :1] = rows[:, :1]
        assert torch.equal(body(padded)[:, 0], expected[:, 0])


@torch.inference_mode()
def test_second_thread_changes_no_output():
    before = torch.get_num_threads()
    try:
        for body, inputs in zip(bodies_of((28, 28)), (numbers(3, 16, 784), numbers(3, 16, 4)), strict=True):
            torch.set_num_threads(1)
            expected = body(inputs)
            torch.set_num_threads(2)
            assert torch.equal(body(inputs), expected)
    finally:
        torch.set_num_threads(before)


@torch.no_grad()
def test_changing_one_member_leaves_the_others_alone():
    for body, inputs in zip(bodies_of((12, 10)), (numbers(3, 4, 120), numbers(3, 4, 4)), strict=True):
        before = body(inputs)
        for weights in body.parameters():
            weights[0] += 0.1 * numbers(*weights[0].shape)
        after = body(inputs)
        assert torch.equal(after[1:], before[1:])
        assert not torch.equal(after[0], before[0])


def test_every_weight_learns():
    for body, inputs in zip(bodies_of((12, 10)), (numbers(3, 4, 120), numbers(3, 4, 4)), strict=True):
        (body(inputs) * numbers(1, 4, body(inputs).shape[-1], seed=3)).sum().backward()
        assert all(weights.grad is not None and bool(weights.grad.abs().sum() > 0) for weights in body.parameters())
