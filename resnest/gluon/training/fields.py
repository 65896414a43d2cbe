"""The fields of a recipe: what each is called, what it may hold, and what is wrong with a value."""
import dataclasses
import math
import os
import re
import types
import typing

from resnest.reading import CONTROL, did_you_mean, not_among, one_line

__all__ = ['GROUPS', 'field_type', 'fields_of', 'idle', 'needs', 'option', 'option_of', 'problem', 'settled', 'switch']

LARGEST = 2 ** 31 - 1       # of a whole number: what mxnet takes
LONGEST = 4096      # characters: PATH_MAX of Linux
NO_TEXT = re.compile('[\ud800-\udfff]')      # names of other bytes than UTF-8: no YAML or JSON could keep them
GROUPS = ('data', 'network', 'images', 'regularization', 'optimization', 'running', 'output', 'other')  # of --help
KINDS = {bool: 'true or false', int: 'a whole number', float: 'a number', str: 'a text', list: 'a list: [a, b]',
         dict: 'a mapping: {radix: 0}'}


def option(default, help, *names, least=None, most=None, above=None, below=None, choices=None, items=str, length=None,
           resume='fixed', group='other', **settings):
    """A field of a recipe.

    Parameters
    ----------
    default, help
        Its default, of a list as a tuple, and what ``--help`` says.
    names : str
        Further option strings, such as older ones.
    least, most, above, below, choices
        Limits of its value, of a list those of each item.
    items, length
        Of a list: the type of its items, str, int or float, and how many there must be; None for any number.
    resume : {'fixed', 'free', 'own', 'scaled'}
        Whether a run may go on with another value: no; yes, since the value does not bear on the result; no, but None
        stands for the model's or the data's own; what it comes to on all ranks together must stay.
    group : str
        The heading under which ``--help`` shows it, one of :data:`GROUPS`.
    settings
        What argparse should know besides.
    """
    return dataclasses.field(default=default, metadata={
        'help': help, 'names': names, 'least': least, 'most': most, 'above': above, 'below': below, 'choices': choices,
        'items': items, 'length': length, 'resume': resume, 'group': group, 'settings': settings})


def switch(help, *names, resume='fixed', group='other', against=None):
    """A field that is on or off, and off unless given; ``against`` is another one, which it turns off."""
    settings = {} if against is None else {'against': against}
    return option(False, help, *names, resume=resume, group=group, **settings)


def fields_of(config):
    """``{name: field}`` of a recipe or its class."""
    return {field.name: field for field in dataclasses.fields(config)}


def option_of(name):
    """The option string of a field."""
    return '--' + name.replace('_', '-')


def field_type(field):
    """``(type, optional)`` of a field: bool, int, float, str, list or dict, and whether it may be None."""
    kinds = [kind for kind in typing.get_args(field.type) if kind is not type(None)]
    return (kinds[0], True) if kinds else (field.type, False)


def settled(field, value):
    """A value as its field holds it: 1 as 1.0 where that is a number, a tuple as a list, a path as a text without ~."""
    kind, _ = field_type(field)
    if kind is list and isinstance(value, (list, tuple)):
        return [_as_float(each) for each in value] if field.metadata['items'] is float else list(value)
    if kind is float:
        return _as_float(value)
    if kind is str and isinstance(value, (str, os.PathLike)):
        return os.path.expanduser(os.fspath(value))
    return value


def _as_float(value):
    return float(value) if type(value) is int and abs(value) < 1 << 1000 else value


def needs(other, given):
    """What an option is told that does nothing without ``other``, and ``given(recipe)``: whether a recipe has that."""
    return f'does nothing without {other}; add that, or leave it out', given


def idle(kind, values):
    """The options that would do nothing in a recipe of the class ``kind``, each with what is to be said of it.

    ``values`` are those of some fields; the others have their defaults. What an option needs stands in
    ``kind.of_use_with``, by the field's name, as :func:`needs` has it.
    """
    defaults = {name: settled(field, field.default) for name, field in fields_of(kind).items()}
    whole = types.SimpleNamespace(**{**defaults, **values})
    return {name: why for name, (why, given) in kind.of_use_with.items()
            if getattr(whole, name) != defaults[name] and not given(whole)}


def problem(field, value):
    """What is wrong with a field's value, alone: 'must be at least 1, got 0', on one line; None where nothing is."""
    limits, (kind, optional) = field.metadata, field_type(field)
    if value is None and optional:
        return None
    if kind is not list:
        return _alone(kind, limits, value)
    items, length = limits['items'], limits['length']
    if type(value) is not list or length not in (None, len(value)):
        wanted = KINDS[list] if items is str else f"a list of {f'{length} ' if length else ''}numbers"
        return f'must be {wanted}, got {one_line(repr(value), 60)}'
    if limits['choices']:
        return next((f"has no choice '{one_line(each, 60)}'{did_you_mean(each, limits['choices'])}"
                     for each in value if each not in limits['choices']), None)
    return next(filter(None, (_alone(items, limits, each) for each in value)), None)


def _alone(kind, limits, value):
    """What is wrong with a value of a ``kind``, in a list or alone."""
    told = one_line(value if isinstance(value, str) else repr(value), 60) or 'nothing'
    if type(value) is not kind:
        return f'must be {KINDS[kind]}, got {one_line(repr(value), 60)}'
    if limits['choices'] and value not in limits['choices']:
        return not_among(value, limits['choices'])
    if kind is str and (not 0 < len(value) < LONGEST or CONTROL.search(value) or NO_TEXT.search(value)):
        return f'must be a text without control characters, got {told}'
    if kind is str and value.startswith('~'):
        return f'must be a path in the folder of a user that there is, got {told}'
    if kind is float and not math.isfinite(value):
        return f'must be finite, got {told}'
    if kind is int and value > LARGEST:
        return f'must be at most {LARGEST}, got {told}'
    if limits['least'] is not None and not value >= limits['least']:
        return f"must be at least {limits['least']}, got {told}"
    if limits['most'] is not None and not value <= limits['most']:
        return f"must be at most {limits['most']}, got {told}"
    if limits['above'] is not None and not value > limits['above']:
        return f"must be above {limits['above']}, got {told}"
    if limits['below'] is not None and not value < limits['below']:
        return f"must be below {limits['below']}, got {told}"
    return None
