"""A recipe from the command line and from YAML files: ``--config FILE`` first, then the options that are given."""
import argparse
import os
from pathlib import Path

import resnest
from resnest.arguments import Pairs, number, plain_path, whole
from resnest.errors import InputError
from resnest.reading import did_you_mean, one_line, read_yaml

from .fields import GROUPS, field_type, fields_of, idle, option_of, problem, settled

__all__ = ['add_options', 'check_values', 'from_options', 'make', 'read_mapping']

DERIVED = 'derived'     # what config.yaml of a run tells besides the fields
CONFIGS = Path(resnest.__file__).with_name('configs')
TYPES = {int: whole(), float: number(), str: str}
METAVARS = {int: 'N', float: 'X'}


class Switch(argparse.Action):
    """``--name`` turns a field on and ``--no-name`` off: a file may have set it.

    What is ``against`` another field is turned off by that one's option, as ``--cuda`` by ``--no-cuda``.
    """

    def __init__(self, option_strings, dest, against=None, **settings):
        self.against, self.off = against, option_of(f'no_{dest}')
        super().__init__([*option_strings, *([] if against else [self.off])], dest, nargs=0, **settings)

    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, self.dest, option_string != self.off)
        if self.against:
            setattr(namespace, self.against, False)


def add_options(parser, recipe):
    """Add ``--config``, ``--print-config``, and one option for each field of ``recipe``, a class of recipes.

    An option bears its field's name (``--field-name``) and those that it had before.
    """
    parser.add_argument('--config', metavar='FILE', type=plain_path, help="recipe: a YAML file, or one of the "
                        "package's, such as resnest50; options on the command line override it")
    parser.add_argument('--print-config', action='store_true', help='print the whole recipe as YAML and stop')
    fields = fields_of(recipe)
    groups = {group: parser.add_argument_group(group) for group in GROUPS
              if any(field.metadata['group'] == group for field in fields.values())}
    own = recipe.__annotations__        # of the task, before those of any task
    for name, field in sorted(fields.items(), key=lambda item: item[0] not in own):
        group, (kind, optional) = groups[field.metadata['group']], field_type(field)
        text = field.metadata['help']
        strings = [option_of(name), *field.metadata['names']]
        settings = {'dest': name, 'default': argparse.SUPPRESS, 'help': text}
        if kind is bool:
            group.add_argument(*strings, action=Switch, **settings, **field.metadata['settings'])
        elif kind is dict:
            group.add_argument(*strings, nargs='+', action=Pairs, metavar='KEY=VALUE', **settings)
        elif kind is list:
            items, default = field.metadata['items'], field.default
            if default is not None:
                settings['help'] = f"{text} (default: {' '.join(f'{each:g}' for each in default)})"
            settings = {'metavar': METAVARS.get(items, 'NAME'), **settings, **field.metadata['settings']}
            group.add_argument(*strings, type=TYPES[items],
                               nargs=field.metadata['length'] or ('*' if items is str else '+'), **settings)
        else:
            choices = field.metadata['choices']
            word = METAVARS.get(kind, name.split('_')[-1].upper())
            settings['help'] = text if optional else f'{text} (default: {field.default})'
            group.add_argument(*strings, type=TYPES[kind], choices=choices, metavar=None if choices else word,
                                **settings, **field.metadata['settings'])
    recipe.add_older_options(parser.add_argument_group('of older commands'))


def from_options(options, recipe):
    """The recipe, of the class ``recipe``, of parsed options and the file that they name.

    What an option leaves without use in the file is left out with what it overrides: ``--lr-schedule cosine`` takes the
    file's milestones away. Raises InputError for wrong values.
    """
    path = getattr(options, 'config', None)
    values = check_values(read_mapping(path), path, recipe) if path is not None else {}
    given = {name: value for name, value in vars(options).items() if name in fields_of(recipe)}
    overridden = idle(recipe, {**values, **given}).keys() - idle(recipe, values).keys()
    return recipe(**{**{name: value for name, value in values.items() if name not in overridden}, **given})


def read_mapping(path):
    """The mapping that a YAML file holds: a path, or the name of one of the package's, such as ``'resnest50'``.

    Raises InputError that names the file where there is none.
    """
    found = read_yaml(_file_of(path))
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InputError(f'{one_line(path)}: must hold lines of the form "name: value"')
    return found


def _file_of(path):
    """The file that a path names; where there is none, the package's of that name."""
    own = {found.stem: found for found in sorted(CONFIGS.glob('*.yaml'))}
    if str(path) in own and not os.path.isfile(path):
        return own[str(path)]
    if not os.path.lexists(path):
        raise InputError(f'{one_line(path)}: no such file, and not in the package'
                         f"{did_you_mean(Path(path).stem, own, 'it has ' + ', '.join(own))}")
    return path


def make(values, where, recipe):
    """The recipe, of the class ``recipe``, of a mapping that a run has stored; raises InputError that names the file.

    What did nothing in it is left out: earlier versions took it.
    """
    values = check_values(values, where, recipe)
    useless = idle(recipe, values)
    try:
        return recipe(**{name: value for name, value in values.items() if name not in useless})
    except InputError as error:
        raise InputError(f'{one_line(where)}: {error}') from None


def check_values(values, where, recipe):
    """The fields of a mapping from a file, each of the type that it has in ``recipe``, a class of recipes.

    ``where`` names the file. The key 'derived', which config.yaml of a run has, is left out. Raises InputError that
    names the file and the key: unknown (with the nearest field), of a wrong type or out of range.
    """
    where = one_line(where)
    if not isinstance(values, dict):
        raise InputError(f'{where}: must hold options of the form "name: value", got {one_line(values)}')
    fields, checked = fields_of(recipe), {}
    for name, value in values.items():
        if name in fields:
            checked[name] = settled(fields[name], value)
            found = problem(fields[name], checked[name])
            if found:
                raise InputError(f'{where}: {name} {found}')
        elif name != DERIVED:
            like = did_you_mean(one_line(name, 60).replace('-', '_'), fields, '--help lists all')
            raise InputError(f"{where}: there is no option '{one_line(name, 60)}'{like}")
    return checked
