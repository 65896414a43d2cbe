"""The three files of an exported network, written and read back: what is read is checked before mxnet sees it."""
import contextlib
import hashlib
import json
import math
import os
import tempfile
import warnings
from pathlib import Path

import mxnet as mx
import numpy as np

from resnest.errors import InputError
from resnest.files import replace_file, require_replaceable, require_undescribing, save_arrays
from resnest.gluon.graph import INPUT, from_json, to_symbol, walk
from resnest.gluon.models.weights.description import from_mapping
from resnest.gluon.models.weights.params_file import BFLOAT16, LARGEST, read_arrays
from resnest.gluon.nn import native
from resnest.reading import one_line, open_plain, parse_json, read_json, read_text

from .channels import count_channels
from .operators import check_node
from .precision import require_cpu

__all__ = ['is_exported', 'last_line', 'read', 'write']

FORMAT = 'resnest-optimized-1'
LONGEST_NAME = 500
MOST_OUTPUTS = 1000
MOST_VALUES = 2 ** 31 - 1       # of an array in mxnet
CODES = {'float32': '0', 'uint8': '3', 'bfloat16': '12'}        # types in a symbol's JSON
KINDS = {'precision': str, 'native_operators': bool, 'dtype': str, 'example_shape': list, 'report': dict,
         'sha256': dict}


def files(prefix):
    """The names of symbol, parameters and description."""
    return Path(f'{prefix}-symbol.json'), Path(f'{prefix}-0000.params'), Path(f'{prefix}.json')


def is_exported(prefix):
    """Whether the symbol or the parameters of ``prefix`` are there; :func:`read` says which file is missing."""
    return any(path.exists() for path in files(prefix)[:2])


def write(prefix, symbol, args, aux, about, check=None):
    """Write the three files, whole or not at all; ``about`` is the description's part that the network knows.

    ``check(prefix)`` is called before they take the place of others, with the prefix that they have until then. Raises
    InputError, before anything is written, for a network that :func:`read` would refuse, and where
    ``prefix.json`` describes weights.
    """
    values, names = {**args, **aux}, files(prefix)
    require_undescribing(names[2], 'what is exported')
    try:
        _symbol(json.loads(symbol.tojson(remove_amp_cast=False)), values, set(aux), about)
    except ValueError as error:
        raise InputError(f'{prefix}: not written, because load would refuse it: {one_line(error)}; it runs all the '
                         'same, and net.export writes it as it was before') from None
    names[0].parent.mkdir(parents=True, exist_ok=True)
    for path in names:
        require_replaceable(path)
    with tempfile.TemporaryDirectory(prefix='.export-', dir=names[0].parent) as folder:
        new = symbol_file, params_file, about_file = files(Path(folder, 'x'))
        save_arrays(params_file, {f'{kind}:{name}': value for kind, values in (('arg', args), ('aux', aux))
                                  for name, value in values.items()})
        replace_file(symbol_file, symbol.tojson(remove_amp_cast=False))
        about = {'format': FORMAT, **about, 'sha256': {'symbol': _digest(symbol_file), 'params': _digest(params_file)}}
        replace_file(about_file, json.dumps(about, indent=2) + '\n')
        if check:
            check(Path(folder, 'x'))
        for made, path in zip(new, names):      # the description last: it does not fit to others
            os.replace(made, path)


def read(prefix):
    """``(symbol, args, aux, about)`` of the files that :func:`write` wrote.

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
    values, states = _read_values(params_file)
    graph = parse_json(read_text(symbol_file), symbol_file)
    try:
        symbol = _symbol(graph, values, states, about)
    except _Misfit as error:
        raise InputError(f'{symbol_file}: {error}') from None
    except ValueError as error:
        raise InputError(f'{symbol_file}: not written by export, or damaged: {one_line(error)}') from None
    arrays = {name: mx.nd.array(value, dtype=value.dtype) for name, value in values.items()}
    return (symbol, {name: value for name, value in arrays.items() if name not in states},
            {name: arrays[name] for name in states}, about)


class _Misfit(ValueError):
    """What is wrong with a network whose symbol is well made."""


def _symbol(graph, values, states, about):
    """The symbol of a symbol's JSON, after all checks; raises ValueError that says what is wrong with it.

    ``values`` are the arrays by name, of which ``states`` are auxiliary.
    """
    outputs = _graph(graph, values, about['dtype'], about['example_shape'])
    operators = json.dumps([{'op': node.op} for node in walk(outputs)])
    if not all(native.load(name=name) for name in native.needed(operators)):
        raise _Misfit('the network needs the native operators, which are not there: '
                      'python -m resnest.gluon.nn.native builds them')
    try:
        symbol = to_symbol(outputs)
        shapes = {INPUT: tuple(about['example_shape']), **{name: value.shape for name, value in values.items()}}
        with contextlib.redirect_stdout(None), warnings.catch_warnings():       # mxnet prints beside what it raises
            warnings.simplefilter('ignore')
            found = symbol.infer_shape(**shapes)[1] or [()]
    except (mx.MXNetError, ValueError) as error:
        raise _Misfit(f'its layers do not fit each other: {last_line(error)}') from None
    if other := states ^ set(symbol.list_auxiliary_states()):
        raise ValueError(f'{sorted(other)[0]} is a parameter in one file and a state in the other')
    for shape in found:
        if not shape or len(shape) < 2 or shape[0] != about['example_shape'][0]:
            raise _Misfit(f'its output is {shape}, not a row for each image')
    if len(found) > 1 and not about.get('several_outputs'):
        raise _Misfit(f'it has {len(found)} outputs in the place of one')
    return symbol


def _read_about(path):
    if not path.exists():
        raise InputError(f'{path}: no such file; load takes the prefix that export was given')
    about = read_json(path)
    if not isinstance(about, dict) or about.get('format') != FORMAT or \
            any(not isinstance(about.get(key), kind) for key, kind in KINDS.items()) or \
            any(not isinstance(about['sha256'].get(key), str) for key in ('symbol', 'params')) or \
            not isinstance(about.get('several_outputs', False), bool):
        raise InputError(f'{path}: not written by export, or damaged; a plain symbol is loaded with '
                         'mxnet.gluon.SymbolBlock.imports')
    shape, dtype = about['example_shape'], about['dtype']
    if dtype not in ('float32', 'uint8') or len(shape) != 4 \
            or any(type(side) is not int or side < 1 for side in shape) or math.prod(shape) > MOST_VALUES:
        raise InputError(f'{path}: damaged: no network takes {one_line(shape)} of {one_line(dtype)}; export it again')
    return {**about, 'description': from_mapping(about.get('description'), path)}


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
    """The parameters by their names, NumPy, float32 or bfloat16, and the names of those that are auxiliary states."""
    values, states = {}, set()
    for full, value in read_arrays(path).items():
        kind, _, name = full.partition(':')
        if kind not in ('arg', 'aux') or name in (INPUT, *values) or _kind(value) is None or not value.shape:
            raise InputError(f'{path}: not written by export, or damaged: the array {one_line(name)}')
        values[name] = value
        if kind == 'aux':
            states.add(name)
    return values, states


def _kind(value):
    dtype = np.dtype(value.dtype)
    return 'bfloat16' if dtype == BFLOAT16 else 'float32' if dtype == 'float32' else None


def _graph(graph, values, dtype, example):
    """The outputs of a symbol's JSON, as :func:`resnest.gluon.graph.from_symbol` has them; raises ValueError for
    others.

    Of the variables nothing but the names is taken: the types are those of ``values`` and, of the images, ``dtype``.
    """
    kinds, used, channels = {}, set(), {}
    shapes = {name: tuple(value.shape) for name, value in values.items()}
    outputs = from_json(graph)
    if not 0 < len(outputs) <= MOST_OUTPUTS:
        raise ValueError(f'{len(outputs)} outputs')
    for node in walk(outputs):
        try:
            if not (0 < len(node.name) < LONGEST_NAME and node.name.isprintable()):
                raise ValueError('a strange name')
            if node.op != 'null':
                kinds[id(node)] = check_node(node, [_output(kinds[id(child)], number) for child, number in node.inputs])
                channels[id(node)] = count_channels(node, channels, shapes)
                continue
            if node.inputs or node.subgraphs or node.name in used or node.name not in {INPUT, *values}:
                raise ValueError('no array is for it, or it stands there twice')
            used.add(node.name)
            kind = dtype if node.name == INPUT else _kind(values[node.name])
            node.attrs = {'__dtype__': CODES[kind]}
            if node.name == INPUT:
                channels[id(node)] = example[3 if dtype == 'uint8' else 1]
            else:
                node.attrs['__shape__'] = str(values[node.name].shape)
            kinds[id(node)] = (kind,)
        except ValueError as error:
            raise ValueError(f'{one_line(node.name, 60)} ({one_line(node.op, 60)}): {error}') from None
    if any(_output(kinds[id(node)], number) != 'float32' for node, number in outputs):
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
