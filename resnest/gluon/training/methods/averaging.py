"""An exponential moving average of a network's weights, to evaluate and to save (Polyak and Juditsky, 1992)."""
import mxnet as mx
import numpy as np

from resnest.errors import InputError
from resnest.gluon.mxnet_private import structural_parameters

__all__ = ['AveragedWeights']

UPDATES = 'updates'
MOST = 60       # arrays that mxnet's operator takes in one call
LARGE = 2 ** 20     # values; more in one call than in a cache are slower on a CPU than array by array


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
        self._groups = _groups({name: average.size for name, average in self._averages.items()})

    def update(self):
        """Take the weights as they are now into the averages; call it after each step."""
        rate = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        for some in self._groups:
            averages = [self._averages[name] for name in some]
            weights = [self._params[name].data().astype('float32', copy=False) for name in some]
            # average += -rate * average + rate * weight: exact where nothing moves
            mx.nd.multi_sgd_update(*(array for pair in zip(averages, weights) for array in pair), out=averages,
                                   lrs=[rate] * len(some), wds=[1.0] * len(some), rescale_grad=-1.0,
                                   num_weights=len(some))
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


def _groups(sizes):
    """Lists of the names in ``sizes``, each of as many arrays as are updated in one call."""
    groups, values = [], LARGE
    for name in sorted(sizes, key=sizes.get):
        if values + sizes[name] > LARGE or len(groups[-1]) == MOST:
            groups.append([])
            values = 0
        groups[-1].append(name)
        values += sizes[name]
    return groups
