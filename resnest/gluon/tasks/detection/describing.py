"""What weights of detectors are of: their descriptions (models/weights/description.py), made and read."""
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from resnest.errors import InputError
from resnest.gluon.models import find_variant, override
from resnest.gluon.models.variants import no_such_model
from resnest.gluon.models.weights.conversion import described as read_any_description
from resnest.gluon.models.weights.description import Description, changed_options
from resnest.gluon.models.weights.parameters import read_weights
from resnest.reading import one_line

from .data.categories import known_categories
from .table import BASELINES, DETECTION, DetectionSpec
from .weights.counting import fields_told

__all__ = ['DEFAULT_MODEL', 'Known', 'counted', 'described', 'know', 'know_described', 'spec_of', 'split_options']

LOG = logging.getLogger(__name__)
TASK = 'detection'
OUTPUTS = ('classes', 'kinds')      # of which any number is usual
DEFAULT_MODEL = 'faster_rcnn_fpn_resnest50'     # of a command that is not told otherwise
# The same weights find more or fewer objects, in images of another size.
FREE = ('proposals_before', 'proposals', 'proposal_overlap', 'detections', 'overlap', 'least_score', 'short_side',
        'long_side', 'interpolation', 'confidence', 'covered', 'stuff_area')


@dataclass(frozen=True)
class Known:
    """What is known of weights: ``what`` they are called in messages, ``model``, ``options`` and the row ``spec`` of
    their network, ``pretrained`` as :func:`.get_model` takes it, ``description``, None for published and bare ones."""
    what: str
    model: str
    options: dict
    spec: DetectionSpec
    pretrained: object
    description: Description = None


def split_options(values):
    """``(fields of the row, fields of the backbone's row)`` of a dict of options; of one name the row's come first."""
    own = DetectionSpec.options()
    return ({name: value for name, value in values.items() if name in own},
            {name: value for name, value in values.items() if name not in own})


def described(net, categories=None, decoding=None):
    """The :class:`Description` of a :class:`.Detector`, with the :class:`.Categories` of what it finds."""
    backbone = getattr(net.backbone, 'spec', None)
    options = {**(split_options(changed_options(backbone))[1] if backbone else {}), **changed_options(net.spec)}
    classes = options.pop('classes', net.spec.classes)
    own = {}
    if categories:
        own = {'category_ids': list(categories.ids)}
        if categories.stuff:
            own.update(stuff=list(categories.stuff), stuff_ids=list(categories.stuff_ids))
    return Description(net.spec.name, classes, options, categories and list(categories.names), None, decoding,
                       task=TASK, own=own)


def know(model=None, weights=None, options=None):
    """The :class:`Known` of what is asked for: the described weights in a file, bare ones, or the published ones.

    Raises InputError for an unknown model, for weights that are of another task, and for a description that cannot be.
    """
    weights = weights and Path(os.path.expanduser(weights))
    description = read_any_description(weights) if weights else None
    if description:
        return know_described(weights, description, model, options)
    model, values = model or DEFAULT_MODEL, dict(options or {})
    if weights:
        values = counted(model, read_weights(weights), weights, values)
    what = f'the weights in {one_line(weights)}' if weights else 'the published weights'
    return Known(what, model, values, spec_of(model, values), weights or True)


def counted(model, arrays, source, options=None):
    """The options by which a model's row has the network that the arrays of a bare file are of: those that are asked
    for, and what the arrays tell besides (:func:`.counting.fields_told`); what they change of the row is logged."""
    options = options or {}
    row = spec_of(model, options)
    told = {name: value for name, value in fields_told(arrays, row, source).items() if name not in options}
    if changed := [f'{name}={one_line(value)} instead of {one_line(getattr(row, name))}' for name, value in told.items()
                   if name not in OUTPUTS]:
        LOG.warning('%s: told by its arrays: %s', one_line(source), ', '.join(changed))
    return {**told, **options}


def know_described(weights, description, model=None, options=None):
    """As :func:`know`, of the weights in a file whose description is known."""
    what = f'the weights in {one_line(weights)}'
    if description.task != TASK:
        raise InputError(f'{what} are of {one_line(description.task, 60)}, not of {TASK}; give other weights')
    if model not in (None, description.model):
        raise InputError(f'{what} are of {description.model}, not of {one_line(model)}; leave out the model')
    values = {**description.options, 'classes': description.classes}
    try:
        spec, asked = (spec_of(description.model, each) for each in (values, {**values, **(options or {})}))
        known_categories(spec, description)
    except InputError as error:
        raise InputError(f'{what}: {error}') from None
    changed = [name for name in spec.options() if getattr(spec, name) != getattr(asked, name) and name not in FREE]
    backbone = [name for name, value in split_options(options or {})[1].items() if values.get(name) != value]
    if changed or backbone:
        raise InputError(f"{what} tell by themselves what network they are of; leave out {(changed + backbone)[0]}")
    return Known(what, description.model, {**values, **(options or {})}, asked, weights, description)


def spec_of(model, values):
    """The row of a model with the fields among ``values``; raises InputError for what no network has."""
    if not isinstance(model, str) or model not in DETECTION:
        raise no_such_model(model, DETECTION, TASK)
    own, backbone = split_options(values)
    spec = override(DETECTION[model], own)
    if spec.base not in BASELINES:
        override(find_variant(spec.base), backbone)
    elif backbone:
        raise InputError(f"a network has no '{one_line(next(iter(backbone)))}'")
    return spec
