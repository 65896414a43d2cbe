"""What weights of segmentation networks are of: their descriptions (models/weights/description.py), made and read."""
from resnest.errors import InputError
from resnest.gluon.models.weights.description import Description, changed_options, read_description
from resnest.gluon.models.weights.known import Known, TaskTable
from resnest.gluon.models.weights.parameters import read_parameters
from resnest.gluon.models.weights.params_file import read_shapes
from resnest.reading import one_line

from .table import SEGMENTATION

__all__ = ['DEFAULT_MODEL', 'TABLE', 'described', 'know', 'know_described']

TASK = 'segmentation'
DEFAULT_MODEL = 'deeplab_resnest50_ade'     # of a command that is not told otherwise
# The same weights take other images too, and more or fewer positions (Chen et al., 2017, section 4: trained at 16).
TABLE = TaskTable(TASK, SEGMENTATION, ('crop_size', 'base_size', 'interpolation', 'mean', 'std', 'output_stride'))


def described(net, names=None, colours=None, decoding=None, held_out=None):
    """The :class:`Description` of a :class:`.SegmentationNet`; ``colours`` of the classes are ``(classes, 3)``."""
    own = {} if colours is None else {'palette': [[int(part) for part in colour] for colour in colours]}
    options = {**TABLE.split(changed_options(net.backbone))[1], **changed_options(net.spec)}
    classes = options.pop('classes', net.spec.classes)
    return Description(net.spec.name, classes, options, names, None, decoding, held_out, task=TASK, own=own)


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
    return Known(what, model, values, TABLE.spec_of(model, values), weights or True)


def know_described(weights, description, model=None, options=None):
    """As :func:`know`, of the weights in a file whose description is known."""
    return TABLE.know(weights, description, _check_palette, model, options)


def _count_classes(path):
    bias = read_parameters(path, read_shapes).get('head.block.4.bias')
    if bias is None or len(bias) != 1:
        raise InputError(f'{one_line(path)}: holds no segmentation network (head.block.4.bias); give other weights')
    return bias[0]


def _check_palette(spec, description):
    palette = description.own.get('palette')
    if palette is not None and not (
            isinstance(palette, list) and len(palette) == spec.classes and all(
                isinstance(colour, list) and len(colour) == 3 and
                all(type(part) is int and 0 <= part <= 255 for part in colour) for colour in palette)):
        raise InputError('palette must be three whole numbers up to 255 for each class')
