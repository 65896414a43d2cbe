"""Which network is meant: what is asked for, and what the weights say of themselves."""
import os
from dataclasses import dataclass
from typing import Optional, Union

from resnest.errors import InputError
from resnest.reading import one_line

from ..variants import STILL_TRUE, VariantSpec, find_variant, option_names, override
from .description import CLASSIFICATION, Description, from_text, read_description, to_text
from .parameters import count_classes

__all__ = ['DEFAULT_MODEL', 'Choice', 'choose', 'choose_described', 'first_description', 'is_file_of_weights',
           'not_described']

DEFAULT_MODEL = 'resnest50'     # of a command that is not told otherwise
PUBLISHED_CLASSES = 1000


@dataclass(frozen=True)
class Choice:
    """``get_model(choice.model, choice.pretrained, **choice.values)`` is the network, ``description`` its weights'."""
    model: str
    pretrained: Union[bool, str, os.PathLike, None]
    values: dict
    description: Optional[Description] = None

    @property
    def spec(self) -> VariantSpec:
        """The row of the model with all options."""
        return override(find_variant(self.model), {name: self.values[name] for name in option_names()
                                                   if name in self.values})

    @property
    def classes(self) -> int:
        """Of the network: those that are asked for or described, else those of the file, or of the published ones."""
        if 'classes' in self.values:
            return self.values['classes']
        return count_classes(self.pretrained) if isinstance(self.pretrained, (str, os.PathLike)) else PUBLISHED_CLASSES


def choose(model=None, pretrained=True, values=None, default=None):
    """The :class:`Choice` of a model's name, or of a file of weights in its place, and of other values of its fields.

    Described weights tell model, options and classes themselves; else the model is the ``default`` where none is given.
    Raises InputError for an unknown model, for weights that are given by their file alone and are bare, and where what
    is asked for contradicts what the weights are of.
    """
    values = dict(values or {})
    for path in (model if is_file_of_weights(model) else None, pretrained):
        if isinstance(path, (str, os.PathLike)) and os.path.isdir(os.path.expanduser(path)):
            raise InputError(f'{one_line(path)}: a folder; give a file of weights, such as '
                             f'{one_line(os.path.join(path, "best.params"))}')
    if is_file_of_weights(model):
        if isinstance(pretrained, (str, os.PathLike)):
            raise InputError(f'{one_line(model)} and {one_line(pretrained)}: two files of weights; give one')
        path = pretrained = model
        model, description = None, read_description(path)
        if description is None and not os.path.lexists(os.path.expanduser(path)):
            raise InputError(f'{one_line(path)}: no such file')
        if description is None:
            raise not_described(path)
    else:
        path = pretrained if isinstance(pretrained, (str, os.PathLike)) else None
        description = read_description(path) if path else None
    if description is None:
        return Choice(default if model is None else model, pretrained, values)
    return choose_described(path, description, model, values)


def choose_described(path, description, model=None, values=None):
    """The :class:`Choice` of the weights in the file ``path``, whose description is known; raises as :func:`choose`."""
    values = dict(values or {})
    if description.task != CLASSIFICATION:
        raise InputError(f'{one_line(path)}: weights of a network for {one_line(description.task, 60)}, not for '
                         f'{CLASSIFICATION}; give other weights, or use the commands of that task')
    if model is not None and find_variant(model).name != description.model:
        raise InputError(f'{one_line(path)}: weights of {description.model}, not of {model}; leave out the model, or '
                         'give other weights')
    for name in option_names():
        if name in values and name not in STILL_TRUE['sha1']:
            asked, told = (getattr(spec, name) for spec in (override(description.spec, {name: values[name]}),
                                                            description.spec))
            if asked != told:
                raise InputError(f'{one_line(path)}: weights of a network whose {name} is {one_line(told)}, not '
                                 f'{one_line(asked)}; leave out the option, or give other weights')
    return Choice(description.model, path, {'classes': description.classes, **description.options, **values},
                  description)


def first_description(path, job):
    """The description of the weights in a file, read on the first rank; None for bare ones, and where ``path`` is."""
    def read():
        found = read_description(path)
        return found and to_text(found).encode()

    found = path and job.from_first(read, 'description')
    return from_text(bytes(found).decode(), path) if found else None


def not_described(path):
    """The InputError for bare weights in the place of a model's name."""
    return InputError(f'{one_line(path)}: no file beside it describes these weights; give the name of the model, and '
                      'the file as pretrained')


def is_file_of_weights(name):
    """Whether what stands in the place of a model's name is a path."""
    return isinstance(name, os.PathLike) or isinstance(name, str) and (name.endswith('.params') or os.sep in name)
