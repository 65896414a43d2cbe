"""What a run of training starts from: which network, and which weights."""
import dataclasses

from resnest.gluon.models import ResNet, load_pretrained
from resnest.gluon.models.weights.choosing import first_description
from resnest.gluon.models.weights.description import CLASSIFICATION
from resnest.gluon.models.weights.parameters import read_parameters
from resnest.gluon.models.weights.params_file import read_shapes
from resnest.gluon.training import begun_before

from .describing import DEFAULT_MODEL, LAST_BIAS, TABLE, know_described
from .making import adopt

__all__ = ['load_start', 'settle_network']


def settle_network(config, job):
    """``(config, options)``: the recipe with the model that it gets in the end, and by which options
    :func:`.making.get_model` makes its network."""
    config, before = begun_before(config, job)
    path, values = config.resume_params, dict(config.model_options or {})
    description, model = None if before else first_description(path, job), config.model
    if description and description.task == CLASSIFICATION:
        values = {**TABLE.backbone_of(description), **values}
    elif description:
        known = know_described(path, description, model, values)
        model, values = known.model, dict(known.options)
    model = model or DEFAULT_MODEL
    TABLE.spec_of(model, values)
    values.pop('joints', None)      # the data tell
    return dataclasses.replace(config, model=model, model_options=values or None), values


def load_start(network, config, source, device):
    """Load what the run starts from, a path or True, into ``network``; returns what is to be told besides, or None."""
    stored = () if source is True else read_parameters(source, read_shapes)
    if config.pretrained_backbone or source is not True and LAST_BIAS not in stored:
        trunk = ResNet(network.backbone, classes=0)
        load_pretrained(trunk, network.backbone, source, ctx=device, other_classes=True)
        adopt(network, trunk)
        return 'they are those of the backbone, the rest is new'
    if load_pretrained(network, network.spec, source, ctx=device, other_classes=True):
        return f'their last layer is for other joints, that for {network.spec.joints} is new'
    return None
