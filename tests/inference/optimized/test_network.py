"""One export serves any batch and size: read in a fresh process, against the network itself."""
import subprocess
import sys

import mxnet as mx
import numpy as np
import pytest

from resnest.gluon.inference import optimize
from resnest.gluon.models import ResNet

from ...conftest import ROOT, TINY, randomize

SHAPES = [(1, 416, 416), (64, 160, 160), (3, 163, 201)]
LARGEST = {'float32': 1e-6, 'bfloat16': 0.005, 'int8': 0.1}       # root mean square, relative to the logits
CODE = """
import mxnet as mx, sys
from resnest.gluon.inference import load
images, *prefixes = sys.argv[1:]
for prefix in prefixes:
    net = load(prefix)
    mx.nd.save(prefix, [net(x) for x in mx.nd.load(images)])
"""


def patterns(count, height, width):
    coarse = np.random.default_rng(height).normal(0, 2, size=(count, 3, 8, 8)).astype('float32')
    scale = -(-max(height, width) // 8)
    return mx.nd.array(coarse.repeat(scale, axis=2).repeat(scale, axis=3)[:, :, :height, :width])


@pytest.fixture(scope='module')
def exported(tmp_path_factory):
    """A network, and the logits that its exported files give in another process, for each precision and shape."""
    folder, net, x = tmp_path_factory.mktemp('nets'), randomize(ResNet(TINY, classes=10)), patterns(16, 64, 64)
    for precision in LARGEST:
        optimize(net, x[:2], precision, [x] if precision == 'int8' else None, agreement=0).export(folder / precision)
    mx.nd.save(str(folder / 'x'), [patterns(*shape) for shape in SHAPES])
    subprocess.run([sys.executable, '-c', CODE, folder / 'x', *(folder / precision for precision in LARGEST)],
                   check=True, cwd=ROOT)
    wanted = [net(patterns(*shape)).asnumpy() for shape in SHAPES]
    return wanted, {precision: mx.nd.load(str(folder / precision)) for precision in LARGEST}


@pytest.mark.parametrize('precision', list(LARGEST))
def test_any_batch_and_size_after_one_export(exported, precision):
    wanted, logits = exported
    for one, found in zip(wanted, logits[precision]):
        assert np.sqrt(np.square(found.asnumpy() - one).mean() / np.square(one).mean()) < LARGEST[precision]
