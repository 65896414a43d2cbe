"""Training of a pose network: what the trainer of any task is given, and ``train``, which gives it."""
from types import SimpleNamespace

import mxnet as mx
from mxnet.gluon import nn

from resnest.errors import InputError, SharedError
from resnest.gluon.data import training_batches, with_normalization
from resnest.gluon.device import choose_device
from resnest.gluon.models.weights.description import to_mapping
from resnest.gluon.nn import SyncBatchNorm
from resnest.gluon.training import Figure, Figures, Task, in_job, recipe, train_task
from resnest.reading import one_line
from resnest.runtime import import_extra

from .data import CropLoader, Training, open_people
from .describing import described
from .estimation import look_at, measure
from .making import get_model
from .network import TRUNK
from .starting import load_start, settle_network

__all__ = ['Pose', 'train']


class Pose(Task):
    """Pose by the squared error of heat maps, evaluated by OKS, as the recipe ``config`` has it.

    ``network`` and ``twin`` are two of :class:`.PoseNet`, ``train`` and ``val`` two of :class:`.data.PeopleSet`.
    """

    figures = Figures((Figure('ap50', 'AP50/validation', 'AP50', 'average precision', 'OKS 0.50', '%', best='highest'),
                       Figure('ap', 'AP/validation', 'AP', 'average precision', 'OKS 0.50 to 0.95', '%',
                              best='highest')),
                      best='ap', loss='squared error')
    head = ('deconv_layers.', 'final_layer.')

    def __init__(self, network, twin, config, device, job, train, val):
        super().__init__(network, twin)
        self.config, self.device = config, device
        self._job, self._train, self._val = job, train, val
        self._transform = Training(network.spec, train.joints.pairs, config.scale, config.rotation, config.hflip)

    @property
    def backbone(self):
        return SimpleNamespace(**dict(zip(TRUNK, self.network.resnet)))

    def check(self, config):
        return recipe.check_batch(config)

    def assemble(self, network):
        return with_normalization(network, self.config.weights_dtype)

    def batches(self, epoch, start=0):
        config, job = self.config, self._job
        indices = training_batches(len(self._train), config.batch_size, job.rank, job.size, config.seed, epoch, start)
        return CropLoader(self._train, self._transform, indices, config.workers, config.seed, epoch, config.skip_bad)

    def prepare(self, indices, batch, epoch, device):
        crops, maps, weights, _ = batch
        return ((mx.nd.array(crops, ctx=device, dtype='uint8'),),
                (mx.nd.array(maps, ctx=device), mx.nd.array(weights, ctx=device)))

    def loss(self, outputs, targets):
        """Half the mean of the squared error, where a joint without a weight has none."""
        maps, weights = targets
        wrong = mx.nd.broadcast_mul(outputs - maps, weights.reshape((0, 0, 1, 1)))
        return wrong.square().mean(axis=(1, 2, 3)) / 2

    def evaluate(self, net):
        return look_at(net, self._val, self.twin.spec, self.device, self._job, self.config.batch_size,
                       workers=self.config.workers, skip_bad=self.config.skip_bad)

    def validation_figures(self, counts):
        if not counts['seen']:
            raise SharedError('no validation picture can be read; nothing tells which weights are the best ones')
        found = measure(self._val, counts)
        return {name: found[name] for name in ('ap50', 'ap')}

    def describe(self):
        return to_mapping(described(self.network, self._train.joints, self._train.decoding))


def train(config, print_config=False):
    """Train by the recipe ``config``, a :class:`.config.PoseConfig`, and write all into its ``save_dir``.

    In a process that ``horovodrun`` has started this is one rank of the job. With ``print_config`` the whole recipe is
    printed as YAML, and nothing is trained. Returns the exit code of the command: 0, or that of
    :class:`resnest.gluon.training.run.interrupt.StopRequest` where a request ended the run early. Raises InputError
    for a recipe that cannot be followed, for data that are missing or damaged, and for a loss that is not finite.
    """
    return in_job(config, lambda job: _train(config, job, print_config))


def _open(config):
    """The people to train on and those to validate by."""
    if not config.data_dir and not config.annotations:
        raise SharedError('the data are missing: give --data-dir a data set, or --annotations, --images and '
                          '--val-annotations')
    import_extra('pycocotools')     # the evaluation's: before hours of training, not after them
    train_set = open_people('train', config.data_dir, config.annotations, config.images)
    val_set = open_people('val', config.data_dir, config.val_annotations, config.val_images or config.images)
    if train_set.joints.names != val_set.joints.names:
        raise InputError(f'{val_set.annotations.path}: its keypoints are not those of {train_set.annotations.path}')
    return train_set, val_set


def _train(config, job, print_config):
    asked = (config.model_options or {}).get('joints')
    config, options = settle_network(config, job)
    if print_config and not config.data_dir and not config.annotations:
        return recipe.show(config, job)
    train_set, val_set = _open(config)
    if asked not in (None, len(train_set.joints.names)):
        raise InputError(f'--model-options joints={one_line(asked)}: {train_set.annotations.path} has '
                         f'{len(train_set.joints.names)} joints, which is what the network gets; leave it out')
    options = {**options, 'joints': len(train_set.joints.names)}
    network, twin = (get_model(config.model, **options, **each) for each in (
        {'last_gamma': config.last_gamma, 'norm_layer': SyncBatchNorm if config.sync_bn else nn.BatchNorm}, {}))
    device = choose_device(config.no_cuda, job, config.cuda)
    task = Pose(network, twin, config, device, job, train_set, val_set)
    steps = len(task.batches(0)) // config.accumulate       # too few people: say so before anything is made
    if print_config:
        return recipe.show(config, job, steps)
    counts = {'people to validate by': len(val_set), 'joints': options['joints'], 'people to train on': len(train_set)}
    return train_task(task, config, job, device, counts,
                      lambda source: load_start(network, config, source, device), 'pose')
