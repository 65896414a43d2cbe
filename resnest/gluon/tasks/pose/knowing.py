"""The network and the joints of weights that somebody names: described ones, bare ones, or the published ones."""
from dataclasses import dataclass

from resnest.errors import InputError
from resnest.gluon.data.coco.keypoints import Joints
from resnest.gluon.models.weights.description import read_description
from resnest.gluon.models.weights.parameters import read_parameters
from resnest.gluon.models.weights.params_file import read_shapes
from resnest.reading import one_line

from .describing import DEFAULT_MODEL, joints_of, require_task
from .making import get_model
from .network import PoseNet

__all__ = ['Known', 'know']


@dataclass(frozen=True)
class Known:
    """A network with its weights, its ``joints``, and ``what`` the weights are called in messages."""
    what: str
    net: PoseNet
    joints: Joints


def know(model=None, weights=None, options=None, device=None):
    """The :class:`Known` of a model's name and a file of weights, either of which may be None.

    Raises InputError for an unknown model, for weights that do not fit or are of another task, for options that
    contradict described weights, and for a description that cannot be.
    """
    values = dict(options or {})
    description = read_description(weights) if weights else None
    what = f'the weights in {one_line(weights)}' if weights else 'the published weights'
    if description:
        require_task(weights, description)
        told = {**description.options, 'joints': description.classes}
        if changed := [name for name, value in values.items() if told.get(name) != value]:
            raise InputError(f'{what} tell by themselves what network they are of; leave out {one_line(changed[0])}')
        model = model or description.model
    elif weights and 'joints' not in values:
        bias = read_parameters(weights, read_shapes).get('final_layer.bias')
        if bias is None or len(bias) != 1:
            raise InputError(f'{one_line(weights)}: holds no pose network (final_layer.bias); give other weights')
        values['joints'] = bias[0]
    net = get_model(model or DEFAULT_MODEL, weights or True, ctx=device, **values)
    return Known(what, net, joints_of(net.spec, description, what))
