"""The optimizer of a run, with decay and rates parameter by parameter."""
import mxnet as mx

from resnest.gluon.mxnet_private import rate_and_decay

from .finetuning import freeze, scale_backbone

__all__ = ['AdamW', 'make_optimizer', 'make_trainer']


class AdamW(mx.optimizer.Adam):
    """Adam whose weight decay does not go through the gradient and its averages (Loshchilov and Hutter, 2019,
    https://arxiv.org/abs/1711.05101, algorithm 2): ``weight *= 1 - rate * decay``, then Adam's step without decay.
    """

    def update(self, index, weight, grad, state):
        rate, decay = rate_and_decay(self, index)
        weight *= 1 - rate * decay
        own, self.wd = self.wd, 0.0     # mxnet's Adam would add it to the gradient
        try:
            super().update(index, weight, grad, state)
        finally:
            self.wd = own


def make_optimizer(config, rate):
    """mxnet's optimizer of a recipe for a learning rate."""
    settings = {'learning_rate': rate, 'wd': config.decay, 'multi_precision': config.dtype == 'float16'}
    if config.optimizer == 'sgd':
        return mx.optimizer.NAG(momentum=config.momentum, **settings)
    return {'adam': mx.optimizer.Adam, 'adamw': AdamW}[config.optimizer](**settings)


def make_trainer(task, config, job):
    """The Trainer of a task's network on all ranks: the task's optimizer at the rate of the whole batch.

    What decays is the task's choice; stages are frozen and the backbone's rate is scaled as the recipe ``config`` says.
    """
    freeze(task.backbone, config.freeze or ())
    if config.backbone_lr_factor != 1:
        scale_backbone(task.network, config.backbone_lr_factor, task.head)
    params = task.network.collect_params()
    for param in params.values():
        param.wd_mult = task.decay(param)
    return job.trainer(params, task.optimizer(config, config.rank_lr * job.size), config.fp16_compression)
