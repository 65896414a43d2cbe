"""The optimizer of a run: Nesterov's gradient, with decay and rates parameter by parameter."""
import mxnet as mx

from .finetuning import freeze, scale_backbone

__all__ = ['make_trainer']


def make_trainer(task, config, job):
    """The Trainer of a task's network on all ranks: Nesterov's gradient at the rate of the whole batch.

    Weights of convolutions and dense layers decay, nothing else does (section 5.1 of the paper); stages are frozen and
    the backbone's rate is scaled as the recipe ``config`` says.
    """
    freeze(task.backbone, config.freeze or ())
    if config.backbone_lr_factor != 1:
        scale_backbone(task.network, config.backbone_lr_factor, task.head)
    params = task.network.collect_params()
    for param in params.values():
        param.wd_mult = task.decay(param)
    optimizer = mx.optimizer.NAG(momentum=config.momentum, wd=config.wd, learning_rate=config.rank_lr * job.size,
                                 multi_precision=config.dtype == 'float16')
    return job.trainer(params, optimizer, config.fp16_compression)
