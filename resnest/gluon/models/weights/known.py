"""What is known of the weights of a task that has a table of its own, whose rows have a backbone of the zoo."""
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Optional

from resnest.errors import InputError
from resnest.reading import one_line

from ..rows import Row, override
from ..variants import find_variant, no_such_model
from .description import Description, read_description
from .parameters import count_outputs

__all__ = ['Known', 'TaskTable', 'renewed']

OF_IMAGES = ('mean', 'std')     # what a classifier's description tells of its images that a backbone wants too


@dataclass(frozen=True)
class Known:
    """What is known of weights: ``what`` they are called in messages, ``model``, ``options`` and the row ``spec`` of
    their network, ``pretrained`` as the task's ``get_model`` takes it, ``description``, None for published and bare
    ones."""
    what: str
    model: str
    options: dict
    spec: Row
    pretrained: Any
    description: Optional[Description] = None

    @property
    def names(self):
        """Names of the classes, or None."""
        return self.description and self.description.names


@dataclass(frozen=True)
class TaskTable:
    """The table ``rows`` of a task, of one kind; fields that are ``free`` may differ from what weights were trained
    with, bases that are ``plain`` have no row in the zoo, and ``counted`` is the field of how many outputs there are,
    which a description calls classes."""
    task: str
    rows: Mapping
    free: tuple
    plain: tuple = ()
    counted: str = 'classes'

    def split(self, values):
        """``(fields of the row, fields of the backbone's row)`` of a dict of options; of one name the row's come
        first."""
        own = type(next(iter(self.rows.values()))).options()
        return ({name: value for name, value in values.items() if name in own},
                {name: value for name, value in values.items() if name not in own})

    def spec_of(self, model, values):
        """The row of a model with the fields among ``values``; raises InputError for what no network has."""
        if not isinstance(model, str) or model not in self.rows:
            raise no_such_model(model, self.rows, self.task)
        own, backbone = self.split(values)
        spec = override(self.rows[model], own)
        if spec.base not in self.plain:
            override(find_variant(spec.base), backbone)
        elif backbone:
            raise InputError(f"a network has no '{one_line(next(iter(backbone)))}'")
        return spec

    def backbone_of(self, description):
        """The options of a row whose backbone is the network of a described classifier, for images of its kind."""
        told = description.options
        return {'base': description.model, **self.split(told)[1],
                **{name: told[name] for name in OF_IMAGES if name in told}}

    def know_asked(self, default, bias, check, model=None, weights=None, options=None):
        """The :class:`Known` of what is asked for: the described weights in a file, bare ones, or the published ones.

        ``default`` is the model of those that do not tell it, ``bias`` the name of the last layer's, whose values are
        counted in a bare file, and ``check`` as :meth:`know` has it. Raises InputError as :meth:`know`, for an unknown
        model, and for a bare file without such a bias.
        """
        description = read_description(weights) if weights else None
        if description:
            return self.know(weights, description, check, model, options)
        values = dict(options or {})
        if weights and self.counted not in values:
            values[self.counted] = count_outputs(weights, bias)
            if values[self.counted] is None:
                raise InputError(f'{one_line(weights)}: holds no {self.task} network ({bias}); give other weights')
        return self.know_bare(model or default, weights, values)

    def know_bare(self, model, weights, values):
        """The :class:`Known` of bare weights in a file, or, without one, of the published ones."""
        what = f'the weights in {one_line(weights)}' if weights else 'the published weights'
        return Known(what, model, values, self.spec_of(model, values), weights or True)

    def know(self, weights, description, check, model=None, options=None):
        """The :class:`Known` of the weights in a file whose description is known.

        ``check(spec, description)`` raises InputError for what else the description says that cannot be. Raises
        InputError for weights of another task or model, for a description that cannot be, and for ``options`` that
        contradict it.
        """
        what, options = f'the weights in {one_line(weights)}', options or {}
        if description.task != self.task:
            raise InputError(f'{what} are of {one_line(description.task, 60)}, not of {self.task}; give other weights')
        if model not in (None, description.model):
            raise InputError(f'{what} are of {description.model}, not of {one_line(model)}; leave out the model')
        told = {**description.options, self.counted: description.classes}
        values = {**told, **options}
        try:
            spec, asked = (self.spec_of(description.model, each) for each in (told, values))
            check(spec, description)
        except InputError as error:
            raise InputError(f'{what}: {error}') from None
        changed = [name for name in spec.options()
                   if getattr(spec, name) != getattr(asked, name) and name not in self.free]
        changed += [name for name, value in self.split(options)[1].items() if told.get(name) != value]
        if changed:
            raise InputError(f'{what} tell by themselves what network they are of; leave out {changed[0]}')
        return Known(what, description.model, values, asked, weights, description)


def renewed(told, found):
    """The :class:`Description` ``found`` of a network of another task, with what else the weights ``told`` that were
    loaded, or None, where they are of as many classes."""
    if told is None or told.classes != found.classes:
        return found
    return replace(told, options=found.options, sha256=None)
