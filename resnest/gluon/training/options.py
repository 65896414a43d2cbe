"""A recipe from the command line and from YAML files: ``--config FILE`` first, then the options that are given."""
import argparse
import contextlib
import difflib

import yaml

from resnest.errors import InputError

from .config import FIELDS, TrainConfig, field_type, option_of, problem

__all__ = ['add_options', 'check_values', 'from_options', 'read_yaml']

# Of the original's command lines: what they ask for is always done, or found beside the data.
NO_EFFECT = {'--no-wd': 'no weight decay on biases and normalizations', '--use-rec': 'data are RecordIO shards'}
DERIVED = 'derived'     # what config.yaml of a run tells besides the fields


class Pairs(argparse.Action):
    """``--name KEY=VALUE ...`` as a dict; values as YAML has them."""

    def __call__(self, parser, namespace, values, option_string=None):
        pairs = {}
        for word in values:
            key, equals, value = word.partition('=')
            try:
                pairs[key] = yaml.safe_load(value)
            except yaml.YAMLError:
                equals = ''
            if not (key and equals):
                parser.error(f'argument {option_string}: must be of the form key=value, got {word!r}')
        setattr(namespace, self.dest, pairs)


class Switch(argparse.Action):
    """``--name`` turns a field on and ``--no-name`` off (``--cuda`` for ``--no-cuda``): a file may have set it."""

    def __init__(self, option_strings, dest, **settings):
        self.off = '--' + (dest[3:] if dest.startswith('no_') else f'no_{dest}').replace('_', '-')
        super().__init__([*option_strings, self.off], dest, nargs=0, **settings)

    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, self.dest, option_string != self.off)


def add_options(parser):
    """``--config``, ``--print-config``, and one option a field: ``--field-name`` and the names it had before."""
    parser.add_argument('--config', metavar='FILE', help='YAML file with field names as keys (configs/); options on '
                        'the command line override it')
    parser.add_argument('--print-config', action='store_true', help='print the whole recipe as YAML and stop')
    for name, field in FIELDS.items():
        kind, optional = field_type(name)
        text = field.metadata['help']
        strings = [option_of(name), *field.metadata['names']]
        if kind is bool:
            parser.add_argument(*strings, dest=name, action=Switch, default=argparse.SUPPRESS, help=text)
            continue
        if kind is dict:
            parser.add_argument(*strings, dest=name, nargs='+', action=Pairs, metavar='KEY=VALUE',
                                default=argparse.SUPPRESS, help=text)
            continue
        if kind is list:
            parser.add_argument(*strings, dest=name, nargs='*', metavar='NAME', default=argparse.SUPPRESS, help=text)
            continue
        choices = field.metadata['choices']
        word = {int: 'N', float: 'X'}.get(kind, name.split('_')[-1].upper())
        parser.add_argument(*strings, dest=name, type=kind, choices=choices, metavar=None if choices else word,
                            default=argparse.SUPPRESS, help=text if optional else f'{text} (default: {field.default})',
                            **field.metadata['settings'])
    parser.add_argument('--auto-aug', '--auto_aug', dest='augment', action='store_const', const='autoaugment',
                        default=argparse.SUPPRESS, help='the same as --augment autoaugment')
    for string, text in NO_EFFECT.items():
        parser.add_argument(string, action='store_true', dest='ignored', help=f'of older commands, always so: {text}')
    parser.add_argument('--rec-train-idx', '--rec-val-idx', dest='ignored', metavar='FILE',
                        help='of older commands, not needed: the .idx beside the .rec is taken')


def from_options(options):
    """The :class:`TrainConfig` of parsed options and the file that they name; raises InputError for wrong values."""
    path = getattr(options, 'config', None)
    values = check_values(read_yaml(path), path) if path else {}
    return TrainConfig(**{**values, **{name: value for name, value in vars(options).items() if name in FIELDS}})


def read_yaml(path):
    """The mapping that a YAML file holds; raises InputError that names the file where there is none."""
    try:
        with open(path, encoding='utf-8') as opened:
            found = yaml.safe_load(opened)
    except OSError as error:
        raise InputError(f'{path}: {error.strerror}') from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, 'problem_mark', None)
        line = f', line {mark.line + 1}' if mark else ''
        raise InputError(f"{path}{line}: not YAML: {getattr(error, 'problem', None) or error}") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InputError(f'{path}: must hold lines of the form "name: value"')
    return found


def check_values(values, where):
    """The fields of a mapping from a file, each of its field's type.

    ``where`` names the file. The key 'derived', which config.yaml of a run has, is left out. Raises InputError that
    names the file and the key: unknown (with the nearest field), of a wrong type or out of range.
    """
    return {name: _checked(name, value, where) for name, value in values.items() if name != DERIVED}


def _checked(name, value, where):
    if name not in FIELDS:
        nearest = difflib.get_close_matches(str(name).replace('-', '_'), FIELDS, n=1, cutoff=0)[0]
        raise InputError(f"{where}: there is no option '{name}'; did you mean '{nearest}'?")
    kind, optional = field_type(name)
    if kind is float and not isinstance(value, bool):
        with contextlib.suppress(ValueError, TypeError):
            value = float(value)        # YAML takes 1 for a whole number and 1e-4 for a text
    if not (value is None and optional or type(value) is kind):
        wanted = {bool: 'true or false', int: 'a whole number', float: 'a number', str: 'a text',
                  list: 'a list: [a, b]', dict: 'a mapping: {radix: 0}'}[kind]
        raise InputError(f'{where}: {name} must be {wanted}, got {value!r}')
    found = problem(name, value)
    if found:
        raise InputError(f'{where}: {name} {found}')
    return value
