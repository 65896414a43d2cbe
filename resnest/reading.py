"""Files that somebody else wrote, read with care: plain files of a bounded size, and JSON and YAML of a bounded shape.

Every text that the package reads comes through here: manifests, recipes, specs, class names, summaries. So does what is
said about an unknown word in one of them or on a command line: how it may be shown, and which one was meant.
"""
import difflib
import hashlib
import json
import math
import os
import re
import stat
import struct
import zipfile
import zlib

import yaml

from resnest.errors import InputError

__all__ = ['CONTROL', 'LARGEST', 'ZIP_ERRORS', 'did_you_mean', 'file_digest', 'format_yaml', 'nearest', 'not_among',
           'one_line', 'open_plain', 'parse_json', 'parse_yaml', 'read_bytes', 'read_json', 'read_text', 'read_yaml']

# What zipfile raises for archives that are damaged, encrypted or of a newer kind, besides OSError (EINVAL).
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError, IndexError,
              OverflowError, struct.error)
LARGEST = 64 << 20      # bytes of a text that is read as a whole
DEEPEST = 100           # brackets within brackets
LONGEST_NUMBER = 20     # digits
SHOWN = 400             # characters of the names that a message lists
CONTROL = re.compile('[\0-\x1f\x7f-\x9f\u2028\u2029]')     # what a name that is shown must not hold


def one_line(value, most=200):
    """A value, such as part of a file, as it may stand in a message: printable, on one line, cut where it is long."""
    text = value if isinstance(value, str) else str(value)
    text = ''.join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
    return text if len(text) <= most else f'{text[:most - 1]}…'


def nearest(name, known):
    """The one of the known names that was probably meant by ``name``, however it is written; None where none was."""
    known = {each.lower(): each for each in known}
    return next((known[each] for each in difflib.get_close_matches(one_line(name, 60).lower(), known, n=1)), None)


def did_you_mean(name, known, listing=None):
    """The end of a message about an unknown name: ``"; did you mean 'layer2'?"``, with ``listing``, a
    sentence that tells all names or where they stand. Where none is like it that alone, or else the names."""
    like, known = nearest(name, known), list(known)
    if like is None:
        return f"; {listing or one_line('there are ' + ', '.join(known), SHOWN)}"
    return f"; did you mean '{like}'?" + (f' ({listing})' if listing else '')


def not_among(value, choices):
    """What is wrong with a value that is none of a few: all of them, and the nearest one where it was probably meant.

    For example ``"must be one of onnx, symbol, got onx; did you mean 'onnx'?"``.
    """
    shown = one_line(value, 60) or 'nothing'
    like = nearest(shown, choices)
    return f"must be one of {', '.join(choices)}, got {shown}" + (f"; did you mean '{like}'?" if like else '')


def open_plain(path):
    """Open a file for reading, as bytes; raises InputError, that names it, for what is no plain file.

    A pipe, a device or a terminal would never end, or wait for someone who writes to it. Links are followed.
    """
    try:
        opened = open(path, 'rb', opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115
    except IsADirectoryError:
        raise InputError(f'{one_line(path)}: Is a directory; give a file') from None
    except (OSError, ValueError) as error:      # ValueError: a name with a zero byte
        reason = getattr(error, 'strerror', None) or error
        raise InputError(f'{one_line(path)}: {reason}') from None
    if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
        opened.close()
        raise InputError(f'{one_line(path)}: no plain file; give one')
    return opened


def file_digest(path):
    """The SHA-256 of a plain file's bytes, in hexadecimal digits; raises InputError for what is none."""
    found = hashlib.sha256()
    with open_plain(path) as opened:
        while block := opened.read(1 << 20):
            found.update(block)
    return found.hexdigest()


def read_bytes(path, most=LARGEST):
    """The bytes of a plain file; raises InputError where it cannot be read or is larger than ``most`` bytes."""
    with open_plain(path) as opened:
        size = os.fstat(opened.fileno()).st_size
        if size > most:
            raise InputError(f'{one_line(path)}: {size} bytes, but such a file has at most {most}')
        try:
            # Room is made for all that is asked for. What tells no size, as the files of /proc, is asked twice; one of
            # them answers None where there is nothing to read yet.
            data = opened.read(size + 1) or b''
            if len(data) > size:
                data += opened.read(most + 1 - len(data)) or b''
        except OSError as error:
            raise InputError(f'{one_line(path)}: cannot be read: {error.strerror}') from None
    if len(data) > most:
        raise InputError(f'{one_line(path)}: longer than {most} bytes')
    return data


def read_text(path, most=LARGEST):
    """The text (UTF-8, with or without a byte order mark) of a plain file; raises InputError where it is none."""
    try:
        return read_bytes(path, most).decode('utf-8-sig')
    except UnicodeDecodeError as error:
        raise InputError(f'{one_line(path)}: no text in UTF-8 (byte {error.start}); save it as UTF-8') from None


def read_json(path, most=LARGEST):
    """The value in a JSON file; raises InputError as :func:`parse_json`."""
    return parse_json(read_text(path, most), path)


def parse_json(text, where, nan=False):
    """The value of a JSON text; raises InputError that names ``where`` for anything else.

    Refused too: NaN and infinity, which JSON does not have, unless ``nan`` is true; whole numbers of more than 20
    digits, others beyond 1e308, texts that UTF-8 cannot write, and values nested more than 100 deep.
    """
    try:
        value = json.loads(text, parse_constant=float if nan else _refuse, parse_int=_integer, parse_float=_float)
        _check(value, text)
    except (ValueError, RecursionError) as error:
        raise InputError(f'{one_line(where)}: not JSON: {one_line(error)}') from None
    return value


def read_yaml(path, most=1 << 20):
    """The value in a YAML file; raises InputError as :func:`parse_yaml`."""
    return parse_yaml(read_text(path, most), path)


def parse_yaml(text, where):
    """The value of a YAML text, of JSON's types alone: a date is a text, and 1:30 no number in base 60.

    Raises InputError that names ``where``, and the line, for anything else; for what :func:`parse_json` refuses; for
    aliases, by which a short text becomes a huge value; and for a key that is no text or that stands there twice.
    """
    try:
        value = yaml.load(text, _Loader)
        _check(value, text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, 'problem_mark', None)
        line = f', line {mark.line + 1}' if mark else ''
        problem = one_line(getattr(error, 'problem', None) or error)
        raise InputError(f'{one_line(where)}{line}: not YAML: {problem}') from None
    return value


def format_yaml(value):
    """A text that :func:`parse_yaml` gives back as ``value``, of JSON's types; mappings keep their order."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _refuse(name):
    raise ValueError(f'{name} is no number')


def _integer(text):
    if len(text) > LONGEST_NUMBER:
        raise ValueError(f'a number of {len(text)} digits')
    return int(text)


def _float(text):
    value = float(text)
    if math.isinf(value):
        raise ValueError(f'{one_line(text, 60)} is too large a number')
    return value


def _check(value, text):
    level = [value]
    for _ in range(DEEPEST):
        level = [child for each in level if isinstance(each, (dict, list))
                 for child in (each.values() if isinstance(each, dict) else each)]
    if any(isinstance(each, (dict, list)) for each in level):
        raise ValueError('nested too deeply')
    if '\\' in text:
        json.dumps(value, ensure_ascii=False).encode()


class _Loader(yaml.SafeLoader):
    """YAML with JSON's types."""

    depth = 0
    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag.endswith((':bool', ':null'))]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()}
    yaml_constructors = {tag: make for tag, make in yaml.SafeLoader.yaml_constructors.items()
                         if tag is None or tag.endswith((':bool', ':null', ':str', ':seq', ':map'))}

    def compose_node(self, parent, index):
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            raise yaml.constructor.ConstructorError(None, None, 'an alias (*name) is not understood', event.start_mark)
        self.depth += 1
        if self.depth > DEEPEST:
            raise yaml.constructor.ConstructorError(None, None, 'nested too deeply', event.start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node, deep=False):
        known = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            problem = ('a key must be a text' if not isinstance(key, yaml.ScalarNode) else
                       f'the key {key.value} stands there twice' if key.value in known else None)
            if problem:
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            known.add(key.value)
        return {str(key): value for key, value in super().construct_mapping(node, deep).items()}

    def construct_number(self, node):
        return _integer(node.value) if node.tag.endswith(':int') else _float(node.value)


class _Dumper(yaml.SafeDumper):
    """Puts quotes around each text that the loader would take for something else, such as 1e5."""


for tag, pattern in (('int', r'[-+]?[0-9]+$'), ('float', r'[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$')):
    for each in (_Loader, _Dumper):
        each.add_implicit_resolver(f'tag:yaml.org,2002:{tag}', re.compile(pattern), list('-+.0123456789'))
    _Loader.add_constructor(f'tag:yaml.org,2002:{tag}', _Loader.construct_number)
