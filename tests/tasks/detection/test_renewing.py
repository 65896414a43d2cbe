"""Statistics of batch norms from many batches, compared with NumPy."""
import mxnet as mx
import numpy as np
from mxnet.gluon import nn

from resnest.gluon.distributed import Job
from resnest.gluon.mxnet_private import freeze_statistics
from resnest.gluon.tasks.detection.learning.renewing import renew_statistics


def test_mean_and_variance_of_all_that_comes_in():
    net = nn.HybridSequential()
    net.add(nn.BatchNorm(in_channels=3), nn.Conv2D(2, 1, use_bias=False, in_channels=3), nn.BatchNorm(in_channels=2),
            nn.BatchNorm(in_channels=2))
    net.initialize(mx.init.Normal(1))
    freeze_statistics(net[3])
    rng = np.random.default_rng(0)
    batches = [rng.normal(3, 2, (count, 3, 4, 5)).astype('float32') for count in (2, 3)]
    renew_statistics(net, [lambda batch=batch: net(mx.nd.array(batch)) for batch in batches], Job(None))

    def columns(arrays):
        return np.concatenate([np.moveaxis(array, 1, 0).reshape(array.shape[1], -1) for array in arrays], 1)

    normalized = [(batch - batch.mean((0, 2, 3), keepdims=True)) / np.sqrt(batch.var((0, 2, 3), keepdims=True) + 1e-5)
                  for batch in batches]
    weight = net[1].weight.data().asnumpy()[:, :, 0, 0]
    inside = [np.einsum('oc,nchw->nohw', weight, batch) for batch in normalized]
    for norm, seen in ((net[0], batches), (net[2], inside)):
        np.testing.assert_allclose(norm.running_mean.data().asnumpy(), columns(seen).mean(1), atol=1e-5)
        np.testing.assert_allclose(norm.running_var.data().asnumpy(), columns(seen).var(1), rtol=1e-4)
    assert (net[3].running_mean.data().asnumpy() == 0).all()
    assert (net[3].running_var.data().asnumpy() == 1).all()
