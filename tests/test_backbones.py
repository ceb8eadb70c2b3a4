"""Bodies: every member is a network of its own, and the arithmetic is that of plain layers."""

import math

import pytest
import torch
from torch import nn

from vae_anomaly.errors import SpecificationError
from vae_anomaly.model.backbones import ACTIVATIONS, BACKBONES, MLP, MemberLinear, resolve_backbone
from vae_anomaly.model.backbones.base import Activation

EVERY = pytest.mark.parametrize("name", BACKBONES)
# Of images for the backbones that take only those.
GRID = (2, 2)
SIZES = pytest.mark.parametrize("sizes", [(), (7,), (7, 5)])


def body_of(backbone=None, n_members=3, n_inputs=4, n_outputs=2, sizes=(7, 5), activation="tanh", seed=0):
    backbone = MLP() if backbone is None else backbone
    generator = torch.Generator().manual_seed(seed)
    return backbone.encoder(n_members, n_inputs, n_outputs, sizes, activation, generator, GRID)


def decoder_of(backbone, sizes=(7, 5), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return backbone.decoder(3, 2, 4, sizes, "tanh", generator, GRID)


def inputs_of(n_members=3, n_rows=6, n_inputs=4):
    return torch.randn(n_members, n_rows, n_inputs, generator=torch.Generator().manual_seed(1))


def single(layer, member):
    """A layer of one member as a plain torch layer."""
    n_inputs, n_outputs = layer.weight.shape[1:]
    plain = nn.Linear(n_inputs, n_outputs, bias=layer.bias is not None)
    plain.weight.data = layer.weight.data[member].T
    if layer.bias is not None:
        plain.bias.data = layer.bias.data[member, 0]
    return plain


@SIZES
@pytest.mark.parametrize("skip", [False, True])
def test_members_equal_separate_networks_with_the_same_weights(sizes, skip):
    body, inputs = body_of(MLP(skip_connection=skip), sizes=sizes), inputs_of()
    outputs = body(inputs)
    assert outputs.shape == (3, 6, 2)
    for member in range(3):
        layers = [single(layer, member) if isinstance(layer, MemberLinear) else nn.Tanh() for layer in body.layers]
        expected = nn.Sequential(*layers)(inputs[member])
        if skip and sizes:
            expected = expected + single(body.skip, member)(inputs[member])
        torch.testing.assert_close(outputs[member], expected)


# From 4 inputs over 7 hidden units or channels to 2 outputs, by hand: weights and biases of the hidden layer and of the
# head, and of what is the backbone's own.
N_WEIGHTS = {
    "mlp": (4 * 7 + 7) + (7 * 2 + 2) + 4 * 2,
    "convolutional": (9 * 7 + 7) + 2 * (7 + 7 + 9 * 7 * 7 + 7) + (7 * 2 + 2),
}


@EVERY
def test_member_has_the_weights_of_its_layers(name):
    body = body_of(BACKBONES[name](), sizes=(7,))
    assert sum(weights.numel() for weights in body.parameters()) == 3 * N_WEIGHTS[name]


def test_affine_map_by_hand():
    layer = MemberLinear(2, 2, 1, torch.Generator())
    layer.weight.data = torch.tensor([[[1.0], [2.0]], [[-1.0], [0.5]]])
    layer.bias.data = torch.tensor([[[10.0]], [[0.0]]])
    assert layer(torch.tensor([[[3.0, 4.0]], [[3.0, 4.0]]])).flatten().tolist() == [21, -1]


def test_skip_connection_adds_a_linear_map_of_the_inputs():
    body = body_of(n_members=1, n_inputs=2, n_outputs=1, sizes=(3,))
    for layer in (body.layers[0], body.head):
        layer.weight.data.zero_()
    body.layers[0].bias.data.zero_()
    body.head.bias.data.fill_(5)
    body.skip.weight.data = torch.tensor([[[2.0], [-1.0]]])
    assert body(torch.tensor([[[3.0, 4.0], [0.0, 0.0]]])).flatten().tolist() == [7, 5]


def test_skip_connection_has_no_bias_of_its_own():
    assert body_of().skip.bias is None


def test_skip_connection_is_absent_where_not_asked_or_not_needed():
    assert body_of(MLP(skip_connection=False)).skip is None
    assert body_of(MLP(skip_connection=True), sizes=()).skip is None


@EVERY
def test_body_without_hidden_layers_is_an_affine_map(name):
    body = body_of(BACKBONES[name](), sizes=()).double()
    first, second = inputs_of().double(), inputs_of().double().flip(1)
    origin = body(torch.zeros_like(first))
    torch.testing.assert_close(
        body(2 * first - 3 * second) - origin, 2 * (body(first) - origin) - 3 * (body(second) - origin)
    )
    torch.testing.assert_close(origin, body.offset.expand_as(origin))


# At -1.5 and 2, by hand.
ACTIVATED = {
    "silu": [-1.5 / (1 + math.exp(1.5)), 2 / (1 + math.exp(-2))],
    "relu": [0, 2],
    "tanh": [math.tanh(-1.5), math.tanh(2)],
    "gelu": [-0.75 * math.erfc(1.5 / math.sqrt(2)), 1 + math.erf(2 / math.sqrt(2))],
    "softplus": [math.log1p(math.exp(-1.5)), math.log1p(math.exp(2))],
    "identity": [-1.5, 2],
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_equals_the_reference(name):
    assert ACTIVATIONS[name]()(torch.tensor([-1.5, 2.0])).tolist() == pytest.approx(ACTIVATED[name], abs=1e-5)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_stands_between_the_layers_and_not_behind_the_last(name):
    body = body_of(MLP(skip_connection=False), n_members=1, n_inputs=1, n_outputs=1, sizes=(1,), activation=name)
    for layer in (body.layers[0], body.head):
        layer.weight.data.fill_(1)
        layer.bias.data.zero_()
    body.head.bias.data.fill_(-100)
    outputs = body(torch.tensor([[[-1.5], [2.0]]])).flatten() + 100
    assert outputs.tolist() == pytest.approx(ACTIVATED[name], abs=1e-4)


@EVERY
@SIZES
def test_body_has_the_shapes_that_the_backbone_promises(name, sizes):
    body = body_of(BACKBONES[name](), sizes=sizes)
    assert body(inputs_of()).shape == (3, 6, 2)
    assert body.offset.shape == (3, 1, 2)
    decoder = decoder_of(BACKBONES[name](), sizes)
    assert decoder(body(inputs_of())).shape == (3, 6, 4)
    assert decoder.offset.shape == (3, 1, 4)
    assert all(weights.shape[0] == 3 for part in (body, decoder) for weights in part.parameters())


@EVERY
@SIZES
def test_offset_is_added_to_the_outputs_last(name, sizes):
    for body in (body_of(BACKBONES[name](), sizes=sizes), decoder_of(BACKBONES[name](), sizes)):
        inputs = inputs_of(n_inputs=4 if body.offset.shape[-1] == 2 else 2)
        before = body(inputs)
        body.offset.data += 3
        torch.testing.assert_close(body(inputs), before + 3)


def drawn(body):
    """Weights that start at random: all but the gains and shifts of normalisations."""
    return {name: weights for name, weights in body.named_parameters() if weights.detach().std() > 0}


@EVERY
def test_members_start_with_different_weights(name):
    body = body_of(BACKBONES[name]())
    assert all(not torch.equal(weights[0], weights[1]) for weights in drawn(body).values())


@EVERY
def test_changing_one_member_leaves_the_others_alone(name):
    body, inputs = body_of(BACKBONES[name]()), inputs_of()
    before = body(inputs)
    for weights in body.parameters():
        weights.data[0] += 1
    after = body(inputs)
    assert torch.equal(after[1:], before[1:])
    assert not torch.equal(after[0], before[0])


@EVERY
def test_weights_repeat_with_the_generator_and_leave_global_state_alone(name):
    before = torch.get_rng_state()
    first, again, other = (drawn(body_of(BACKBONES[name](), seed=seed)) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not any(torch.equal(first[key], other[key]) for key in first)


def test_initial_weights_are_uniform_within_one_over_the_root_of_the_inputs():
    layer = MemberLinear(4, 25, 400, torch.Generator().manual_seed(0))
    weight = layer.weight.detach()
    assert weight.abs().max() <= 0.2
    assert layer.bias.abs().max() <= 0.2
    # A uniform distribution on [-b, b] has standard deviation b / sqrt(3).
    assert weight.std().item() == pytest.approx(0.2 / math.sqrt(3), rel=0.02)
    assert weight.mean().item() == pytest.approx(0, abs=0.003)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("n_numbers", [1, 5, 31, 33, 100])
def test_activation_of_a_number_does_not_depend_on_its_position(name, n_numbers):
    numbers = 3 * torch.randn(n_numbers, generator=torch.Generator().manual_seed(0))
    order = torch.randperm(n_numbers, generator=torch.Generator().manual_seed(1))
    activation = Activation(name)
    with torch.inference_mode():
        found = activation(numbers)
        assert torch.equal(activation(numbers[order]), found[order])
    torch.testing.assert_close(found, ACTIVATIONS[name]()(numbers))


@EVERY
def test_name_resolves_to_the_default_and_an_instance_to_itself(name):
    backbone = resolve_backbone(name)
    assert backbone == BACKBONES[name]()
    assert resolve_backbone(backbone) is backbone


@pytest.mark.parametrize("wrong", ["cnn", 3, None, MLP, ["mlp"]])
def test_unknown_backbone_is_refused_with_the_names_there_are(wrong):
    with pytest.raises(SpecificationError, match="mlp"):
        resolve_backbone(wrong)
