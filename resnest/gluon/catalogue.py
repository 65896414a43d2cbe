"""Every published network by its name, whatever the task.

The table of a task is imported when it is asked for: classifiers and backbones need none but their own.
"""
import fnmatch
import os
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, overload

from resnest.errors import InputError
from resnest.gluon import models
from resnest.gluon.models.cost import aligned
from resnest.gluon.models.features import Features
from resnest.gluon.models.resnet import ResNet
from resnest.gluon.models.signatures import Classifier, Folder, NetworkOptions, Weights
from resnest.gluon.models.variants import VARIANTS, no_such_model, our_name
from resnest.gluon.models.weights import conversion, store
from resnest.gluon.models.weights.choosing import is_file_of_weights
from resnest.gluon.models.weights.conversion import described
from resnest.gluon.models.weights.description import CLASSIFICATION, read_description
from resnest.reading import not_among, one_line

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ['TASKS', 'convert', 'get_model', 'list_models', 'published_figures', 'purge', 'task_of']

TASKS = ('classification', 'segmentation', 'detection', 'pose')


@overload
def get_model(name: Classifier, pretrained: Weights = ..., root: Folder = ..., ctx: Any = ...,
              features_only: Literal[False] = ..., out_indices: Sequence[int] = ...,
              **kwargs: 'Unpack[NetworkOptions]') -> ResNet: ...


@overload
def get_model(name: Classifier, pretrained: Weights = ..., root: Folder = ..., ctx: Any = ..., *,
              features_only: Literal[True], out_indices: Sequence[int] = ...,
              **kwargs: 'Unpack[NetworkOptions]') -> Features: ...


@overload
def get_model(name: Folder, pretrained: Weights = ..., root: Folder = ..., ctx: Any = ..., **kwargs: Any) -> Any: ...


def get_model(name, pretrained=False, root=store.ROOT, ctx=None, **kwargs):
    """Make a network by its name, one of :func:`list_models` of any task.

    The path of described weights makes their network. ``pretrained``, ``root`` and ``ctx`` are those of
    :func:`resnest.gluon.models.get_model`, which makes classifiers and backbones and takes whatever else is given; see
    :func:`resnest.gluon.tasks.segmentation.get_model`, :func:`resnest.gluon.tasks.detection.get_model` and
    :func:`resnest.gluon.tasks.pose.get_model` for what the networks of these tasks take. Raises InputError as they do,
    for an unknown name with the nearest one of all tasks.
    """
    of_file = is_file_of_weights(name)
    task = _described_task(name) if of_file else _named_task(name) if isinstance(name, str) else CLASSIFICATION
    if not of_file and task is None:
        raise no_such_model(name, [row for each in TASKS for row in _table(each)])
    if task in (None, CLASSIFICATION) or task not in TASKS:     # which says what is wrong
        return models.get_model(name, pretrained, root, ctx, **kwargs)
    return _room(task).get_model(name, pretrained, root, ctx, **kwargs)


def list_models(pattern: str = '*', pretrained: bool = False, task: str = 'classification') -> list[str]:
    """List the names of a task's networks that fit a shell pattern such as ``'*fast*'``, in the order of the table.

    With ``pretrained=True`` only those networks are listed whose weights are published. Raises InputError for an
    unknown task and for what is no pattern.
    """
    if not isinstance(pattern, str):
        raise InputError(f'the pattern must be a text, got {one_line(repr(pattern), 60)}')
    return [name for name, spec in _table(task).items()
            if fnmatch.fnmatchcase(name, pattern) and (spec.file or not pretrained)]


def published_figures(pattern='*', task='segmentation'):
    """A table, as text, of a task's networks, their backbones and what figures are published of them.

    Raises InputError where no name fits the shell pattern.
    """
    rows = [_table(task)[name] for name in list_models(pattern, task=task)]
    if not rows:
        raise InputError(f"no model fits '{one_line(pattern)}'; resnest models --task {task} lists all")
    figures = [name for name in rows[0].still_true
               if any(type(getattr(row, name)) is float for row in _table(task).values())]
    lines = [('model', 'base', *figures)]
    for row in rows:
        values = (getattr(row, name) for name in figures)
        lines.append((row.name, row.base, *('-' if value is None else f'{value:.2f}' for value in values)))
    return aligned(lines)


def purge(root=store.ROOT):
    """Remove the published weights, and what is left of downloads, from the folder; returns the paths removed."""
    return store.purge(root, [_table(task) for task in TASKS])


def task_of(model=None, weights=None):
    """The task of described weights, or else of a model's name, or of described weights in its place; 'classification'
    where neither tells."""
    told = _described_task(weights) if weights else None
    if told is None and isinstance(model, (str, os.PathLike)):
        told = _described_task(model) if is_file_of_weights(model) else _named_task(model)
    return told or CLASSIFICATION


def convert(source, target, model=None, to=None, options=None):
    """Convert a file of weights of any task that has other formats; returns ``(number of arrays, classes)``.

    See :func:`resnest.gluon.models.weights.conversion.convert` and
    :func:`resnest.gluon.tasks.detection.making.convert`. Raises InputError as they do, for an unknown model with
    the nearest one, and for networks of other tasks, whose weights have no other format.
    """
    description = described(source)
    task = description.task if description else model is not None and _named_task(model)
    if task is None:
        raise no_such_model(model, [row for each in TASKS for row in _table(each)])
    if task in ('segmentation', 'pose'):
        raise InputError(f"{one_line(source)}: weights of networks of {task} have no other format than Gluon's, "
                         f'.params; use the file as it is')
    if task == 'detection':
        from resnest.gluon.tasks.detection.making import convert as convert_detector
        return convert_detector(source, target, model, to, options)
    return conversion.convert(source, target, model, to, options)


def _described_task(path):
    """The task of the weights in a file, as they are described; None where they are bare."""
    description = read_description(path)
    return description and description.task


def _named_task(name):
    """The task whose table has the name; None where there is none."""
    if our_name(name) in VARIANTS:
        return CLASSIFICATION
    return next((task for task in TASKS if name in _table(task)), None)


def _room(task):
    return import_module(f'resnest.gluon.tasks.{task}')


def _table(task):
    """The rows of a task by their names; raises InputError for what is no task."""
    if task not in TASKS:
        raise InputError(f'task {not_among(task, TASKS)}')
    if task == CLASSIFICATION:
        return VARIANTS
    return getattr(_room(task), task.upper())
