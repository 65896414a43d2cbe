"""An exponential moving average of a network's weights, to evaluate and to save (Polyak and Juditsky, 1992)."""
import mxnet as mx
import numpy as np

from resnest.errors import InputError
from resnest.gluon.mxnet_private import structural_parameters

__all__ = ['AveragedWeights']

UPDATES = 'updates'


class AveragedWeights:
    """The averages, float32, of all parameters of ``net``, running statistics included, on their device.

    The t-th :meth:`update` (from 0) does ``average = d * average + (1 - d) * weight`` with
    ``d = min(decay, (1 + t) / (10 + t))``: early averages forget the first weights quickly.
    """

    def __init__(self, net, decay):
        self.decay = decay
        self.updates = 0
        self._params = structural_parameters(net)
        self._averages = {name: param.data().astype('float32', copy=True) for name, param in self._params.items()}

    def update(self):
        """Take the weights as they are now into the averages; call it after each step."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, average in self._averages.items():
            weight = self._params[name].data().astype('float32', copy=False)
            average += (1 - decay) * (weight - average)     # exact where nothing moves
        self.updates += 1

    def arrays(self):
        """What a checkpoint holds: the averages by the parameters' names, and ``'updates'``, their number."""
        return {**self._averages, UPDATES: mx.nd.array([self.updates], dtype='int64')}

    def load(self, arrays):
        """Take back what :meth:`arrays` gave (NDArray or numpy); raises InputError, and changes nothing, otherwise."""
        for name, average in self._averages.items():
            if name not in arrays or tuple(arrays[name].shape) != average.shape:
                raise InputError(f'the averaged weights of the checkpoint are of another network: {name}; check '
                                 f'--model and --num-classes')
        count = arrays[UPDATES]
        count = count.asnumpy() if isinstance(count, mx.nd.NDArray) else count
        if count.shape != (1,) or count.dtype != np.int64 or count[0] < 0:
            raise InputError('the averaged weights of the checkpoint do not tell how many updates they had')
        for name, average in self._averages.items():
            average[:] = arrays[name]
        self.updates = int(count[0])
