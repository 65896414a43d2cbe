"""Fine-tuning: stages that stay as they are loaded, and a smaller learning rate below the head."""
from mxnet.gluon import nn

from resnest.errors import InputError
from resnest.gluon.mxnet_private import freeze_statistics, structural_parameters

__all__ = ['freeze', 'scale_backbone']

# stage → the backbone's children of it, where they are not one of its own name
CHILDREN = {'stem': ('conv1', 'bn1')}


def freeze(backbone, stages):
    """Keep stages of a ResNet as they are: no gradients, hence no updates and no weight decay, and normalization by
    the running statistics, which stay too. DropBlock, where the recipe has it, stays on.

    ``stages`` are names of :data:`..config.STAGES`. Call it before the network is hybridized and the trainer is made.
    """
    for child in (child for stage in stages for child in CHILDREN.get(stage, (stage,))):
        block = getattr(backbone, child, None)
        if block is None:
            raise InputError(f'--freeze {" ".join(stages)}: this network has no {child}; leave the option out')
        block.collect_params().setattr('grad_req', 'null')
        block.apply(lambda each: freeze_statistics(each) if isinstance(each, nn.BatchNorm) else None)


def scale_backbone(network, factor, head):
    """Multiply the learning rate of all parameters by ``factor``, but for those whose names begin with one of the
    prefixes ``head``."""
    for name, param in structural_parameters(network).items():
        if not name.startswith(head):
            param.lr_mult = factor
