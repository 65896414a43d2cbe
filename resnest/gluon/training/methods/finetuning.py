"""Fine-tuning: weights to start from, stages that stay as they are, a smaller learning rate below the classifier."""
from mxnet.gluon import nn

from resnest.gluon.mxnet_private import freeze_statistics, structural_parameters

from ..run import checkpoint

__all__ = ['CLASSIFIER', 'STAGES', 'freeze', 'load_first', 'scale_backbone']

# stage → the network's children of it
STAGES = {'stem': ('conv1', 'bn1'), **{f'layer{number}': (f'layer{number}',) for number in range(1, 5)}}
CLASSIFIER = 'fc.'


def load_first(config, workers, load):
    """Have the first worker ``load(path)`` what ``config`` starts from; the trainer gives the others its parameters.

    ``load`` takes the path of a ``.params`` file, or True for the published weights, and returns whether the
    classifier is new. Nothing is loaded where the run goes on from a checkpoint. A meeting of all workers; raises
    the InputError of ``load`` on all of them.
    """
    source = config.resume_params or config.pretrained

    def first():
        if config.resume and (config.resume != 'auto' or checkpoint.found(config.save_dir)):
            print('the checkpoint is what the run goes on from: --pretrained and --resume-params are not read')
            return
        new = load(source)
        print(f"starting from {'the published weights' if source is True else source}" +
              (f'; its classifier is for other classes, the one for {config.num_classes} is new' if new else ''),
              flush=True)

    if source:
        workers.from_first(first, 'first weights')


def freeze(network, stages):
    """Keep stages of a ResNet as they are: no gradients, hence no updates and no weight decay, and normalization by
    the running statistics, which stay too. DropBlock, where the recipe has it, stays on.

    ``stages`` are names of :data:`STAGES`. Call it before the network is hybridized and the trainer is made.
    """
    for child in (child for stage in stages for child in STAGES[stage]):
        block = getattr(network, child)
        block.collect_params().setattr('grad_req', 'null')
        block.apply(_use_running_statistics)


def _use_running_statistics(block):
    if isinstance(block, nn.BatchNorm):
        freeze_statistics(block)


def scale_backbone(network, factor):
    """Multiply the learning rate of all parameters but the classifier's (``fc``) by ``factor``."""
    for name, param in structural_parameters(network).items():
        if not name.startswith(CLASSIFIER):
            param.lr_mult = factor
