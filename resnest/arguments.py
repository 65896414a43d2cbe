"""What the commands take: numbers with their limits, paths, and one line about what does not fit."""
import argparse
import math
import re
import sys
from pathlib import Path

from resnest.errors import InputError
from resnest.reading import CONTROL, nearest, not_among, one_line, parse_yaml

__all__ = ['LARGEST_SEED', 'Pairs', 'Parser', 'add_engine', 'add_weights', 'exported_file', 'number', 'path_text',
           'plain_path', 'plain_text', 'whole']

LARGEST_SEED = 2 ** 63 - 1
LONGEST = 4096          # characters: PATH_MAX of Linux
MANY = 8                # options: more than a line shows


class _Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Tells the defaults that are values, and names in the first line, of many options, only what is needed."""

    def _get_help_string(self, action):
        if isinstance(action.default, list):
            return f"{action.help} (default: {' '.join(map(str, action.default))})"
        return action.help if action.default in (None, False) else super()._get_help_string(action)

    def _get_default_metavar_for_optional(self, action):
        return action.dest.split('_')[-1].upper()

    def add_usage(self, usage, actions, groups, prefix=None):
        if len(actions) > MANY:
            needed = [action for action in actions if action.required or not action.option_strings]
            actions, groups = [argparse.Action(['options'], 'options', nargs=0), *needed], []
        super().add_usage(usage, actions, groups, prefix)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that shows the defaults, knows no abbreviations, and raises InputError with one line."""

    def __init__(self, *args, formatter_class=_Formatter, allow_abbrev=False, **kwargs):
        # Abbreviations would change their meaning, or lose it, with the next option that is added.
        super().__init__(*args, formatter_class=formatter_class, allow_abbrev=allow_abbrev, **kwargs)

    def parse_known_args(self, args=None, namespace=None):
        words = sys.argv[1:] if args is None else list(args)
        for word in words:
            if re.fullmatch(r'--[\w-]+=--', word):      # which argparse takes for an empty list, before Python 3.13
                self.error(f'argument {word[:-3]}: expected one argument')
        # Before any value is looked at: what follows an unknown option would be taken for another's.
        known = [string for action in self._actions for string in action.option_strings]
        for word in words[:words.index('--')] if '--' in words else words:
            if word.startswith('--') and ' ' not in word and word.partition('=')[0] not in known:
                self.error(f'unrecognized arguments: {word}')
        return super().parse_known_args(words, namespace)

    def _check_value(self, action, value):
        if action.choices is not None and value not in action.choices:
            raise argparse.ArgumentError(action, not_among(value, action.choices))

    def error(self, message):
        unknown = re.match(r'unrecognized arguments: (--?[^\s=]+)', message)
        if unknown:
            name = one_line(unknown.group(1), 60)
            known = [string for action in self._actions for string in action.option_strings]
            like = nearest(name, known)
            raise InputError(f"there is no option {name}; {f'did you mean {like}? ' if like else ''}--help lists all")
        own = re.fullmatch(r'argument ([^\s/:]+)[^:]*: (must .*)', message, re.DOTALL)
        raise InputError(one_line(f'{own.group(1)} {own.group(2)}' if own else f'{message}; --help lists the options'))


class Pairs(argparse.Action):
    """``--name KEY=VALUE ...`` as a dict; values as YAML has them."""

    def __call__(self, parser, namespace, values, option_string=None):
        pairs = {}
        for word in values:
            key, equals, value = word.partition('=')
            try:
                pairs[key] = parse_yaml(value, word)
            except InputError:
                equals = ''
            if not (key and equals):
                raise argparse.ArgumentError(self, f'must be of the form key=value, got {one_line(repr(word))}')
        setattr(namespace, self.dest, pairs)


def add_weights(group, default, files, example='base=resnest14'):
    """Add ``--model``, ``--model-options`` and ``--resume`` to a command that uses a trained network.

    ``default`` is the model where neither is given, ``files`` tells what ``--resume`` takes, and ``example`` is a pair
    that ``--model-options`` takes.
    """
    group.add_argument('--model', type=plain_text, help='network; resnest models lists them; described weights tell it '
                       f'themselves (default: {default})')
    group.add_argument('--model-options', nargs='+', action=Pairs, metavar='KEY=VALUE', help="what differs from the "
                       f"model's row, for weights that do not tell it themselves: {example}")
    group.add_argument('--resume', type=path_text, help=f'{files}; the published weights unless given')


def add_engine(group):
    """Add ``--engine`` to a command that verifies; :func:`exported_file` reads it."""
    group.add_argument('--engine', nargs='+', type=plain_text, default=['gluon'], metavar=('gluon|onnxruntime', 'FILE'),
                       help='gluon, or onnxruntime with a file of resnest export')


def exported_file(options):
    """The ``.onnx`` file that ``--engine``, or ``--resume``, names; None where the network is Gluon's."""
    engine, *files = options.engine
    if engine not in ('gluon', 'onnxruntime') or len(files) != (engine == 'onnxruntime'):
        raise InputError(f"--engine must be gluon, or onnxruntime with one file, got '{' '.join(options.engine)}'")
    if options.resume and options.resume.lower().endswith('.onnx'):
        files.append(options.resume)
        options.resume = None
    if len(files) > 1 or files and options.resume:
        raise InputError('--engine onnxruntime runs what its file holds: leave out --resume')
    return files[0] if files else None


def whole(least=None, most=None):
    """A ``type`` for add_argument: whole numbers from ``least`` to ``most``, both included; None for no limit."""
    def convert(text):
        if not re.fullmatch(r'[-+]?[0-9]{1,20}', text):
            raise _refusal('a whole number', text)
        return _within(int(text), text, least, most)
    return convert


def number(least=None, most=None, above=None, below=None):
    """A ``type`` for add_argument: finite numbers; ``least`` and ``most`` are included, ``above`` and ``below`` not."""
    def convert(text):
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise _refusal('a finite number', text)
        if above is not None and value <= above:
            raise _refusal(f'above {above}', text)
        if below is not None and value >= below:
            raise _refusal(f'below {below}', text)
        return _within(value, text, least, most)
    return convert


def _within(value, text, least, most):
    if (least is None or value >= least) and (most is None or value <= most):
        return value
    raise _refusal(f'at least {least}' if most is None else f'at most {most}' if least is None else
                   f'from {least} to {most}', text)


def _refusal(wanted, text):
    return argparse.ArgumentTypeError(f'must be {wanted}, got {one_line(text, 40) or "nothing"}')


def plain_path(text):
    """A ``type`` for add_argument: a path, with ``~`` expanded. An empty one is refused, and control characters are,
    which messages and lists of one line a file could not show."""
    if not 0 < len(text) < LONGEST or CONTROL.search(text):
        raise _refusal('a path without control characters', text)
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise _refusal('a path in the folder of a user that there is', text) from None


def path_text(text):
    """A ``type`` for add_argument: as :func:`plain_path`, but a text, for paths that may be patterns."""
    return str(plain_path(text))


def plain_text(text):
    """A ``type`` for add_argument: a text that is not empty and has no control characters."""
    if not 0 < len(text) < LONGEST or CONTROL.search(text):
        raise _refusal('a text without control characters', text)
    return text
