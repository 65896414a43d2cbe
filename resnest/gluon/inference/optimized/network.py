"""A network made ready for inference: called, written to files, and read back."""
import hashlib
import json
from pathlib import Path

import mxnet as mx
import numpy as np

from resnest.errors import InputError
from resnest.files import replace_file, save_arrays
from resnest.gluon.models.resnet import SMALLEST_IMAGE
from resnest.gluon.nn import native

from .precision import require_cpu

__all__ = ['OptimizedNet', 'load', 'remove']

FORMAT = 'resnest-optimized-1'


class OptimizedNet:
    """What :func:`resnest.gluon.inference.optimized.optimization` and :func:`load` return; for the CPU.

    ``precision``
        'float32', 'bfloat16' or 'int8'.
    ``report``
        What was done, what was left in float32, and how far the results differ, as a dict.
    ``shape``, ``dtype``
        Of the example; another batch size, height and width will do.
    ``native``
        Whether it needs the native operators.
    """

    def __init__(self, symbol, args, aux, precision, shape, dtype, native=False, report=None):
        self.symbol, self.args, self.aux = symbol, args, aux
        self.precision = precision
        self.shape, self.dtype = tuple(shape), np.dtype(dtype).name
        self.native = native
        self.report = dict(report or {})
        self._block = _block(symbol, {**args, **aux}, self.dtype)

    def __call__(self, x):
        """Logits ``(N, classes)``, float32, of a batch ``x`` like the example; InputError for another kind of input."""
        self.check(x)
        try:
            return self._block(x)
        except mx.MXNetError:
            if min(self._sides(x.shape)) >= SMALLEST_IMAGE:
                raise
            raise InputError(f'the input {x.shape} is too small; the network takes images from {SMALLEST_IMAGE} px '
                             'on') from None

    def check(self, x, what='the input'):
        """Raise InputError where ``x`` is not of the example's type and shape but for batch, height and width."""
        channels = self._channels(self.shape)
        if not isinstance(x, mx.nd.NDArray) or np.dtype(x.dtype).name != self.dtype:
            found = np.dtype(x.dtype).name if hasattr(x, 'dtype') else type(x).__name__
            raise InputError(f'{what} must be an NDArray of {self.dtype}, got {found}')
        if len(x.shape) != 4 or 0 in x.shape or self._channels(x.shape) != channels:
            wanted = f'(N, {channels}, H, W)' if self.dtype != 'uint8' else f'(N, H, W, {channels})'
            raise InputError(f'{what} must be {wanted}, got {x.shape}')

    def _channels(self, shape):
        return shape[3] if self.dtype == 'uint8' else shape[1]

    def _sides(self, shape):
        return shape[1:3] if self.dtype == 'uint8' else shape[2:]

    def describe(self):
        """The report as lines of text."""
        return '\n'.join([f'precision: {self.precision}'] + [
            f"{key.replace('_', ' ')}: {', '.join(map(str, value)) if isinstance(value, (list, tuple)) else value}"
            for key, value in self.report.items()])

    def export(self, prefix):
        """Write ``prefix-symbol.json``, ``prefix-0000.params`` and ``prefix.json``.

        The first two are what ``SymbolBlock.imports('prefix-symbol.json', ['data'], 'prefix-0000.params')`` reads,
        without this package where ``native`` is false; the third says how they were made and what they need.
        """
        symbol_file, params_file, about_file = _files(prefix)
        symbol_file.parent.mkdir(parents=True, exist_ok=True)
        about_file.unlink(missing_ok=True)      # never beside files that it does not describe
        named = {**{f'arg:{name}': value for name, value in self.args.items()},
                 **{f'aux:{name}': value for name, value in self.aux.items()}}
        save_arrays(params_file, named)
        replace_file(symbol_file, self.symbol.tojson(remove_amp_cast=False))
        about = {'format': FORMAT, 'precision': self.precision, 'native_operators': self.native, 'input': 'data',
                 'dtype': self.dtype, 'example_shape': self.shape, 'report': self.report,
                 'sha256': {'symbol': _digest(symbol_file), 'params': _digest(params_file)}}
        replace_file(about_file, json.dumps(about, indent=2) + '\n')


def remove(prefix):
    """Take away what ``export(prefix)`` wrote."""
    for path in reversed(_files(prefix)):
        path.unlink(missing_ok=True)


def load(prefix):
    """The :class:`OptimizedNet` that ``export(prefix)`` wrote.

    Raises InputError for missing, damaged and other files, for a precision that this CPU lacks, and where the native
    operators that the network needs cannot be loaded.
    """
    symbol_file, params_file, about_file = _files(prefix)
    about = _read_about(about_file)
    for path, digest in ((symbol_file, about['sha256']['symbol']), (params_file, about['sha256']['params'])):
        if not path.is_file():
            raise InputError(f'{path}: no such file; export writes it beside {about_file.name}')
        if _digest(path) != digest:
            raise InputError(f'{path}: truncated or changed since it was exported; export it again')
    require_cpu(about['precision'])
    if not all(native.load(name=name) for name in native.needed(symbol_file.read_text())):
        raise InputError(f'{about_file}: the network needs the native operators, which are not there: '
                         'python -m resnest.gluon.nn.native builds them')
    symbol = mx.sym.load(str(symbol_file))
    named = mx.nd.load(str(params_file))
    args, aux = ({name[4:]: value for name, value in named.items() if name.startswith(kind)}
                 for kind in ('arg:', 'aux:'))
    return OptimizedNet(symbol, args, aux, about['precision'], about['example_shape'], about['dtype'],
                        about['native_operators'], about['report'])


def _files(prefix):
    return Path(f'{prefix}-symbol.json'), Path(f'{prefix}-0000.params'), Path(f'{prefix}.json')


def _read_about(path):
    if not path.is_file():
        raise InputError(f'{path}: no such file; load takes the prefix that export was given')
    try:
        about = json.loads(path.read_text())
        if about['format'] != FORMAT:
            raise KeyError
        for key in ('precision', 'native_operators', 'dtype', 'example_shape', 'report', 'sha256'):
            about[key]
        about['sha256']['symbol'], about['sha256']['params']
    except (ValueError, KeyError, TypeError):
        raise InputError(f'{path}: not written by export, or damaged; a plain symbol is loaded with '
                         'mxnet.gluon.SymbolBlock.imports') from None
    return about


def _digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _block(symbol, values, dtype):
    """The symbol as a block with static memory, its parameters ``values`` in their own types."""
    block = mx.gluon.SymbolBlock(symbol, [mx.sym.var('data', dtype=dtype)])
    for name, param in block.collect_params().items():
        param.shape, param.dtype = values[name].shape, values[name].dtype
        param.initialize(mx.init.Zero(), ctx=mx.cpu())
        param.set_data(values[name])
        param.grad_req = 'null'
    block.hybridize(static_alloc=True, static_shape=True)
    return block
