"""What a run of training starts from: which network, which weights, and whether its crops have room in memory."""
import dataclasses

from resnest.errors import InputError
from resnest.gluon.device import require_memory
from resnest.gluon.models import ResNet, load_pretrained
from resnest.gluon.models.cost import least_training_memory
from resnest.gluon.models.weights.choosing import first_description
from resnest.gluon.models.weights.description import CLASSIFICATION
from resnest.gluon.models.weights.parameters import read_parameters
from resnest.gluon.models.weights.params_file import read_shapes
from resnest.gluon.mxnet_private import structural_parameters
from resnest.gluon.training import begun_before
from resnest.gluon.training.fields import option_of

from .describing import DEFAULT_MODEL, LAST_BIAS, TABLE, know_described
from .network import AUXILIARY

__all__ = ['check_sizes', 'load_start', 'settle_network']

SIZES = ('crop_size', 'base_size')
FLOATS = 4              # bytes
LOGITS = 2              # arrays of the size of a head's logits at the least: they and their gradients


def settle_network(config, job):
    """``(config, options)``: the recipe with the model and the sizes that it gets in the end, and by which options
    :func:`.get_model` makes its network."""
    config, before = begun_before(config, job, ('model', *SIZES))
    path, values = config.resume_params, dict(config.model_options or {})
    for name in SIZES:
        if getattr(config, name) is not None:
            values[name] = getattr(config, name)
    description, model = None if before else first_description(path, job), config.model
    if description and description.task == CLASSIFICATION:
        values = {**TABLE.backbone_of(description), **values}
    elif description:
        known = know_described(path, description, model, values)
        model, values = known.model, known.options
    model = model or DEFAULT_MODEL
    spec = TABLE.spec_of(model, values)
    options = {name: value for name, value in values.items() if name not in (*SIZES, 'classes')}
    return dataclasses.replace(config, model=model, model_options=options or None, crop_size=spec.crop_size,
                               base_size=spec.base_size), values


def load_start(network, config, source, device):
    """Load what the run starts from, a path or True, into ``network``; returns what is to be told besides, or None."""
    stored = () if source is True else read_parameters(source, read_shapes)
    if config.pretrained_backbone or source is not True and LAST_BIAS not in stored:
        trunk = ResNet(network.backbone, dilation=network.dilation)
        load_pretrained(trunk, network.backbone, source, ctx=device, other_classes=True)
        values = structural_parameters(trunk)
        for name, param in structural_parameters(network).items():
            if name in values:
                param.set_data(values[name].data())
        return 'they are those of the backbone, the heads are new'
    told, has_auxiliary = [], source is True or any(name.startswith(f'{AUXILIARY}.') for name in stored)
    lacking = network.auxlayer is not None and not has_auxiliary
    if load_pretrained(network.prediction if lacking else network, network.spec, source, ctx=device,
                       other_classes=True):
        told.append(f'their last layers are for other classes, those for {config.num_classes} are new')
    if lacking:
        told.append('they have no auxiliary head, this one is new')
    elif has_auxiliary and network.auxlayer is None:
        told.append('their auxiliary head is left out')
    return '; '.join(told)


def check_sizes(config, network, device):
    """Raise InputError for pictures that are too small for the network, for class weights that are not one for each
    class, and where not even the logits of a batch and the maps that gradients need have room in memory."""
    for name in SIZES:
        if getattr(config, name) < network.smallest:
            raise InputError(f'{option_of(name)} must be at least {network.smallest} for this network, got '
                             f'{getattr(config, name)}')
    if config.class_weights and len(config.class_weights) != config.num_classes:
        raise InputError(f'--class-weights: there are {len(config.class_weights)} class weights, but '
                         f'{config.num_classes} classes')
    heads = 1 + (config.aux_weight > 0)
    least = config.batch_size * config.num_classes * config.crop_size ** 2 * FLOATS * LOGITS * heads
    if not config.freeze:       # of frozen layers the gradients need less
        maps = least_training_memory(network, (config.batch_size, network.in_channels, *[config.crop_size] * 2))
        least += maps // 2 if config.dtype != 'float32' else maps
    require_memory(least, device, f'--crop-size {config.crop_size}: a step with {config.batch_size} crops and '
                   f'{config.num_classes} classes', 'use a smaller --crop-size or --batch-size')
