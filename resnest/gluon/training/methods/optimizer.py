"""The optimizer of a run, with decay and rates parameter by parameter."""
from .finetuning import freeze, scale_backbone

__all__ = ['make_trainer']


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
