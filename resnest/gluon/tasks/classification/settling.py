"""What a command works with: what is asked for, else what weights or an exported file tell, else the model's row."""
from dataclasses import dataclass, replace
from typing import Optional

from resnest.errors import InputError
from resnest.gluon.checking import check_count, check_share
from resnest.gluon.data import Evaluation, interpolation_for, preprocessing
from resnest.gluon.models import SMALLEST_IMAGE, VARIANTS, VariantSpec, find_variant, get_model
from resnest.gluon.models.weights.choosing import DEFAULT_MODEL, Choice, choose
from resnest.gluon.models.weights.description import Description
from resnest.gluon.models.weights.store import require_published
from resnest.reading import one_line, parse_yaml

__all__ = ['Settled', 'check_crop', 'settle']

PIXELS = {'upright': 'upright, as EXIF says', 'stored': 'as they are stored'}
LARGEST_IMAGE = 1 << 14     # px, of a crop
LARGEST_TOLD = 4096     # px of an image, in a file's metadata


def check_crop(size, ratio):
    """Raise InputError for a size and a ratio of the evaluation crop that no network takes; None is the weights'."""
    if size is not None:
        check_count('the crop size', size, SMALLEST_IMAGE, LARGEST_IMAGE)
    if ratio is not None:
        check_share('the crop ratio', ratio)


@dataclass(frozen=True)
class Settled:
    """Weights that are known: ``what`` they are called in messages, their ``spec``, number of ``classes`` and
    ``description``, and the ``choice`` of which their network is made; the last two are None where there are none."""
    what: str
    spec: VariantSpec
    classes: int
    description: Optional[Description] = None
    choice: Optional[Choice] = None

    def network(self, ctx):
        """The network, with its weights."""
        return get_model(self.choice.model, self.choice.pretrained, ctx=ctx,
                         **{**self.choice.values, 'classes': self.classes})

    def crop(self, size=None, ratio=None):
        """The :class:`.Evaluation` that the weights want, but for what is given; InputError as :func:`check_crop`."""
        check_crop(size, ratio)
        return Evaluation(*preprocessing(self.spec, size, ratio))

    def surprises(self, crop, records):
        """A line for each way in which the images come otherwise than those that the weights were made with."""
        if self.description is None:
            return
        if crop.size != self.spec.crop_size:
            yield f'note: images of {crop.size} px; {self.what} were made with {self.spec.crop_size} px'
        theirs, ours = self.description.decoding, getattr(records, 'decoding', None)
        if theirs and ours and theirs != ours:
            yield (f'note: these pictures are taken {PIXELS[ours]}, those that {self.what} were trained on '
                   f'{PIXELS[theirs]}')


def settle(model=None, weights=None, options=None, num_classes=None, exported=None):
    """The :class:`Settled` of what is given.

    Parameters
    ----------
    model : str
        What the weights tell, else resnest50, unless given.
    weights : path
        A ``.params`` file; the published weights unless given.
    options : dict
        Fields in which the network differs from the model's row.
    num_classes : int
        What bare weights have been made for, who else tell it themselves.
    exported : OnnxNet
        An exported file instead of weights. What its metadata lack, or what is no number or no model there, it does not
        tell.

    Raises InputError for an unknown model, for weights that are not there, and for what contradicts them.
    """
    if exported:
        found = _settle_exported(exported, model)
    else:
        choice = choose(model, weights or True, options, DEFAULT_MODEL)
        if not weights:
            require_published(choice.spec)
        told = choice.description or not weights or num_classes is None
        found = Settled(f'the weights in {one_line(weights)}' if weights else 'the published weights', choice.spec,
                        choice.classes if told else num_classes, choice.description, choice)
    if num_classes not in (None, found.classes):
        raise InputError(f'{found.what} know {found.classes} classes, not {num_classes}; leave out --num-classes, or '
                         'give other weights')
    return found


def _settle_exported(exported, model):
    what = f'the weights in {one_line(exported.path)}'
    if exported.maps:
        raise InputError(f'{what} give a class for each pixel, not for each image')
    description = exported.description
    if description is None:
        return Settled(what, _told_spec(exported.metadata, model), exported.classes)
    if model is not None and find_variant(model).name != description.model:
        raise InputError(f'{what} are of {description.model}, not of {model}; leave out --model')
    if description.classes != exported.classes:
        raise InputError(f'{what} give {exported.classes} logits, and are said to know {description.classes} classes; '
                         'export them again')
    return Settled(what, description.spec, exported.classes, description)


def _told_spec(metadata, model):
    """The row that the metadata of a file of an earlier version tell."""
    if model is None:
        model = metadata.get('model') if metadata.get('model') in VARIANTS else DEFAULT_MODEL
    spec = find_variant(model)
    size = _number(metadata.get('image_size'), int, LARGEST_TOLD) or spec.crop_size
    values = {'crop_size': size, 'crop_ratio': _number(metadata.get('crop_ratio'), float, 1) or spec.crop_ratio}
    if size != spec.crop_size:
        values['interpolation'] = interpolation_for(size)
    for name in ('mean', 'std'):
        values[name] = _three_numbers(metadata.get(name)) or getattr(spec, name)
    try:
        return replace(spec, **values)
    except InputError as error:
        raise InputError(f'the metadata of the exported file: {error}; export it again') from None


def _number(text, kind, most):
    """None where the text, or None, is no number above 0 and up to ``most``."""
    try:
        return kind(text) if 0 < kind(text) <= most else None
    except (TypeError, ValueError):
        return None


def _three_numbers(text):
    """None where the text, or None, is none such as ``'(0.5, 0.5, 0.5)'``."""
    try:
        found = parse_yaml((text or '').replace('(', '[').replace(')', ']')[:1000], 'metadata')
    except InputError:
        return None
    numbers = isinstance(found, list) and len(found) == 3 and all(type(each) in (int, float) for each in found)
    return tuple(map(float, found)) if numbers else None
