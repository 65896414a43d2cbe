"""What the arrays of a detector tell of their network, under our names, Detectron2's or gluoncv's."""
import re

from resnest.errors import InputError
from resnest.gluon.models import VARIANTS
from resnest.reading import one_line

from ..table import BASELINES

__all__ = ['base_hint', 'count_outputs', 'fields_told']

# The biases that tell for how many classes and kinds of pixels a file is: ours, Detectron2's, gluoncv's.
OF_CLASSES = ('box_heads.0.logits.bias', 'roi_heads.box_predictor.cls_score.bias',
              'roi_heads.box_predictor.0.cls_score.bias', 'class_predictor.bias')
OF_KINDS = ('semantic_head.logits.bias', 'sem_seg_head.predictor.bias')
OF_BOXES = ('box_heads.0.deltas.bias', 'roi_heads.box_predictor.bbox_pred.bias')
# The first convolution of a block, with the stage from 1 (ours) or 2 and the block; gluoncv counts the convolutions.
BLOCK = re.compile(r'backbone\.(?:layer|bottom_up\.res)(\d)\.(\d+)\.conv1\.weight')
COUNTED = re.compile(r'features\.(?:[a-z]+\d*_)?layers(\d)_conv(\d+)_weight')
IN_BLOCK = 5        # convolutions of one of gluoncv's
OFFSET = re.compile(r'backbone\.(?:layer|bottom_up\.res)(\d)\.0\.conv2_offset\.weight')
MASK = re.compile(r'(?:mask_head\.body\.\d+|roi_heads\.mask_head\.mask_fcn\d+)(?:\.conv)?\.weight')
# Of a ResNeSt: what a baseline has not, or gluoncv's file.
RESNEST = re.compile(r'.*\.conv2\.fc1\.weight|class_predictor\.bias')


def count_outputs(arrays, source):
    """``{'classes': …, 'kinds': …}`` of a detector's arrays, under any of the names; raises InputError for arrays of
    something else."""
    bias, kinds = (next((arrays[name] for name in names if name in arrays), None) for names in (OF_CLASSES, OF_KINDS))
    if bias is None or bias.ndim != 1 or len(bias) < 2 or kinds is not None and kinds.ndim != 1:
        raise InputError(f'{one_line(source)}: holds no detector; its first names are '
                         f'{", ".join(one_line(name, 100) for name in list(arrays)[:4])}')
    return {'classes': len(bias) - 1, 'kinds': 0 if kinds is None else len(kinds)}


def fields_told(arrays, row, source):
    """The fields of a row that the arrays of a detector settle: ``classes``, and of ``kinds``, ``base``,
    ``deformable_stages``, ``agnostic`` and ``mask_convolutions`` those in which they differ from it.

    A part that the row has not, and offsets that the file has not, are not told: the file is of another row then, or
    of plain weights to begin with. Raises InputError as :func:`count_outputs`.
    """
    outputs = count_outputs(arrays, source)
    boxes = next((arrays[name].size for name in OF_BOXES if name in arrays), None)
    told = {'base': _base(arrays, row), 'deformable_stages': tuple(_stages(OFFSET, arrays)) or row.deformable_stages}
    if outputs['kinds'] and row.kinds:
        told['kinds'] = outputs['kinds']
    if len(row.ious) == 1 and outputs['classes'] > 1 and boxes in (4, 4 * outputs['classes']):
        told['agnostic'] = boxes == 4
    if row.mask_convolutions:
        told['mask_convolutions'] = sum(bool(MASK.fullmatch(name)) for name in arrays) or row.mask_convolutions
    return {'classes': outputs['classes'],
            **{name: value for name, value in told.items() if value != getattr(row, name)}}


def base_hint(arrays, spec):
    """What to say of arrays that do not fit because their backbone is of another depth than the row's, else ''."""
    blocks = _blocks(arrays)
    if not blocks or blocks == spec.blocks:
        return ''
    base = _base(arrays, spec)
    advice = f'give base={base}' if base != spec.base else 'give another base'
    return f'its stages have {_listed(blocks)} blocks, those of {spec.base} {_listed(spec.blocks)}: {advice}; '


def _base(arrays, row):
    """The backbone of the row's kind with as many blocks; the row's own where there is none, or it has."""
    blocks = _blocks(arrays)
    if blocks == row.blocks or (row.base in BASELINES) == any(RESNEST.fullmatch(name) for name in arrays):
        return row.base
    known = BASELINES if row.base in BASELINES else {
        name: spec.blocks for name, spec in VARIANTS.items() if re.fullmatch(r'resnest\d+', name)}
    return next((name for name, own in known.items() if own == blocks), row.base)


def _blocks(arrays):
    """The numbers of blocks of the four stages; None where they do not tell."""
    found = [stages for pattern in (BLOCK, COUNTED) if (stages := _stages(pattern, arrays))]
    if not found or len(found[0]) != 4:
        return None
    many = 1 if any(BLOCK.fullmatch(name) for name in arrays) else IN_BLOCK
    return tuple(len(numbers) // many for numbers in found[0].values())


def _stages(pattern, arrays):
    """``{stage, from 1: [what else the pattern finds]}`` of the names that it fits, by rising stage."""
    found = {}
    for name in arrays:
        if match := pattern.fullmatch(name):
            stage = int(match[1]) - ('bottom_up.' in name)
            found.setdefault(stage, []).append(match.groups()[1:])
    return dict(sorted(found.items()))


def _listed(numbers):
    return ', '.join(map(str, numbers))
