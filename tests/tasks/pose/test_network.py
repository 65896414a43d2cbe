"""The pose networks: gluoncv's with the same random weights, their names, and what is refused."""
import mxnet as mx
import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon import get_model, list_models
from resnest.gluon.mxnet_private import structural_parameters
from resnest.gluon.tasks.pose import POSE

SMALL = {'base': 'resnest14', 'planes': [8, 8, 16, 16], 'stem_width': 4,
         'deconv_filters': [8, 8, 8], 'joints': 4}


def randomized(net):
    """Values of a size that keeps the maps alive, by the parameters' names."""
    rng = np.random.default_rng(0)
    for name, param in sorted(structural_parameters(net).items()):
        if name.endswith(('gamma', 'running_var')):
            param.set_data(mx.nd.array(rng.uniform(0.6, 1.4, param.shape)))
        elif len(param.shape) == 1:
            param.set_data(mx.nd.array(rng.normal(size=param.shape) * 0.1))
        else:
            fan = np.prod(param.shape[1:]) if 'deconv' not in name else param.shape[0] * 4
            param.set_data(mx.nd.array(rng.normal(size=param.shape) * (2 / fan) ** 0.5))
    return net


@pytest.mark.parametrize('name', ['simple_pose_resnet50_v1b', 'simple_pose_resnet50_v1d'])
def test_heat_maps_of_gluoncv(name, tmp_path):
    """Its file loads as it is, and with it the heat maps are gluoncv's."""
    gluoncv = pytest.importorskip('gluoncv.model_zoo', reason='gluoncv is an extra; make test installs it')
    theirs = gluoncv.get_model(name, pretrained=False, pretrained_base=False, num_deconv_filters=[16, 16, 16])
    theirs.initialize()
    x = mx.nd.array(np.random.default_rng(1).normal(size=(1, 3, 64, 32)))
    theirs(x)
    randomized(theirs)
    theirs.save_parameters(str(tmp_path / 'theirs.params'))
    ours = get_model(name, pretrained=str(tmp_path / 'theirs.params'), deconv_filters=(16, 16, 16))
    expected, found = theirs(x).asnumpy(), ours(x).asnumpy()
    assert found.shape == (1, 17, 16, 8)
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()
    assert np.abs(expected).max() > 0.01


def test_names_and_start():
    assert list_models(task='pose') == list(POSE)
    assert len(list_models(task='pose', pretrained=True)) == 6
    net = get_model('simple_pose_resnest50')
    shapes = {name: param.shape for name, param in structural_parameters(net).items()}
    assert shapes['resnet.0.0.weight'] == (32, 3, 3, 3)
    assert shapes['deconv_layers.0.weight'] == (2048, 256, 4, 4)
    assert shapes['deconv_layers.7.gamma'] == (256,)
    assert shapes['final_layer.weight'] == (17, 256, 1, 1)
    small = get_model('simple_pose_resnest50', **SMALL)
    mx.random.seed(0)
    small.initialize(mx.init.MSRAPrelu(factor_type='in', slope=0))
    assert 0.0008 < small.deconv_layers[0].weight.data().asnumpy().std() < 0.0012
    small.hybridize()
    assert small(mx.nd.ones((2, 3, *(getattr(small.spec, side) for side in ('height', 'width'))))).shape == (
        2, 4, *small.spec.map_size) == (2, 4, 64, 48)


def test_a_backbone_of_other_widths():
    net = get_model('simple_pose_resnest50', base='resnet50_v1b', blocks=[1] * 4, planes=[8] * 4,
                    expansions=[1, 1, 2, 3], deconv_filters=[8] * 3)
    net.initialize()
    assert net(mx.nd.ones((1, 3, 64, 32))).shape == (1, 17, 16, 8)


@pytest.mark.parametrize('values, told', [
    ({'joint': 4}, "has no 'joint'; did you mean 'joints'?"), ({'height': 250}, 'multiple of 32'),
    ({'deconv_kernels': [4, 4]}, 'for each of the 3'), ({'joints': 0}, 'joints must be at least 1'),
    ({'sigma': 'x'}, 'sigma of a network is a number'), ({'pretrained': 3}, 'path of a .params file')])
def test_refused(values, told):
    with pytest.raises(InputError, match='^[^\n]*$') as refused:
        get_model('simple_pose_resnest50', **values)
    assert told in str(refused.value)


def test_other_names_are_refused_with_the_nearest():
    with pytest.raises(InputError, match='simple_pose_resnest50'):
        get_model('simple_pose_resnest5')
    with pytest.raises(InputError, match='no weights are published'):
        get_model('simple_pose_resnest50', pretrained=True)
