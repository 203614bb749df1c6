"""The models: parameter counts of the literature, shapes, and that they train."""

import pytest

import tinyconv as tc


@pytest.mark.parametrize(("model", "count"), [(tc.models.LeNet5, 61_706), (tc.models.CNN, 220_234)])
def test_parameter_count(model, count):
    assert sum(p.numel() for p in model().parameters()) == count


@pytest.mark.parametrize("model", [tc.models.LeNet5, tc.models.CNN])
def test_forward_and_backward_on_every_backend(model, backend):
    network = model(num_classes=7, in_channels=3)
    output = network(tc.ones(2, 3, 28, 28))
    assert output.shape == (2, 7)
    output.sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.shape == parameter.shape, name
