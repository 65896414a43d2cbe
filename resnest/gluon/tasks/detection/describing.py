"""What weights of detectors are of: their descriptions (models/weights/description.py), made and read."""
import logging
import os
from pathlib import Path

from resnest.gluon.models.weights.conversion import described as read_any_description
from resnest.gluon.models.weights.description import Description, changed_options
from resnest.gluon.models.weights.known import TaskTable
from resnest.gluon.models.weights.parameters import read_weights
from resnest.reading import one_line

from .data.categories import known_categories
from .table import BASELINES, DETECTION
from .weights.counting import fields_told

__all__ = ['DEFAULT_MODEL', 'TABLE', 'counted', 'described', 'know', 'know_described']

LOG = logging.getLogger(__name__)
TASK = 'detection'
OUTPUTS = ('classes', 'kinds')      # of which any number is usual
DEFAULT_MODEL = 'faster_rcnn_fpn_resnest50'     # of a command that is not told otherwise
# The same weights find more or fewer objects, in images of another size.
FREE = ('proposals_before', 'proposals', 'proposal_overlap', 'detections', 'overlap', 'least_score', 'short_side',
        'long_side', 'interpolation', 'confidence', 'covered', 'stuff_area')
TABLE = TaskTable(TASK, DETECTION, FREE, tuple(BASELINES))


def described(net, categories=None, decoding=None):
    """The :class:`Description` of a :class:`.Detector`, with the :class:`.Categories` of what it finds."""
    backbone = getattr(net.backbone, 'spec', None)
    options = {**(TABLE.split(changed_options(backbone))[1] if backbone else {}), **changed_options(net.spec)}
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
    return TABLE.know_bare(model, weights, values)


def counted(model, arrays, source, options=None):
    """The options by which a model's row has the network that the arrays of a bare file are of: those that are asked
    for, and what the arrays tell besides (:func:`.counting.fields_told`); what they change of the row is logged."""
    options = options or {}
    row = TABLE.spec_of(model, options)
    told = {name: value for name, value in fields_told(arrays, row, source).items() if name not in options}
    if changed := [f'{name}={one_line(value)} instead of {one_line(getattr(row, name))}' for name, value in told.items()
                   if name not in OUTPUTS]:
        LOG.warning('%s: told by its arrays: %s', one_line(source), ', '.join(changed))
    return {**told, **options}


def know_described(weights, description, model=None, options=None):
    """As :func:`know`, of the weights in a file whose description is known."""
    return TABLE.know(weights, description, known_categories, model, options)
