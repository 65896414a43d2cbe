"""A detector that takes part in the benchmark, in int8, and the time of its parts."""
import mxnet as mx
import numpy as np

from resnest.gluon.speed import detectors
from resnest.gluon.tasks import detection

SMALL = dict(base='resnest14', stem_width=8, classes=4, channels=32, proposals=20, detections=5, box_convolutions=1,
             box_dense=0)


def test_it_runs_and_its_parts_are_timed(monkeypatch):
    net = detection.get_model('faster_rcnn_fpn_resnest50', **SMALL)
    monkeypatch.setattr(detection, 'get_model', lambda name: net)
    settings = dict(model='faster_rcnn_fpn_resnest50', precision='int8', image_size=64, batch_size=1)
    made, same, _ = detectors.our_detector(settings)
    x = mx.nd.random.normal(shape=detectors.image_shape(settings))
    assert same is net
    assert made.precision == 'int8'
    assert made(x)[2].shape == (1, 5, 4)
    parts = detectors.time_parts(made, net, x)
    assert tuple(parts) == detectors.PARTS
    assert all(np.isfinite(seconds) and seconds >= 0 for seconds in parts.values())
    assert parts['heads'] > 0
