"""Every published network by its name, whatever the task.

The table of a task is imported when it is asked for: classifiers and backbones need none but their own.
"""
import fnmatch
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from resnest.errors import InputError
from resnest.gluon import models
from resnest.gluon.models.features import Features
from resnest.gluon.models.resnet import ResNet
from resnest.gluon.models.signatures import Classifier, Folder, NetworkOptions, Weights
from resnest.gluon.models.variants import VARIANTS, no_such_model
from resnest.gluon.models.weights import store
from resnest.gluon.models.weights.choosing import is_file_of_weights
from resnest.gluon.models.weights.description import read_description
from resnest.reading import not_among, one_line

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ['TASKS', 'get_model', 'list_models', 'purge', 'task_of']

TASKS = ('classification', 'segmentation')


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
    :func:`resnest.gluon.tasks.segmentation.get_model` for what segmentation networks take. Raises InputError as they
    do, for an unknown name with the nearest one of all tasks.
    """
    of_file = is_file_of_weights(name)
    if _described_task(name) != 'segmentation' if of_file else not isinstance(name, str) or name in VARIANTS:
        return models.get_model(name, pretrained, root, ctx, **kwargs)
    if not of_file and name not in _table('segmentation'):
        raise no_such_model(name, [row for task in TASKS for row in _table(task)])
    from resnest.gluon.tasks import segmentation
    return segmentation.get_model(name, pretrained, root, ctx, **kwargs)


def list_models(pattern: str = '*', pretrained: bool = False, task: str = 'classification') -> list[str]:
    """List the names of a task's networks that fit a shell pattern such as ``'*fast*'``, in the order of the table.

    With ``pretrained=True`` only those networks are listed whose weights are published. Raises InputError for an
    unknown task and for what is no pattern.
    """
    if not isinstance(pattern, str):
        raise InputError(f'the pattern must be a text, got {one_line(repr(pattern), 60)}')
    return [name for name, spec in _table(task).items()
            if fnmatch.fnmatchcase(name, pattern) and (spec.sha1 or not pretrained)]


def purge(root=store.ROOT):
    """Remove the published weights, and what is left of downloads, from the folder; returns the paths removed."""
    return store.purge(root, [_table(task) for task in TASKS])


def task_of(model=None, weights=None):
    """The task of described weights, or else of a model's name, or of described weights in its place; 'classification'
    where neither tells."""
    told = _described_task(weights) if weights else None
    if told is None and isinstance(model, (str, os.PathLike)):
        told = _described_task(model) if is_file_of_weights(model) else \
            next((task for task in TASKS if model in _table(task)), None)
    return told or 'classification'


def _described_task(path):
    """The task of the weights in a file, as they are described; None where they are bare."""
    description = read_description(path)
    return description and description.task


def _table(task):
    if task not in TASKS:
        raise InputError(f'task {not_among(task, TASKS)}')
    if task == 'segmentation':
        from resnest.gluon.tasks.segmentation import SEGMENTATION
        return SEGMENTATION
    return VARIANTS
