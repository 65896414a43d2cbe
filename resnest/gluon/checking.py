"""What callers in Python give, checked before work is done on it."""
from numbers import Integral, Real

from resnest.errors import InputError
from resnest.reading import one_line

__all__ = ['check_count', 'check_share', 'is_number']


def is_number(value, kind=Real):
    """Whether a value is a number of a kind of :mod:`numbers`; True and False are none."""
    return isinstance(value, kind) and not isinstance(value, bool)


def check_count(name, value, least=1, most=None):
    """Raise InputError, that says ``name``, for what is no whole number of this range."""
    if not is_number(value, Integral) or value < least or most is not None and value > most:
        limit = '' if most is None else f' and at most {most}'
        raise InputError(f'{name} must be a whole number of at least {least}{limit}, got {one_line(repr(value))}')


def check_share(name, value):
    """Raise InputError, that says ``name``, for what is no number above 0 and at most 1."""
    if not is_number(value) or not 0 < value <= 1:
        raise InputError(f'{name} must be above 0 and at most 1, got {one_line(repr(value))}')
