"""Counts against sums done by hand and against the published figures."""
import pytest
from mxnet.gluon import nn
from mxnet.gluon.contrib.nn import HybridConcurrent

from resnest.errors import InputError
from resnest.gluon import complexity, get_model, list_models
from resnest.gluon.models import VARIANTS
from resnest.gluon.models.cost import least_training_memory, table


def test_a_network_counted_by_hand():
    net = nn.HybridSequential()
    net.add(nn.Conv2D(8, 3, strides=2, padding=1, groups=2, in_channels=4), nn.BatchNorm(in_channels=8),
            nn.Activation('relu'), nn.Flatten(), nn.Dense(10, in_units=8 * 5 * 3))
    net.in_channels = 4
    convolution = 8 * 5 * 3 * (2 * 3 * 3)       # output elements × two input channels a group × kernel
    assert complexity(net, (10, 6)) == (8 * 2 * 9 + 8 + 2 * 8 + 120 * 10 + 10, convolution + 120 + 1200)


@pytest.mark.parametrize('name', [name for name, spec in VARIANTS.items() if spec.gmacs])
def test_published_multiply_adds(name):
    """The published figures have two decimals; 4s2x40d's is 0.5 % above what its layers add up to."""
    assert complexity(name)[1] / 1e9 == pytest.approx(VARIANTS[name].gmacs, rel=0.006)


def test_resnet_d_of_the_paper():
    parameters, macs = complexity(get_model('resnest50', radix=0, avd_first=True))
    assert (round(parameters / 1e6, 1), round(macs / 1e9, 2)) == (25.6, 4.34)


def test_grows_with_the_image():
    assert 3.9 < complexity('resnest14', 448)[1] / complexity('resnest14', 224)[1] < 4.1


@pytest.mark.parametrize('size', [0, -1, (224, 0)])
def test_refuses_an_empty_image(size):
    with pytest.raises(InputError, match='at least 1 px'):
        complexity('resnest14', size)


def test_table_has_a_line_a_model():
    lines = table('*50*').splitlines()
    assert len(lines) == 1 + len(list_models('*50*'))
    assert lines[1].split() == ['resnest50', '27.48', '5.39', '224', '5.39', '81.04']
    with pytest.raises(InputError, match='no model fits'):
        table('*vgg*')


def test_the_memory_of_a_step_is_that_of_the_convolutions_maps():
    """A map that two of them read counts once."""
    net, branches = nn.HybridSequential(), HybridConcurrent(axis=1)
    branches.add(nn.Conv2D(5, 1, in_channels=4), nn.Conv2D(6, 1, in_channels=4))
    net.add(nn.Conv2D(4, 3, padding=1, in_channels=3), nn.BatchNorm(in_channels=4), branches)
    floats = 2 * 8 * 10 * (3 + 4 + 4 + 5 + 6)       # images, before and behind the norm, both branches
    assert least_training_memory(net, (2, 3, 8, 10)) == 4 * floats
