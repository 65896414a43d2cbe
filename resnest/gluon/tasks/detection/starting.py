"""What a run of training starts from: which network, and which weights."""
import dataclasses
import json

from resnest.errors import InputError
from resnest.gluon.models import find_variant
from resnest.gluon.models.weights.choosing import first_description
from resnest.gluon.models.weights.description import CLASSIFICATION
from resnest.gluon.models.weights.parameters import read_weights
from resnest.gluon.training import begun_before

from .describing import DEFAULT_MODEL, TABLE, counted, know_described
from .making import load_base, load_weights
from .weights.counting import count_outputs

__all__ = ['load_start', 'settle_network']


def settle_network(config, job):
    """``(config, spec, options)``: the recipe with the model that it gets in the end, the model's row, and by which
    options :func:`.making.make` makes its network."""
    config, before = begun_before(config, job)
    path, values = config.resume_params, dict(config.model_options or {})
    description, model = None if before else first_description(path, job), config.model
    if description and description.task == CLASSIFICATION:
        values = {**_as_rgb(model, description), **TABLE.backbone_of(description), **values}
    elif description:
        known = know_described(path, description, model, values)
        model, values = known.model, dict(known.options)
    elif path and not before and not config.pretrained_backbone:
        values = _told(path, model or DEFAULT_MODEL, values, job)
    model = model or DEFAULT_MODEL
    spec = TABLE.spec_of(model, values)
    values = {name: value for name, value in values.items() if name not in ('classes', 'kinds')}
    return dataclasses.replace(config, model=model, model_options=values or None), spec, values


def _told(path, model, values, job):
    """The options, with what a bare file tells besides where it is of a detector; it is read on the first rank."""
    def read():
        arrays = read_weights(path)
        return json.dumps(counted(model, arrays, path, values) if _of_detector(arrays, path) else values).encode()

    return json.loads(bytes(job.from_first(read, 'what the weights tell')))


def _as_rgb(model, description):
    """What a row whose images are BGR needs for a classifier's weights, which want RGB."""
    if TABLE.spec_of(model or DEFAULT_MODEL, {}).channel_order == 'RGB':
        return {}
    row = find_variant(description.model)
    return {'channel_order': 'RGB', 'mean': row.mean, 'std': row.std}


def load_start(network, config, source, device):
    """Load what the run starts from, a path or True, into ``network``; returns what is to be told besides, or None."""
    if config.pretrained_backbone or source is not True and not _of_detector(read_weights(source), source):
        load_base(network, source, ctx=device)
        return 'they are those of the backbone, the rest is new'
    if load_weights(network, source, ctx=device, other_classes=True):
        return 'their last layers are for other classes, new ones take their place'
    return None


def _of_detector(arrays, path):
    try:
        return bool(count_outputs(arrays, path))
    except InputError:
        return False
