"""A network made ready for inference: called, written to files, and read back."""
import mxnet as mx
import numpy as np

from resnest.errors import InputError
from resnest.gluon.graph import INPUT
from resnest.gluon.models.resnet import SMALLEST_IMAGE
from resnest.gluon.models.weights.description import to_mapping
from resnest.gluon.nn import native as native_operators

from ..passes.tracing import in_list
from .exported import last_line, read, write

__all__ = ['OptimizedNet', 'load']


class OptimizedNet:
    """What :func:`resnest.gluon.inference.optimize` and :func:`load` return; for the CPU.

    ``precision``
        'float32', 'bfloat16' or 'int8'.
    ``report``
        What was done, what was left in float32, and how far the results differ, as a dict.
    ``shape``, ``dtype``
        Of the example; another batch size, height and width will do.
    ``native``
        Whether it needs the native operators.
    ``description``
        What the weights are of, a :class:`resnest.gluon.models.weights.description.Description`, or None.
    ``several``
        Whether it returns a tuple, as the network did that it was made from.
    """

    def __init__(self, symbol, args, aux, precision, shape, dtype, native=False, report=None, description=None,
                 several=False):
        self.symbol, self.args, self.aux = symbol, args, aux
        self.precision = precision
        self.shape, self.dtype = tuple(shape), np.dtype(dtype).name
        self.native = native
        self.description = description
        self.report = dict(report or {})
        self.several = several
        self._block = _block(symbol, {**args, **aux}, self.dtype)

    def __call__(self, x):
        """The network's output, float32 (logits ``(N, classes)``, or a tuple), of a batch ``x`` like the example.

        Raises InputError for another kind of input.
        """
        self.check(x)
        try:
            found = self._block(x)
            return tuple(in_list(found)) if self.several else found
        except mx.MXNetError as error:
            if min(self._sides(x.shape)) >= SMALLEST_IMAGE:
                raise InputError(f'the network cannot take {x.shape}: {last_line(error)}') from error
            raise InputError(f'the input {x.shape} is too small; the network takes images from {SMALLEST_IMAGE} px '
                             'on') from None

    def check(self, x, what='the input'):
        """Raise InputError where ``x`` is not of the example's type and shape but for batch, height and width."""
        channels = self._channels(self.shape)
        if not isinstance(x, mx.nd.NDArray) or np.dtype(x.dtype).name != self.dtype:
            found = f"a NumPy array: mx.nd.array(x, dtype='{self.dtype}') makes one" if isinstance(x, np.ndarray) else \
                np.dtype(x.dtype).name if hasattr(x, 'dtype') else type(x).__name__
            raise InputError(f'{what} must be an NDArray of {self.dtype}, got {found}')
        if len(x.shape) != 4 or 0 in x.shape or self._channels(x.shape) != channels:
            wanted = f'(N, {channels}, H, W)' if self.dtype != 'uint8' else f'(N, H, W, {channels})'
            raise InputError(f'{what} must be {wanted}, got {x.shape}')

    def _channels(self, shape):
        return shape[3] if self.dtype == 'uint8' else shape[1]

    def _sides(self, shape):
        return shape[1:3] if self.dtype == 'uint8' else shape[2:]

    def __repr__(self):
        wanted = f'(N, H, W, {self.shape[3]})' if self.dtype == 'uint8' else f'(N, {self.shape[1]}, H, W)'
        name = f'{self.description.model}, ' if self.description else ''
        return f"OptimizedNet({name}{self.precision}, takes {self.dtype} {wanted}{', native' if self.native else ''})"

    def __reduce__(self):
        # Symbol's own way into a pickle leaves out the conversions to bfloat16.
        return _whole, (self.symbol.tojson(remove_amp_cast=False), self.args, self.aux, self.precision, self.shape,
                        self.dtype, self.native, self.report, self.description, self.several)

    def describe(self):
        """The report as lines of text."""
        return '\n'.join([f'precision: {self.precision}'] + [
            f"{key.replace('_', ' ')}: {', '.join(map(str, value)) if isinstance(value, (list, tuple)) else value}"
            for key, value in self.report.items()])

    def export(self, prefix, check=None):
        """Write ``prefix-symbol.json``, ``prefix-0000.params`` and ``prefix.json``; what was there stays until the end.

        The first two are what ``SymbolBlock.imports('prefix-symbol.json', ['data'], 'prefix-0000.params')`` reads,
        without this package where ``native`` is false; the third says how they were made and what they need.
        ``check(prefix)`` may look at them, and raise, while they have a prefix of their own. Raises InputError, before
        anything is written, for a network with operators that :func:`load` does not take.
        """
        about = {'precision': self.precision, 'native_operators': self.native, 'input': INPUT, 'dtype': self.dtype,
                 'example_shape': self.shape, 'report': self.report, 'several_outputs': self.several}
        if self.description:
            about['description'] = to_mapping(self.description)
        write(prefix, self.symbol, self.args, self.aux, about, check)


def load(prefix):
    """The :class:`OptimizedNet` that ``export(prefix)`` wrote.

    Raises InputError for missing, damaged and other files, for a precision that this CPU lacks, and where the native
    operators that the network needs cannot be loaded.
    """
    symbol, args, aux, about = read(prefix)
    return OptimizedNet(symbol, args, aux, about['precision'], about['example_shape'], about['dtype'],
                        about['native_operators'], about['report'], about.get('description'),
                        about.get('several_outputs', False))


def _whole(text, *parts):
    """The network of a pickle; raises InputError where the native operators that it needs are not there."""
    if not all(native_operators.load(name=name) for name in native_operators.needed(text)):
        raise InputError('the network needs the native operators: python -m resnest.gluon.nn.native builds them')
    return OptimizedNet(mx.sym.load_json(text), *parts)


def _block(symbol, values, dtype):
    """The symbol as a block with static memory, its parameters ``values`` in their own types."""
    block = mx.gluon.SymbolBlock(symbol, [mx.sym.var(INPUT, dtype=dtype)])
    for name, param in block.collect_params().items():
        param.shape, param.dtype = values[name].shape, values[name].dtype
        param.initialize(mx.init.Zero(), ctx=mx.cpu())
        param.set_data(values[name])
        param.grad_req = 'null'
    block.hybridize(static_alloc=True, static_shape=True)
    return block
