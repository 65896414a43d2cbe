"""What weights of segmentation networks are of: their descriptions (models/weights/description.py), made and read."""
from resnest.errors import InputError
from resnest.gluon.models.weights.description import Description, changed_options
from resnest.gluon.models.weights.known import TaskTable

from .table import SEGMENTATION

__all__ = ['DEFAULT_MODEL', 'LAST_BIAS', 'TABLE', 'described', 'know', 'know_described']

TASK = 'segmentation'
LAST_BIAS = 'head.block.4.bias'
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
    """As :meth:`.TaskTable.know_asked`."""
    return TABLE.know_asked(DEFAULT_MODEL, LAST_BIAS, _check_palette, model, weights, options)


def know_described(weights, description, model=None, options=None):
    """As :func:`know`, of the weights in a file whose description is known."""
    return TABLE.know(weights, description, _check_palette, model, options)


def _check_palette(spec, description):
    palette = description.own.get('palette')
    if palette is not None and not (
            isinstance(palette, list) and len(palette) == spec.classes and all(
                isinstance(colour, list) and len(colour) == 3 and
                all(type(part) is int and 0 <= part <= 255 for part in colour) for colour in palette)):
        raise InputError('palette must be three whole numbers up to 255 for each class')
