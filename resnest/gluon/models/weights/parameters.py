"""Files of parameters: into a network, with errors that say what is wrong."""
import logging
import os
from pathlib import Path

import mxnet as mx
import numpy as np

from resnest.errors import InputError
from resnest.gluon.mxnet_private import load_value, structural_parameters
from resnest.reading import one_line, open_plain

from .names import from_gluoncv
from .params_file import MAGIC, read_arrays, read_shapes
from .tensor_files import read_tensors
from .torch_files import without_bfloat16

__all__ = ['FIRST', 'adapt_channels', 'check_contexts', 'count_classes', 'count_outputs', 'load_arrays',
           'load_parameters', 'read_parameters', 'read_weights']

FIRST = ('conv1.0.weight', 'conv1.weight')      # the convolution that sees the image, of a deep and a plain stem
OFFSET = '.conv2_offset.'     # of a deformable convolution, whose own weights are those of the plain one
LOG = logging.getLogger(__name__)


def read_parameters(path, read=read_arrays):
    """The arrays of a ``.params`` file by their names in the network, as ``read`` gives them.

    Raises InputError for a file that is missing, damaged or something else.
    """
    path = Path(os.path.expanduser(path))
    if not os.path.lexists(path):
        raise InputError(f'{one_line(path)}: no such file; give a .params file of this network')
    try:
        stored = read(path)
    except InputError as error:
        remedy = ('resnest convert makes one of it' if path.suffix in ('.pth', '.pt', '.safetensors')
                  else 'copy or download it again')
        raise InputError(f'{error}; {remedy}') from None
    named = {name.split(':', 1)[-1]: value for name, value in stored.items()}       # export() writes arg:, aux:
    if len(named) < len(stored):
        raise InputError(f'{one_line(path)}: has an arg: and an aux: of the same name; export it again')
    return from_gluoncv(named)


def read_weights(path):
    """The arrays of a file of any format by their names in it: ``.params``, or what :func:`.read_tensors` takes; told
    apart by their content. bfloat16 comes as float32. Raises InputError."""
    if not os.path.lexists(os.path.expanduser(path)):
        raise InputError(f'{one_line(path)}: no such file')
    magic = MAGIC.to_bytes(8, 'little')
    with open_plain(os.path.expanduser(path)) as opened:
        gluon = opened.read(len(magic)) == magic
    if not gluon:
        return read_tensors(path)
    return {name: without_bfloat16(array) for name, array in read_parameters(path).items()}


def count_classes(path):
    """For how many classes a ``.params`` file was made; raises InputError as :func:`read_parameters`."""
    count = count_outputs(path, 'fc.bias')
    if count is None:
        raise InputError(f'{one_line(path)}: has no classifier (fc.bias); give the .params file of a whole network')
    return count


def count_outputs(path, bias):
    """How many values the ``bias`` of a last layer, given by its name, has in a ``.params`` file; None where there is
    no such vector. Raises InputError as :func:`read_parameters`."""
    shape = read_parameters(path, read_shapes).get(bias, ())
    return shape[0] if len(shape) == 1 else None


def check_contexts(ctx):
    """Raise InputError for what is neither None, nor a context, nor a list of them."""
    contexts = ctx if isinstance(ctx, (list, tuple)) and ctx else [ctx]
    if ctx is not None and not all(isinstance(each, mx.Context) for each in contexts):
        raise InputError(f'ctx must be a Context or a list of them, such as mx.cpu(), got {one_line(repr(ctx))}')


def adapt_channels(weight, channels):
    """The weight ``(C, 3, K, K)`` of a first convolution for images of another number of ``channels``, as timm does it.

    For one channel it is the sum over the three: a grey image, thrice, gives the same. For ``n`` channels, channel
    ``i`` has the weight of channel ``i mod 3``, times ``3 / n``, which keeps the size of the sums.
    """
    if channels == 1:
        return weight.sum(axis=1, keepdims=True)
    return weight[:, np.arange(channels) % 3] * np.float32(3 / channels)


def load_parameters(net, path, ctx=None, other_classes=False):
    """``net.load_parameters`` with errors that say what is wrong.

    Parameters
    ----------
    net : ResNet, Features or a network of another task
        The parameters of children that it leaves out (``net.omitted``) are passed over; those of the first convolution
        for three channels are adapted to ``net.in_channels`` (:func:`adapt_channels`). Weights of the plain network
        suit deformable convolutions too, whose offsets start at zero. ``net.classifiers`` names the
        layers that depend on the classes, where that is not ``fc`` alone, and ``net.background`` counts the outputs of
        the first one that are no classes.
    path : str or Path
        A file of ``net.save_parameters``; its values are cast to the network's type.
    ctx : Context or list of Context
        Where to load to, the CPU unless given.
    other_classes : bool
        Where the file was made for another number of classes, load all but the classifier, and
        initialize that one (MSRAPrelu) instead of raising.

    Returns whether the classifier starts anew. Raises InputError for a file that is missing, is not a parameter
    file, or is of another network, and for what is no context; nothing is loaded then.
    """
    check_contexts(ctx)
    return load_arrays(net, read_parameters(path), path, ctx, other_classes)


def load_arrays(net, arrays, path, ctx=None, other_classes=False):
    """As :func:`load_parameters`, of the arrays of the file ``path``, which has been read."""
    check_contexts(ctx)
    omitted = getattr(net, 'omitted', ())
    stored = {name: value for name, value in arrays.items() if name.split('.')[0] not in omitted}
    wanted = structural_parameters(net)
    place, channels = next((name for name in FIRST if name in stored), None), getattr(net, 'in_channels', 3)
    first = stored.get(place)
    if first is not None and first.ndim == 4 and first.shape[1] == 3 != channels:
        stored[place] = adapt_channels(mx.nd.array(first, dtype=first.dtype).astype('float32').asnumpy(), channels)
        LOG.info('%s: its first convolution is adapted to images of %d channels', one_line(path), channels)
    offsets = [name for name in wanted if OFFSET in name]
    if offsets and stored.keys().isdisjoint(offsets):
        stored.update({name: np.zeros(wanted[name].shape, 'float32') for name in offsets})
        LOG.info('%s: the offsets of the deformable convolutions start at zero', one_line(path))
    biases = [f'{layer}.bias' for layer in getattr(net, 'classifiers', ('fc',))]
    differing = [name for name in biases if name in stored and name in wanted
                 and stored[name].shape != wanted[name].shape]
    anew = {name.replace('bias', kind) for name in differing for kind in ('weight', 'bias') if other_classes}
    problems = ([f'it lacks {name}' for name in wanted if name not in stored] +
                [f'it has {one_line(name)}, which the network has not' for name in stored if name not in wanted] +
                [f'{name} is {stored[name].shape}, the network has {wanted[name].shape}' for name in wanted
                 if name in stored and name not in anew and stored[name].shape != wanted[name].shape])
    if problems:
        more = f' ({len(problems)} differences)' if len(problems) > 1 else ''
        count = differing and stored[differing[0]].size - getattr(net, 'background', 0)
        hint = (f'; it was made for {count} classes; ' + (
            "for others, its network's reset_classifier makes a new classifier" if hasattr(net, 'reset_classifier')
            else f"give {getattr(net, 'class_option', 'classes')}={count}")) if differing else ''
        beside, name = Path(os.path.expanduser(path)).with_suffix('.json'), getattr(net, 'spec', None)
        if len(problems) > 2 * len(differing) and not os.path.lexists(beside):
            hint += (f'; no {one_line(beside.name)} beside it tells of which network it is: copy that too, or give the '
                     'right --model')
        raise InputError(f"{one_line(path)}: not of this network{f', {name.name}' if name else ''}: {problems[0]}{more}"
                         f'{hint}')
    for name, param in wanted.items():
        if name not in anew:
            load_value(param, mx.nd.array(stored[name], dtype=stored[name].dtype), ctx)
    if anew:
        LOG.info('%s: the classifier for %d classes starts anew', one_line(path),
                 wanted[differing[0]].shape[0] - getattr(net, 'background', 0))
        contexts = next(param for name, param in wanted.items() if name not in anew).list_ctx()
        for name in sorted(anew):
            wanted[name].initialize(None, contexts, mx.init.MSRAPrelu(factor_type='in', slope=0),
                                    force_reinit=True)
    return bool(anew)
