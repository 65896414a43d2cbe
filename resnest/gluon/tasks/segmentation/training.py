"""Training of a segmentation network: what the trainer of any task is given, and ``train``, which gives it."""
import dataclasses
import sys

import mxnet as mx
import numpy as np
from mxnet.gluon import nn

from resnest.errors import InputError, SharedError
from resnest.gluon.data import evaluation_batches, training_batches, with_normalization
from resnest.gluon.data.loader import LEAVE_OUT
from resnest.gluon.device import choose_device
from resnest.gluon.models.weights.description import to_mapping
from resnest.gluon.nn import SyncBatchNorm, set_drop_probability
from resnest.gluon.training import Figure, Figures, Task, in_job, recipe, train_task
from resnest.gluon.training.methods.schedule import dropblock_probability

from .data import MapLoader, RandomCrop, Whole, default_fraction, open_maps
from .describing import described
from .losses import SegmentationLoss
from .making import get_model
from .scores.evaluation import evaluate
from .scores.metrics import figures
from .scores.scoring import SingleScale
from .starting import check_sizes, load_start, settle_network

__all__ = ['Segmentation', 'train']

CHART = 'pixel accuracy'


class Segmentation(Task):
    """Segmentation by cross entropy on random crops, evaluated on whole pictures, as the recipe ``config`` has it.

    ``network`` and ``twin`` are two of :class:`.SegmentationNet`, ``train`` and ``val`` two of :class:`.data.MapSet`.
    """

    figures = Figures((Figure('train_accuracy', 'pixel_accuracy/train', 'train', CHART, 'training crops', '%'),
                       Figure('pixel_accuracy', 'pixel_accuracy/validation', 'val', CHART, 'validation', '%',
                              best='highest'),
                       Figure('miou', 'miou/validation', 'mIoU', 'mean IoU', 'validation', '%', best='highest')),
                      best='miou', loss='cross entropy')
    sums = ('right', 'counted')
    head = ('head.', 'auxlayer.')

    def __init__(self, network, twin, config, device, job, train, val):
        super().__init__(network, twin)
        self.config, self.device = config, device
        self._job, self._train, self._val = job, train, val
        self._classes = network.spec.classes
        self.loss_of = SegmentationLoss(config.aux_weight, class_weights=config.class_weights,
                                        hard_threshold=config.hard_threshold, hard_share=config.hard_share)
        self._crop = RandomCrop(config.crop_size, config.base_size, config.scale, config.hflip, config.blur,
                                config.color_jitter, network.spec.interpolation)
        for block in filter(None, (network.head, network.auxlayer)):
            block.collect_params().setattr('lr_mult', config.head_lr_factor)

    def check(self, config):
        return recipe.check_batch(config)

    def assemble(self, network):
        """Trained is what gives logits at the size of the crops, evaluated what gives them at that of any picture."""
        return with_normalization(network if network is self.network else network.prediction, self.config.weights_dtype)

    def batches(self, epoch, start=0):
        config, job = self.config, self._job
        indices = training_batches(len(self._train), config.batch_size, job.rank, job.size, config.seed, epoch, start)
        return MapLoader(self._train, self._crop, indices, config.workers, config.seed, epoch, config.skip_bad)

    def begin(self, net, epoch):
        set_drop_probability(net, dropblock_probability(epoch, self.config.num_epochs, self.config.dropblock_prob))

    def prepare(self, indices, batch, epoch, device):
        images, labels = batch
        return ((mx.nd.array(images, ctx=device, dtype='uint8'),),
                (mx.nd.array(labels, ctx=device, dtype='float32'),))

    def watched(self, outputs):
        return outputs      # the loss passes over a NaN where no pixel counts

    def loss(self, outputs, targets):
        return self.loss_of(outputs[0], targets[0], *outputs[1:])

    def count(self, outputs, targets, losses):
        labels, = targets
        return {'right': (outputs[0].argmax(axis=1) == labels).sum(), 'counted': (labels >= 0).sum()}

    def training_figures(self, sums, seen):
        return {'train_accuracy': 100 * sums['right'] / max(1, sums['counted'])}

    def validation(self):
        """This rank's loader of the whole validation pictures, one at a time."""
        indices = evaluation_batches(len(self._val), 1, self._job.rank, self._job.size)
        return MapLoader(self._val, Whole(), indices, self.config.workers,
                         skip_bad=self.config.skip_bad and LEAVE_OUT)

    def evaluate(self, net):
        loader = self.validation()
        found = evaluate(SingleScale(net, self.twin.spec, self.device), loader, self._classes)
        return {**found, 'skipped': len(loader.skipped)}

    def validation_figures(self, counts):
        if not counts['seen']:
            raise SharedError('no validation picture can be read; nothing tells which weights are the best ones')
        found = figures(counts['confusion'])
        if np.isnan(found['miou']):
            raise SharedError('the validation maps have no pixel that counts: all of them are ignored; mend the maps')
        return {name: 100 * found[name] for name in ('pixel_accuracy', 'miou')}

    def describe(self):
        legend = self._train.legend
        fraction = self.config.val_fraction
        held_out = fraction and {'val_fraction': fraction, 'seed': self.config.seed, 'sample': self._train.sample()}
        return to_mapping(described(self.network, legend.names, legend.colours, self._train.decoding, held_out))


def train(config, print_config=False):
    """Train by the recipe ``config``, a :class:`.config.SegmentationConfig`, and write all into its ``save_dir``.

    In a process that ``horovodrun`` has started this is one rank of the job. With ``print_config`` the whole recipe is
    printed as YAML, and nothing is trained. Returns the exit code of the command: 0, or that of
    :class:`resnest.gluon.training.run.interrupt.StopRequest` where a request ended the run early. Raises InputError
    for a recipe that cannot be followed, for data that are missing or damaged, and for a loss that is not finite.
    """
    return in_job(config, lambda job: _train(config, job, print_config))


def _open(config, job):
    """The recipe, with what it says of the data settled, and the two sets of maps."""
    if not config.data_dir and not config.images:
        raise SharedError('the data are missing: give --data-dir a data set, or --images and --maps two folders')
    where = config.data_dir, config.images, config.maps
    fraction = config.val_fraction or default_fraction(*where)
    train_set, val_set = open_maps(*where, config.classes, fraction, config.seed)
    notes = [train_set.note, None if val_set.note == train_set.note else val_set.note]
    if fraction != config.val_fraction:
        notes.append(f'{config.data_dir or config.images}: its images are not split, so {len(val_set)} of '
                     f'{len(train_set) + len(val_set)} are held out for validation (--val-fraction {fraction})')
    for note in filter(None, notes if job.rank == 0 else ()):
        print(note, file=sys.stderr)
    classes = len(train_set.legend)
    if config.num_classes not in (None, classes):
        raise InputError(f'--num-classes {config.num_classes}, but the data have {classes} classes; leave it out')
    return dataclasses.replace(config, val_fraction=fraction, num_classes=classes), train_set, val_set


def _train(config, job, print_config):
    config, options = settle_network(config, job)

    if print_config and not config.data_dir and not config.images:
        return recipe.show(config, job)
    config, train_set, val_set = _open(config, job)
    in_training = {'dropblock_prob': config.dropblock_prob, 'drop_path': config.drop_path,
                   'norm_layer': SyncBatchNorm if config.sync_bn else nn.BatchNorm}
    network, twin = (get_model(config.model, **{**options, 'classes': config.num_classes}, aux=config.aux_weight > 0,
                               last_gamma=config.last_gamma, **each) for each in (in_training, {}))
    device = choose_device(config.no_cuda, job, config.cuda)
    check_sizes(config, network, device)
    task = Segmentation(network, twin, config, device, job, train_set, val_set)
    steps = len(task.batches(0)) // config.accumulate       # too few images: say so before anything is made
    if print_config:
        return recipe.show(config, job, steps)
    counts = {'validation images': len(val_set), 'classes': config.num_classes, 'training images': len(train_set)}
    return train_task(task, config, job, device, counts,
                      lambda source: load_start(network, config, source, device), 'segment')
