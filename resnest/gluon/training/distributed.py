"""Horovod, and one process where there is none. The only file that imports horovod."""
import os

import mxnet as mx
import numpy as np

from resnest.errors import InputError

__all__ = ['Workers', 'start']


def start():
    """Join the job that a launcher started, otherwise be alone; raises InputError where Horovod is missing."""
    if not any(name in os.environ for name in ('HOROVOD_RANK', 'OMPI_COMM_WORLD_RANK', 'PMI_RANK')):
        return Workers(None)
    try:
        import horovod.mxnet as horovod
    except ImportError as error:
        raise InputError(f'this process was started as one of several, but Horovod cannot be imported ({error}); '
                         f'run make setup, or start a single process') from None
    horovod.init()
    return Workers(horovod)


class Workers:
    """The processes that train together: ``rank`` (this one) of ``size``, ``local_rank`` of ``local_size`` here."""

    def __init__(self, horovod):
        self._horovod = horovod
        self.rank = horovod.rank() if horovod else 0
        self.local_rank = horovod.local_rank() if horovod else 0
        self.local_size = horovod.local_size() if horovod else 1
        self.size = horovod.size() if horovod else 1

    def trainer(self, params, optimizer):
        """A Trainer that averages gradients over the workers, after a broadcast of rank 0's parameters."""
        if self.size == 1:
            return mx.gluon.Trainer(params, optimizer, kvstore=None)
        self._horovod.broadcast_parameters(params, root_rank=0)
        return self._horovod.DistributedTrainer(params, optimizer)

    def total(self, values, name):
        """The sum of a list of numbers over the workers, as float64; counts stay exact."""
        values = np.asarray(values, dtype=np.float64)
        if self.size == 1:
            return values
        mine = mx.nd.array(values, dtype='float64')
        return self._horovod.allreduce(mine, average=False, name=name).asnumpy()

    def least(self, value, name):
        """The smallest of the workers' values of a whole number."""
        if self.size == 1:
            return value
        return int(self._horovod.allgather(mx.nd.array([value], dtype='int64'), name=name).min().asscalar())

    def average_statistics(self, net):
        """Average BatchNorm's running statistics over the workers, in place."""
        if self.size == 1:
            return
        for name, param in net._collect_params_with_prefix().items():
            if name.endswith(('running_mean', 'running_var')):
                param.set_data(self._horovod.allreduce(param.data(), average=True, name=f'statistics.{name}'))
        mx.nd.waitall()

    def finish(self):
        """Wait for the other workers, so that none leaves while another still needs it."""
        mx.nd.waitall()
        self.total([1], 'finish')
