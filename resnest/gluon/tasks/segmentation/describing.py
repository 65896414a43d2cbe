"""What weights of segmentation networks are of: their descriptions (models/weights/description.py), made and read."""
from dataclasses import dataclass, replace

from resnest.errors import InputError
from resnest.gluon.models import find_variant, override
from resnest.gluon.models.variants import no_such_model
from resnest.gluon.models.weights.description import Description, changed_options, read_description
from resnest.gluon.models.weights.parameters import read_parameters
from resnest.gluon.models.weights.params_file import read_shapes
from resnest.reading import one_line

from .table import SEGMENTATION, SegmentationSpec

__all__ = ['DEFAULT_MODEL', 'Known', 'described', 'described_again', 'know', 'know_described', 'spec_of',
           'split_options']

TASK = 'segmentation'
DEFAULT_MODEL = 'deeplab_resnest50_ade'     # of a command that is not told otherwise
# The same weights take other images too, and more or fewer positions (Chen et al., 2017, section 4: trained at 16).
FREE = ('crop_size', 'base_size', 'interpolation', 'mean', 'std', 'output_stride')


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


def described(net, names=None, colours=None, decoding=None, held_out=None):
    """The :class:`Description` of a :class:`.SegmentationNet`; ``colours`` of the classes are ``(classes, 3)``."""
    own = {} if colours is None else {'palette': [[int(part) for part in colour] for colour in colours]}
    options = {**split_options(changed_options(net.backbone))[1], **changed_options(net.spec)}
    classes = options.pop('classes', net.spec.classes)
    return Description(net.spec.name, classes, options, names, None, decoding, held_out, task=TASK, own=own)


def described_again(net):
    """The :class:`Description` of a network: that of the weights that were read, with what ``net.spec`` changes."""
    found, told = described(net), net.description
    if told is None or told.classes != found.classes:
        return found
    return replace(told, options=found.options, sha256=None)


def know(model=None, weights=None, options=None):
    """The :class:`Known` of what is asked for: the described weights in a file, bare ones, or the published ones.

    Raises InputError for an unknown model, for weights that are of another task, and for a description that cannot be.
    """
    description = read_description(weights) if weights else None
    if description:
        return know_described(weights, description, model, options)
    model, values = model or DEFAULT_MODEL, dict(options or {})
    if weights and 'classes' not in values:
        values['classes'] = _count_classes(weights)
    what = f'the weights in {one_line(weights)}' if weights else 'the published weights'
    return Known(what, model, values, spec_of(model, values), weights or True)


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
        found = Known(what, description.model, values, spec, weights, description)
        _check_palette(found)
    except InputError as error:
        raise InputError(f'{what}: {error}') from None
    changed = [name for name in spec.options() if getattr(spec, name) != getattr(asked, name) and name not in FREE]
    backbone = [name for name, value in split_options(options or {})[1].items() if values.get(name) != value]
    if changed or backbone:
        raise InputError(f"{what} tell by themselves what network they are of; leave out {(changed + backbone)[0]}")
    return replace(found, options={**values, **(options or {})}, spec=asked)


def _count_classes(path):
    bias = read_parameters(path, read_shapes).get('head.block.4.bias')
    if bias is None or len(bias) != 1:
        raise InputError(f'{one_line(path)}: holds no segmentation network (head.block.4.bias); give other weights')
    return bias[0]


def spec_of(model, values):
    """The row of a model with the fields among ``values``; raises InputError for what no network has."""
    if not isinstance(model, str) or model not in SEGMENTATION:
        raise no_such_model(model, SEGMENTATION, TASK)
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
