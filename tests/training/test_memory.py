"""The memory that a training is planned to take, beside what it takes."""
import re

import mxnet as mx
import numpy as np
import pytest

from resnest.commands.foretelling.memory import main
from resnest.gluon import get_model
from resnest.gluon.data import with_normalization
from resnest.gluon.training.memory import largest_batch, plan

from ..processes import python

GB = 2 ** 30
# Steps of one size follow those of a tiny one, when weights and code are there; oneDNN, which is for CPUs, keeps copies
# of its own, and a GPU has no native operators.
MEASURED = """
    import sys
    import mxnet as mx, numpy as np
    from resnest.gluon import get_model
    from resnest.gluon.distributed import Job
    from resnest.gluon.tasks.classification import Classification, ClassificationConfig
    from resnest.gluon.training.run.step import Step

    def megabytes(what):
        return int(open('/proc/self/status').read().split(what + ':')[1].split()[0]) / 1024

    config = ClassificationConfig(batch_size={batch}, dropblock_prob=0.1)
    net = get_model('{model}', dropblock_prob=0.1)
    net.initialize()
    step = Step(Classification(net, net, config, mx.cpu()), config, Job(None), mx.cpu(), 100, 0)
    for images, size in ((2, 32), (2, 32), ({batch}, {size}), ({batch}, {size})):
        before = megabytes('VmRSS') if images == 2 else before
        step([(np.arange(images), (np.zeros((images, size, size, 3), 'uint8'), np.arange(images)))], 0, 0)
        mx.nd.waitall()
    print(megabytes('VmHWM') - before)
    """


@pytest.mark.slow
@pytest.mark.parametrize('model, size', [('resnest50', 128), ('resnest101', 96), ('resnet50', 160)])
def test_the_peak_of_a_step(model, size):
    net = with_normalization(get_model(model, dropblock_prob=0.1))
    planned = plan(net, size, device=mx.cpu())['float32']['training'] * 8 / 2 ** 20
    found = python(MEASURED.format(model=model, size=size, batch=8), MXNET_MKLDNN_ENABLED='0', RESNEST_NATIVE='0',
                   MXNET_STORAGE_FALLBACK_LOG_VERBOSE='0')
    assert float(found.split()[-1]) == pytest.approx(planned, rel=0.1)


def test_weights_are_counted_by_type():
    """Weight, gradient and momentum of each; the twin's weight; float32 weights beside those of float16."""
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Conv2D(10, 3, in_channels=3, layout='NHWC', use_bias=False),
            mx.gluon.nn.BatchNorm(in_channels=32), mx.gluon.nn.Flatten())
    normalized = mx.gluon.nn.HybridSequential()
    normalized.add(mx.gluon.nn.HybridLambda(lambda F, x: x.astype('float32')), net)
    found = {dtype: parts['weights'] for dtype, parts in plan(normalized, 34, device=mx.cpu()).items()}
    trained, running = 64 * 16, 64 * 8          # bytes of the BatchNorm, which stays float32
    assert found == {'float32': 270 * 16 + trained + running, 'float16': 270 * (6 + 4 + 4) + trained + running}
    more = plan(normalized, 34, averages=2, averaged=True, device=mx.cpu())['float16']['weights']
    assert more == found['float16'] + 4 * (270 + 64) + 4 * (270 + 128)


def test_the_largest_batch():
    parts = {'weights': GB, 'training': 0.2 * GB, 'evaluation': 0.05 * GB}
    assert [largest_batch(parts, memory * GB) for memory in (3, 3.3, 16, 32)] == [0, 1, 32, 64]


def test_the_command(capfd):
    main(['--model', 'resnest14', '--input-size', '64', '--batch-size', '64', '--dtype', 'float16'])
    printed = capfd.readouterr().out
    parts = dict(re.findall(r'^(\w+)\D.* (\d+\.\d)$', printed, re.MULTILINE))
    whole = sum(float(parts[name]) for name in ('weights', 'a', 'evaluation'))
    assert float(parts['all']) == pytest.approx(whole, abs=0.16)       # of numbers with one digit
    single, half = (list(map(int, re.search(rf'^{dtype} +(\d+) +(\d+) +(\d+)$', printed, re.MULTILINE).groups()))
                    for dtype in ('float32', 'float16'))
    assert half == [2 * batch for batch in single] == sorted(half)
    assert np.log2(single).astype(int).tolist() == np.log2(single).tolist()
