"""What the tables of published networks share: each row is a frozen dataclass whose fields are checked."""
import typing
from dataclasses import fields, replace

from resnest.errors import InputError
from resnest.reading import did_you_mean, one_line

__all__ = ['GLUONCV_URL', 'Row', 'override']

# Where gluoncv's model store has its files.
GLUONCV_URL = 'https://apache-mxnet.s3-accelerate.dualstack.amazonaws.com/gluon/models/{file}.zip'
LEAST_STD = 1e-6
KINDS = {bool: 'true or false', int: 'a whole number', float: 'a number', str: 'a text',
         tuple[int, int, int, int]: 'a list of whole numbers', tuple[int, int, int]: 'a list of three whole numbers',
         tuple[float, float, float]: 'a list of three numbers', tuple[int, ...]: 'a list of whole numbers',
         tuple[float, ...]: 'a list of numbers'}


class Row:
    """Base of a table's rows; their dataclass has a field ``name``, and its ``__post_init__`` calls the methods.

    ``table``
        The rows by their names.
    ``still_true``
        The published fields, each with those in which another network may differ from the row that it holds for.
    ``url``
        Of the published archives, ``{file}`` standing for their name; None for those of the paper's project.
    """
    table: typing.ClassVar[dict] = {}
    still_true: typing.ClassVar[dict] = {}
    url: typing.ClassVar[typing.Optional[str]] = None

    @classmethod
    def options(cls):
        """Names of what :func:`override` can change."""
        return [field.name for field in fields(cls) if field.name not in ('name', *cls.still_true)]

    def settle_types(self):
        """Refuse values of other types; lists, as files have them, become tuples."""
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in self.still_true:
                continue
            parts, kind = [value], field.type
            if typing.get_origin(kind) is tuple:
                parts, kind = list(value) if isinstance(value, (list, tuple)) else [None], typing.get_args(kind)[0]
                object.__setattr__(self, field.name, tuple(parts))
            if not all(type(each) is kind or (kind is float and type(each) is int) for each in parts):
                raise InputError(f'{field.name} of a network is {KINDS[field.type]}, got {one_line(repr(value))}')

    def check_limits(self, limits):
        """Refuse numbers out of range: ``{field: (least, most)}``."""
        for name, (least, most) in limits.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise InputError(f'{name} must be at least {least} and at most {most}, got {one_line(value)}')

    def check_choices(self, choices):
        """Refuse what is none of the choices: ``{field: values}``."""
        for name, values in choices.items():
            if getattr(self, name) not in values:
                raise InputError(f'{name} must be {" or ".join(map(str, values))}, got {one_line(getattr(self, name))}')

    def check_statistics(self):
        """Refuse a mean and a standard deviation that no pixels have."""
        for name, least in (('mean', 0), ('std', LEAST_STD)):
            value = getattr(self, name)
            if len(value) != 3 or not all(least <= each <= 1 for each in value):
                raise InputError(f'{name} must be three numbers, red, green and blue, on a scale of 0 to 1'
                                 f'{" and above 0" if least else ""}, got {one_line(value)}')

    def forget_published(self):
        """Set to None what is published of the row of this name, or with these weights, and not true of this one."""
        row = next((row for row in self.table.values() if row.name == self.name or row.sha1 and row.sha1 == self.sha1),
                   self)
        changed = {name for name in self.options() if getattr(row, name) != getattr(self, name)}
        for figure, free in self.still_true.items():
            if changed - free and getattr(self, figure) == getattr(row, figure):
                object.__setattr__(self, figure, None)

    @property
    def file(self):
        """Name of the published weights, without the ending."""
        return self.sha1 and f'{self.name}-{self.sha1[:8]}'


def override(spec, values):
    """A row with other values of what makes the network, as they come from a file or a command line.

    What is published of the network is None in the new row where it need not be true any more. Raises InputError for
    an unknown name (with the nearest one), a wrong type or a value out of range.
    """
    own = spec.options()
    for name in values:
        if name not in own:
            raise InputError(f"a network has no '{one_line(name)}'{did_you_mean(name, own)}")
    return replace(spec, **values)
