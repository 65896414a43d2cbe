"""The memory that training takes on its device, by mxnet's own plan of the graph: nothing is computed for it."""
import re

import mxnet as mx
import numpy as np

__all__ = ['largest_batch', 'plan']

IMAGES = 8      # that mxnet plans for, in address space that it does not touch; what is planned grows with their number
LEFT = 2 * 2 ** 30      # bytes of a GPU for CUDA, the workspaces of cuDNN's convolutions and NCCL


def plan(net, size, averages=1, averaged=False, device=None):
    """Bytes of the parts of a training in each type: ``{dtype: {'weights': …, 'training': …, 'evaluation': …}}``.

    ``weights`` are those of the network with their gradients, those of its twin, what the optimizer keeps of each
    (with float16 the float32 ones too), and their moving averages; ``training`` is what a step needs for each image,
    and ``evaluation`` what the twin needs for each. mxnet plans in values of 4 bytes: those of float16 are taken for
    half.

    Parameters
    ----------
    net : HybridBlock
        What takes uint8 images ``(N, size, size, 3)`` to outputs; it need have no values, and is float16 afterwards.
    size : int
        In pixels.
    averages : int
        Arrays that the optimizer keeps of each parameter: 1 for momentum, 2 for Adam.
    averaged : bool
        Whether moving averages of the weights are kept.
    device : Context
        Where the network is to run, ``gpu(0)`` unless given; it need not be there.
    """
    with device or mx.gpu():
        outputs = net(mx.sym.var('data'))
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    loss = mx.sym.Group([mx.sym.MakeLoss(-mx.sym.log_softmax(output, axis=1)) for output in outputs])
    training, evaluation = _planned(loss, size, 'write'), _planned(mx.sym.Group(outputs), size, 'null')
    images = size * size * 3        # as they come; those of the next step are copied beside them
    found = {}
    for dtype in ('float32', 'float16'):
        net.cast(dtype)
        share = np.dtype(dtype).itemsize / 4
        found[dtype] = {'weights': sum(_kept(param, averages, averaged) for param in net.collect_params().values()),
                        'training': 2 * images + training * share, 'evaluation': images + evaluation * share}
    return found


def _planned(symbol, size, grad_req):
    """The bytes of one image that mxnet plans for, besides the arguments of the graph."""
    requests = {name: 'null' if name == 'data' else grad_req for name in symbol.list_arguments()}
    executor = symbol.simple_bind(mx.cpu(), grad_req=requests, type_dict={'data': 'uint8'},
                                  data=(IMAGES, size, size, 3))
    return int(re.search(r'^Total (\d+) MB allocated', executor.debug_str(), re.MULTILINE)[1]) * 2 ** 20 / IMAGES


def _kept(param, averages, averaged):
    """The bytes of a parameter, whatever the batch."""
    own, trained = np.dtype(param.dtype).itemsize, param.grad_req != 'null'
    master = 4 * (own < 4) * trained
    return int(np.prod(param.shape)) * (own * (2 + trained) + 4 * averages * trained + master + 4 * averaged)


def largest_batch(planned, memory):
    """The largest batch, a power of two, whose training fits into ``memory`` bytes by one of :func:`plan`; 0 for none.

    2 GB are left for what the plan does not hold.
    """
    room = (memory - LEFT - planned['weights']) / (planned['training'] + planned['evaluation'])
    return 2 ** int(np.log2(room)) if room >= 1 else 0
