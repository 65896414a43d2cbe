"""The memory that training by a recipe takes on a GPU, by MXNet's own plan, and the batches that fit: resnest memory
--model resnest50 --batch-size 64. It takes the options of resnest train; no data and no GPU are needed."""
GPUS = (16, 32, 40)     # GB


def main(arguments=None):
    from resnest.gluon.tasks.classification import ClassificationConfig
    from resnest.gluon.training import parse, recipe

    config, only = parse(ClassificationConfig, __doc__, arguments)
    print(recipe.to_yaml(recipe.resolved(config)) if only else describe(config), end='' if only else '\n')


def describe(config):
    """The memory of the parts and of all, and the largest batches, as lines of text."""
    from resnest.errors import InputError
    from resnest.gluon.models.cost import aligned
    from resnest.gluon.tasks.classification.opening import settle_images
    from resnest.gluon.training.memory import largest_batch

    if config.dtype == 'bfloat16':
        raise InputError('--dtype bfloat16 is for CPUs, and this plan for GPUs; leave it out')
    config, spec = settle_images(config)
    found, batch = planned(config, spec), config.batch_size
    own = found[config.dtype]
    parts = [('weights, gradients, what the optimizer keeps, twin', own['weights']),
             (f'a step of {batch} images of {spec.crop_size} px', own['training'] * batch),
             ('evaluation', own['evaluation'] * batch)]
    rows = [(f'{spec.name}, {config.dtype}', 'GB'),
            *((name, f'{size / 2 ** 30:.1f}') for name, size in [*parts, ('all', sum(size for _, size in parts))])]
    fitting = [('largest batch on a GPU of', *(f'{memory} GB' for memory in GPUS)),
               *((dtype, *(str(largest_batch(each, memory * 2 ** 30) or '-') for memory in GPUS))
                 for dtype, each in found.items())]
    return '\n'.join([aligned(rows), '', aligned(fitting), '',
                      'with 2 GB left for CUDA, cuDNN and NCCL; --accumulate N makes one step of N batches'])


def planned(config, spec):
    """What :func:`resnest.gluon.training.memory.plan` says of a recipe's network."""
    import mxnet as mx

    from resnest.gluon.data import with_normalization
    from resnest.gluon.models import ResNet
    from resnest.gluon.training.memory import plan

    net = ResNet(spec, classes=config.num_classes or 1000, dropblock_prob=config.dropblock_prob,
                 drop_path=config.drop_path)
    averages = int(config.momentum > 0) if config.optimizer == 'sgd' else 2
    return plan(with_normalization(net), spec.crop_size, averages, bool(config.ema_decay),
                mx.cpu() if config.no_cuda else mx.gpu())
