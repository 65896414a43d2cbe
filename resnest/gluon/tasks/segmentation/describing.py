"""What weights of segmentation networks are of: their descriptions (models/weights/description.py), made and read."""
from dataclasses import dataclass

from resnest.errors import InputError
from resnest.gluon.models import find_variant, override
from resnest.gluon.models.variants import no_such_model
from resnest.gluon.models.weights.description import Description, changed_options, read_description
from resnest.gluon.models.weights.parameters import read_parameters
from resnest.gluon.models.weights.params_file import read_shapes
from resnest.reading import one_line

from .table import SEGMENTATION, SegmentationSpec

__all__ = ['TASK', 'Known', 'described', 'know', 'options_of', 'split_options']

TASK = 'segmentation'


@dataclass(frozen=True)
class Known:
    """What is known of weights: ``what`` they are called in messages, ``model``, ``options`` and the row ``spec`` of
    their network, ``pretrained`` as :func:`.get_model` takes it, ``description``, None for published and bare ones."""
    what: str
    model: str
    options: dict
    spec: SegmentationSpec
    pretrained: object
    description: Description = None

    @property
    def names(self):
        """Names of the classes, or None."""
        return self.description and self.description.names

    @property
    def palette(self):
        """Colours of the classes, lists of three whole numbers, or None."""
        return self.description and self.description.own.get('palette')


def split_options(values):
    """``(fields of the row, fields of the backbone's row)`` of a dict of options; of one name the row's come first."""
    own = SegmentationSpec.options()
    return ({name: value for name, value in values.items() if name in own},
            {name: value for name, value in values.items() if name not in own})


def options_of(net):
    """The options by which :func:`.get_model` makes a network like ``net`` from the row of its name."""
    backbone = changed_options(net.backbone) or {}
    return {**{name: value for name, value in backbone.items() if name not in SegmentationSpec.options()},
            **changed_options(net.spec)}


def described(net, names=None, colours=None, decoding=None):
    """The :class:`Description` of a :class:`.SegmentationNet` and its classes, whose ``colours`` are ``(classes, 3)``."""
    own = {} if colours is None else {'palette': [[int(part) for part in colour] for colour in colours]}
    return Description(net.spec.name, net.spec.classes, options_of(net), names, None, decoding, task=TASK, own=own)


def know(model=None, weights=None, options=None, default='deeplab_resnest50_ade'):
    """The :class:`Known` of what is asked for: the described weights in a file, bare ones, or the published ones.

    Raises InputError for an unknown model, for weights that are of another task, and for a description that cannot be.
    """
    description = read_description(weights) if weights else None
    if description is None:
        model, values = model or default, dict(options or {})
        if weights and 'classes' not in values:
            values['classes'] = _count_classes(weights)
        what = f'the weights in {one_line(weights)}' if weights else 'the published weights'
        return Known(what, model, values, _spec(model, values), weights or True)
    what = f'the weights in {one_line(weights)}'
    if description.task != TASK:
        raise InputError(f'{what} are of {one_line(description.task, 60)}, not of segmentation; give other weights')
    if model not in (None, description.model):
        raise InputError(f'{what} are of {description.model}, not of {one_line(model)}; leave out the model')
    values = {'classes': description.classes, **description.options}
    for name, value in (options or {}).items():
        if name not in ('crop_size', 'base_size') and values.get(name) != value:
            raise InputError(f'{what} tell by themselves what they are of; leave out {one_line(name)}')
        values[name] = value
    try:
        found = Known(what, description.model, values, _spec(description.model, values), weights, description)
        _check_palette(found)
    except InputError as error:
        raise InputError(f'{one_line(weights)}: its description cannot be: {error}') from None
    return found


def _count_classes(path):
    bias = read_parameters(path, read_shapes).get('head.block.4.bias')
    if bias is None or len(bias) != 1:
        raise InputError(f'{one_line(path)}: holds no segmentation network (head.block.4.bias); give other weights')
    return bias[0]


def _spec(model, values):
    if not isinstance(model, str) or model not in SEGMENTATION:
        raise no_such_model(model, SEGMENTATION)
    own, backbone = split_options(values)
    spec = override(SEGMENTATION[model], own)
    override(find_variant(spec.base), backbone)
    return spec


def _check_palette(known):
    palette = known.palette
    if palette is not None and not (
            isinstance(palette, list) and len(palette) == known.spec.classes and all(
                isinstance(colour, list) and len(colour) == 3 and
                all(type(part) is int and 0 <= part <= 255 for part in colour) for colour in palette)):
        raise InputError('palette must be three whole numbers up to 255 for each class')
