"""One export serves any batch and size: read in a fresh process, against the network itself."""
import subprocess
import sys

import mxnet as mx
import numpy as np
import pytest

from resnest.gluon.inference import optimize

from ...conftest import ROOT, randomize

SHAPES = [(1, 416, 416), (64, 160, 160), (3, 163, 201)]
LARGEST = {'float32': 1e-4, 'bfloat16': 0.03, 'int8': 0.2}       # root mean square, relative to the logits
CODE = """
import mxnet as mx, sys
from resnest.gluon.inference import load
net = load(sys.argv[1])
mx.nd.save(sys.argv[2], [net(x) for x in mx.nd.load(sys.argv[3])])
"""


def patterns(count, height, width):
    coarse = np.random.default_rng(height).normal(0, 2, size=(count, 3, 8, 8)).astype('float32')
    scale = -(-max(height, width) // 8)
    return mx.nd.array(coarse.repeat(scale, axis=2).repeat(scale, axis=3)[:, :, :height, :width])


@pytest.mark.parametrize('precision', list(LARGEST))
def test_any_batch_and_size_after_one_export(tiny, tmp_path, precision):
    net = randomize(tiny())
    x = patterns(16, 64, 64)
    optimize(net, x[:2], precision, [x] if precision == 'int8' else None, agreement=0).export(tmp_path / 'net')
    files = [tmp_path / name for name in ('net', 'logits', 'x')]
    others = [patterns(*shape) for shape in SHAPES]
    mx.nd.save(str(files[2]), others)
    subprocess.run([sys.executable, '-c', CODE, *files], check=True, cwd=ROOT)
    for x, found in zip(others, mx.nd.load(str(files[1]))):
        wanted = net(x).asnumpy()
        assert np.sqrt(np.square(found.asnumpy() - wanted).mean() / np.square(wanted).mean()) < LARGEST[precision]
