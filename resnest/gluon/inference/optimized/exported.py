"""The three files of an exported network, written and read back: what is read is checked before mxnet sees it."""
import contextlib
import hashlib
import json
import math
import os
import warnings
from pathlib import Path

import mxnet as mx

from resnest.errors import InputError
from resnest.files import replace_file, save_arrays
from resnest.gluon.models.weights.params_file import BFLOAT16, LARGEST, read_arrays
from resnest.gluon.nn import native
from resnest.reading import one_line, open_plain, parse_json, read_json, read_text

from ..passes.graph import INPUT, from_json, to_symbol, walk
from .operators import check_node
from .precision import require_cpu

__all__ = ['last_line', 'read', 'remove', 'write']

FORMAT = 'resnest-optimized-1'
LONGEST_NAME = 500
MOST_VALUES = 2 ** 31 - 1       # of an array in mxnet
CODES = {'float32': '0', 'uint8': '3', 'bfloat16': '12'}        # types in a symbol's JSON
KINDS = {'precision': str, 'native_operators': bool, 'dtype': str, 'example_shape': list, 'report': dict,
         'sha256': dict}


def files(prefix):
    """The names of symbol, parameters and description."""
    return Path(f'{prefix}-symbol.json'), Path(f'{prefix}-0000.params'), Path(f'{prefix}.json')


def write(prefix, symbol, args, aux, about):
    """Write the three files; ``about`` is the description's part that the network knows."""
    symbol_file, params_file, about_file = files(prefix)
    symbol_file.parent.mkdir(parents=True, exist_ok=True)
    about_file.unlink(missing_ok=True)      # never beside files that it does not describe
    save_arrays(params_file, {f'{kind}:{name}': value for kind, values in (('arg', args), ('aux', aux))
                              for name, value in values.items()})
    replace_file(symbol_file, symbol.tojson(remove_amp_cast=False))
    about = {'format': FORMAT, **about, 'sha256': {'symbol': _digest(symbol_file), 'params': _digest(params_file)}}
    replace_file(about_file, json.dumps(about, indent=2) + '\n')


def remove(prefix):
    """Take away what :func:`write` wrote."""
    for path in reversed(files(prefix)):
        path.unlink(missing_ok=True)


def read(prefix):
    """``(symbol, args, about)`` of the files that :func:`write` wrote; the networks have no auxiliary states.

    Raises InputError for missing, damaged and other files, for a precision that this CPU lacks, and where the native
    operators that the network needs cannot be loaded.
    """
    symbol_file, params_file, about_file = files(prefix)
    about = _read_about(about_file)
    for path, digest in ((symbol_file, about['sha256']['symbol']), (params_file, about['sha256']['params'])):
        if not path.exists():
            raise InputError(f'{path}: no such file; export writes it beside {about_file.name}')
        if _digest(path) != digest:
            raise InputError(f'{path}: truncated or changed since it was exported; export it again')
    require_cpu(about['precision'])
    values = _read_values(params_file)
    text = read_text(symbol_file)
    try:
        outputs = _graph(parse_json(text, symbol_file), values, about['dtype'])
    except ValueError as error:     # InputError too
        if isinstance(error, InputError):
            raise
        raise InputError(f'{symbol_file}: not written by export, or damaged: {one_line(error)}') from None
    operators = json.dumps([{'op': node.op} for node in walk(outputs)])
    if not all(native.load(name=name) for name in native.needed(operators)):
        raise InputError(f'{about_file}: the network needs the native operators, which are not there: '
                         'python -m resnest.gluon.nn.native builds them')
    try:
        symbol = to_symbol(outputs)
        shapes = {INPUT: tuple(about['example_shape']), **{name: value.shape for name, value in values.items()}}
        with contextlib.redirect_stdout(None), warnings.catch_warnings():       # mxnet prints beside what it raises
            warnings.simplefilter('ignore')
            shape, = symbol.infer_shape(**shapes)[1] or [()]
    except (mx.MXNetError, ValueError) as error:
        raise InputError(f'{symbol_file}: its layers do not fit each other: {last_line(error)}') from None
    if not shape or len(shape) < 2 or shape[0] != about['example_shape'][0]:
        raise InputError(f'{symbol_file}: its output is {shape}, not a row for each image')
    return symbol, {name: mx.nd.array(value, dtype=value.dtype) for name, value in values.items()}, about


def _read_about(path):
    if not path.exists():
        raise InputError(f'{path}: no such file; load takes the prefix that export was given')
    about = read_json(path)
    if not isinstance(about, dict) or about.get('format') != FORMAT or \
            any(not isinstance(about.get(key), kind) for key, kind in KINDS.items()) or \
            any(not isinstance(about['sha256'].get(key), str) for key in ('symbol', 'params')):
        raise InputError(f'{path}: not written by export, or damaged; a plain symbol is loaded with '
                         'mxnet.gluon.SymbolBlock.imports')
    shape, dtype = about['example_shape'], about['dtype']
    if dtype not in ('float32', 'uint8') or len(shape) != 4 \
            or any(type(side) is not int or side < 1 for side in shape) or math.prod(shape) > MOST_VALUES:
        raise InputError(f'{path}: damaged: no network takes {one_line(shape)} of {one_line(dtype)}; export it again')
    return about


def _digest(path):
    """The hash of a file; raises InputError for one that is larger than any that is read."""
    digest = hashlib.sha256()
    with open_plain(path) as opened:
        if os.fstat(opened.fileno()).st_size > LARGEST:
            raise InputError(f'{path}: larger than {LARGEST} bytes; export writes no such file')
        while data := opened.read(1 << 20):
            digest.update(data)
    return digest.hexdigest()


def _read_values(path):
    """The parameters by their names, NumPy, float32 or bfloat16."""
    values = {}
    for name, value in read_arrays(path).items():
        kind, _, name = name.partition(':')
        if kind != 'arg' or name == INPUT or _kind(value) is None or not value.shape:
            raise InputError(f'{path}: not written by export, or damaged: the array {one_line(name)}')
        values[name] = value
    return values


def _kind(value):
    return 'bfloat16' if value.dtype == BFLOAT16 else 'float32' if value.dtype == 'float32' else None


def _graph(graph, values, dtype):
    """The outputs of a symbol's JSON, as :func:`..passes.graph.from_symbol` has them; raises ValueError for others.

    Of the variables nothing but the names is taken: the types are those of ``values`` and, of the images, ``dtype``.
    """
    kinds, used = {}, set()
    output, = outputs = from_json(graph)
    for node in walk(outputs):
        try:
            if not (0 < len(node.name) < LONGEST_NAME and node.name.isprintable()):
                raise ValueError('a strange name')
            if node.op != 'null':
                kinds[id(node)] = check_node(node, [_output(kinds[id(child)], number) for child, number in node.inputs])
                continue
            if node.inputs or node.subgraphs or node.name in used or node.name not in {INPUT, *values}:
                raise ValueError('no array is for it, or it stands there twice')
            used.add(node.name)
            kind = dtype if node.name == INPUT else _kind(values[node.name])
            node.attrs = {'__dtype__': CODES[kind]}
            if node.is_parameter:
                node.attrs['__shape__'] = str(values[node.name].shape)
            kinds[id(node)] = (kind,)
        except ValueError as error:
            raise ValueError(f'{one_line(node.name, 60)} ({one_line(node.op, 60)}): {error}') from None
    if _output(kinds[id(output[0])], output[1]) != 'float32':
        raise ValueError('its output is no float')
    if missing := {INPUT, *values} - {node.name for node in walk(outputs) if node.op == 'null'}:
        raise ValueError(f'it does not use {one_line(sorted(missing)[0])}')
    return outputs


def _output(kinds, number):
    if number >= len(kinds):
        raise ValueError(f'it reads output {number} of a node with {len(kinds)}')
    return kinds[number]


def last_line(error):
    """The end of an error's message, where mxnet says what was wrong."""
    return one_line(next((line for line in reversed(str(error).splitlines()) if line.strip()), 'no message'))
