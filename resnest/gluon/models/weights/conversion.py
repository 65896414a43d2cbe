"""Weights of the ResNeSt project's PyTorch code and of timm to Gluon's names, and back.

Both write PyTorch's names, which differ from Gluon's in the normalizations alone: ``weight`` and ``bias`` are
Gluon's ``gamma`` and ``beta``, ``conv2.bn0`` is ``conv2.bn``, and ``num_batches_tracked`` has no counterpart. The
layouts are the same: the channels of a split-attention convolution are radix-major, those of its second dense
layer cardinal-major. In a block with selective kernels timm has other names for some layers (:mod:`.names`).
"""
import dataclasses
import os
from pathlib import Path

import mxnet as mx
import numpy as np

from resnest.errors import InputError
from resnest.files import replace_file, save_arrays
from resnest.gluon.mxnet_private import structural_parameters
from resnest.reading import one_line

from ..variants import find_variant, our_name, override
from ..zoo import get_model
from .choosing import choose_described
from .description import (
    METADATA,
    Description,
    changed_options,
    from_text,
    read_description,
    require_free,
    to_text,
    write_description,
)
from .names import pytorch_name
from .parameters import FIRST, read_weights
from .tensor_files import read_metadata, safetensors_bytes

__all__ = ['convert', 'described', 'format_of', 'to_gluon', 'to_pytorch']

FORMATS = ('params', 'safetensors')
FOREIGN = ('.pth', '.pt', '.pkl', '.safetensors')


def convert(source, target, model=None, to=None, options=None):
    """Convert a file of weights; returns ``(number of arrays, classes)``.

    The target is described, by what the source tells of itself, or by the model's row.

    Parameters
    ----------
    source : str or Path
        PyTorch ``.pth``, ``.safetensors`` or Gluon ``.params``, told apart by their content.
    target : str or Path
        File to write; complete or not there at all.
    model : str
        The network, by our name or timm's; what the source tells unless given.
    to : {'params', 'safetensors'}
        Format of the target: Gluon's, or safetensors with timm's names; by its ending unless given.
    options : dict
        Fields in which the network differs from the model's row, which described weights tell themselves.

    Raises InputError for a file that cannot be read, is not of this network, or has names left over, where neither
    ``model`` nor the source tells the network, and where it contradicts what is given; the number of classes and of
    image channels may be any.
    """
    source, target = Path(os.path.expanduser(source)), Path(os.path.expanduser(target))
    to = format_of(target, to, FORMATS)
    description, model = described(source), model and our_name(model)
    if description is None and model is None:
        raise InputError(f'{one_line(source)}: does not tell which network it is of; give --model')
    if description:
        choose_described(source, description, model, options)       # refuses what contradicts it
    spec = override(description.spec if description else find_variant(model), options or {})
    options = changed_options(spec)
    arrays = to_gluon(read_weights(source), spec.name, source, **options)
    classes = arrays['fc.bias'].shape[0]
    description = dataclasses.replace(description or Description(spec.name, classes), options=options, sha256=None)
    if to == 'params':
        require_free(target)
        save_arrays(target, {name: mx.nd.array(array, dtype='float32') for name, array in arrays.items()})
        write_description(target, description)
    else:
        replace_file(target, safetensors_bytes(to_pytorch(arrays, spec.attention), **{METADATA: to_text(description)}))
    return len(arrays), classes


def format_of(target, to, formats):
    """The format of a file to write, one of ``formats``: ``to``, or what its ending tells; raises InputError."""
    to = to or target.suffix[1:]
    if to not in formats:
        endings = [f'.{each}' for each in formats]
        raise InputError(f'{one_line(target)}: the ending tells no format; use {", ".join(endings[:-1])} or '
                         f'{endings[-1]}, or --to')
    return to


def described(path):
    """The description of a file in any format, None where it is bare; what lies beside it is of a ``.params`` file."""
    text = read_metadata(path).get(METADATA) if os.path.lexists(path) else None
    return from_text(text, path) if text else None if Path(path).suffix in FOREIGN else read_description(path)


def to_gluon(arrays, model, source='the weights', **options):
    """PyTorch's names, or Gluon's, to Gluon's: ``{name: float32 array}`` in the order of the network ``model``.

    ``options`` are fields in which the network differs from the model's row.

    Raises InputError, which begins with ``source``, with a list of the names that are missing or left over and of
    the shapes that differ.
    """
    model = our_name(model)
    weight, bias = next((arrays[name] for name in FIRST if name in arrays), None), arrays.get('fc.bias')
    if weight is None or weight.ndim != 4 or bias is None or bias.ndim != 1 or not len(bias) or not weight.shape[1]:
        raise InputError(f'{one_line(source)}: not a ResNeSt: it lacks {" or ".join(FIRST)}, or fc.bias; its first '
                         f'names are {_listed(list(arrays))}')
    net = get_model(model, classes=len(bias), in_channels=weight.shape[1], **options)
    wanted = {name: param.shape for name, param in structural_parameters(net).items()}
    theirs = wanted if 'bn1.gamma' in arrays else {pytorch_name(name, net.spec.attention): shape
                                                   for name, shape in wanted.items()}
    ignored = {f'{name.rpartition(".")[0]}.num_batches_tracked' for name in theirs if name.endswith('.running_mean')}
    missing = [name for name in theirs if name not in arrays]
    extra = [name for name in arrays if name not in theirs and name not in ignored]
    shapes = [f'{name} {arrays[name].shape} instead of {shape}' for name, shape in theirs.items()
              if name in arrays and arrays[name].shape != shape]
    problems = [f'{what} {_listed(names)}' for what, names in (('missing:', missing), ('left over:', extra),
                                                               ('of another shape:', shapes)) if names]
    kinds = [f'{name} {arrays[name].dtype}' for name in theirs if name in arrays and arrays[name].dtype.kind != 'f']
    if kinds:
        problems.append(f'not floating-point: {_listed(kinds)}')
    if problems:
        raise InputError(f'{one_line(source)}: not of {model}; ' + one_line('; '.join(problems), 1200))
    return {ours: np.ascontiguousarray(arrays[name], '<f4') for ours, name in zip(wanted, theirs)}


def to_pytorch(arrays, attention='split'):
    """Gluon's names to PyTorch's, as timm reads them with ``strict=True``: with ``num_batches_tracked``, zero.

    ``attention`` is that of the network's blocks.
    """
    renamed = {}
    for name, array in arrays.items():
        theirs = pytorch_name(name, attention)
        renamed[theirs] = array
        if name.endswith('.running_var'):
            renamed[theirs.replace('running_var', 'num_batches_tracked')] = np.zeros((), '<i8')
    return renamed




def _listed(names, most=8):
    more = f' … ({len(names)} in all)' if len(names) > most else ''
    return ', '.join(one_line(name, 100) for name in names[:most]) + more
