"""gluoncv's Faster R-CNN, mended so that it is right on a CPU, with the same random weights."""
import re

import mxnet as mx
import numpy as np
import pytest

from resnest.gluon.mxnet_private import load_value, structural_parameters
from resnest.gluon.tasks.detection import get_model
from resnest.gluon.tasks.detection.weights.gluoncv_files import from_gluoncv, gluoncv_names

from .drawn import match

gluoncv = pytest.importorskip('gluoncv.model_zoo', reason='gluoncv is an extra; make test installs it')

NAME = 'faster_rcnn_fpn_syncbn_resnest50_coco'
GAINS = {'conv_lat': 0.005, 'class_predictor': 3, 'box_predictor': 0.3, 'rpn_head.loc': 0.2}


def randomized(net):
    rng = np.random.default_rng(0)
    for name, param in net._collect_params_with_prefix().items():
        if name.endswith('gamma'):
            param.set_data(mx.nd.array(rng.uniform(0.5, 1.2, param.shape)))
        elif name.endswith('var'):
            param.set_data(mx.nd.array(rng.uniform(0.6, 1.6, param.shape)))
        elif len(param.shape) == 1:
            param.set_data(mx.nd.array(rng.normal(size=param.shape) * 0.1))
        elif 'anchors' not in name:
            gain = next((gain for text, gain in GAINS.items() if text in name), 1)
            param.set_data(mx.nd.array(rng.normal(size=param.shape) * gain * (2 / np.prod(param.shape[1:])) ** 0.5))
    return net


@pytest.mark.parametrize('depth', [101, 269])
def test_names_of_the_deeper_ones(depth):
    """And the shapes, where gluoncv knows them before a picture has been seen."""
    name = f'faster_rcnn_fpn_syncbn_resnest{depth}_coco'
    ours = get_model(name)
    own, params = gluoncv_names(ours), structural_parameters(ours)
    theirs = {re.sub(r'^features\.[a-z]+\d*_', 'features.', key): param for key, param in
              gluoncv.get_model(name, pretrained=False, pretrained_base=False)._collect_params_with_prefix().items()
              if 'anchors' not in key}
    assert {*own.values()} == theirs.keys()
    for key, their in own.items():
        if theirs[their].shape and all(theirs[their].shape):
            assert theirs[their].shape == params[key].shape


@pytest.mark.slow
def test_the_same_detections(monkeypatch):
    """On the CPU, RoIAlign takes no region of image -1, by which gluoncv says that another level has it."""
    theirs = gluoncv.get_model(NAME, pretrained=False, pretrained_base=False)
    theirs.initialize()
    theirs(mx.nd.zeros((1, 3, 64, 64)))
    randomized(theirs)
    ours = get_model(NAME)
    arrays = {name: param.data().asnumpy() for name, param in theirs._collect_params_with_prefix().items()}
    params = structural_parameters(ours)
    for name, value in from_gluoncv(arrays, ours).items():
        load_value(params[name], mx.nd.array(value), None)
    align = mx.nd.contrib.ROIAlign

    def align_own(features, regions, *args, **kwargs):
        own = regions[:, 0] >= 0
        regions = mx.nd.where(own, regions, mx.nd.array([[0, 0, 0, 1, 1]]).repeat(len(regions), axis=0))
        return align(features, regions, *args, **kwargs) * own.reshape((-1, 1, 1, 1))

    x = mx.nd.array(np.random.default_rng(1).normal(size=(1, 3, 150, 201)))
    for wanted, level in zip(theirs.features(x), ours.levels(x)):
        np.testing.assert_allclose(level.asnumpy(), wanted.asnumpy(), atol=2e-5)
    found = [output.asnumpy()[0] for output in ours(x)]
    monkeypatch.setattr(mx.nd.contrib, 'ROIAlign', align_own)
    ids, scores, boxes = (output.asnumpy()[0] for output in theirs(x))
    best = np.argsort(-scores[:, 0], kind='stable')[:100]
    assert (ids[best] >= 0).all()
    assert match([boxes[best[:95]], scores[best[:95], 0], ids[best[:95], 0]],
                 [found[2], found[1][:, 0], found[0][:, 0]]) >= 0.96
