"""Training of a classifier: what the trainer of any task is given, and ``train``, which gives it."""
import dataclasses

import mxnet as mx
from mxnet.gluon import nn

from resnest.errors import InputError, SharedError
from resnest.gluon.data import (
    Evaluation,
    Loader,
    evaluation_batches,
    local_batches,
    preprocessing,
    training_batches,
    training_transform,
    with_normalization,
)
from resnest.gluon.data.loader import LEAVE_OUT
from resnest.gluon.data.shards.manifest import manifest_held_out, read_manifest
from resnest.gluon.device import choose_device
from resnest.gluon.models import SMALLEST_IMAGE, ResNet, load_pretrained
from resnest.gluon.models.weights.choosing import first_description
from resnest.gluon.models.weights.description import Description, changed_options, is_held_out, to_mapping
from resnest.gluon.nn import SyncBatchNorm, set_drop_probability
from resnest.gluon.training import Figure, Figures, Task, earlier_recipe, in_job, recipe, train_task
from resnest.gluon.training.methods.schedule import dropblock_probability
from resnest.reading import one_line

from .config import ClassificationConfig
from .evaluation import SUMS, evaluate
from .losses import SmoothedCrossEntropy
from .matching import match
from .mixing.blending import blend
from .names import label_names, label_words
from .opening import going_on, open_records, settle_images

__all__ = ['Classification', 'train']

CHART = 'top-1 accuracy'


class Classification(Task):
    """Classification by cross entropy, with mixup, CutMix, label smoothing and so on as the recipe ``config`` has them.

    Derive from it and give the loaders ``batches`` and ``validation``, which yield images, uint8
    ``(n, size, size, 3)``, and labels ``(n,)``.
    """

    figures = Figures((Figure('val_loss', 'loss/validation', 'val loss', 'loss', 'validation', digits=4, best='lowest'),
                       Figure('train_top1', 'top1/train', 'train', CHART, 'training', '%'),
                       Figure('top1', 'top1/validation', 'val', CHART, 'validation', '%', best='highest'),
                       Figure('top5', 'top5/validation', unit='%', best='highest')), best='top1', tie='val_loss',
                      loss='cross entropy')
    sums = ('right',)

    def __init__(self, network, twin, config, device):
        super().__init__(network, twin)
        self.config, self.device = config, device
        self.loss_of = SmoothedCrossEntropy(config.label_smoothing)
        self.loss_of.hybridize()

    def validation(self):
        """This rank's loader of the validation data."""
        raise NotImplementedError

    def assemble(self, network):
        return with_normalization(network, self.config.weights_dtype)

    def begin(self, net, epoch):
        set_drop_probability(net, dropblock_probability(epoch, self.config.num_epochs, self.config.dropblock_prob))

    def prepare(self, indices, batch, epoch, device):
        images, labels = batch
        config = self.config
        y = mx.nd.array(labels, ctx=device, dtype='float32')
        if not (config.mixup or config.cutmix):
            return (mx.nd.array(images, ctx=device, dtype='uint8'),), (y,)
        x, shares = blend(config, epoch, indices, images, device)
        return (x,), (y, shares)

    def check(self, config):
        return recipe.check_batch(config)

    def watched(self, outputs):
        return (outputs,)       # on a CPU a NaN among the logits leaves the other classes' log_softmax finite

    def loss(self, outputs, targets):
        return self.loss_of(outputs, *targets)

    def count(self, outputs, targets, losses):
        return {'right': (outputs.argmax(axis=1) == targets[0]).sum()}

    def training_figures(self, sums, seen):
        return {'train_top1': 100 * sums['right'] / seen}

    def evaluate(self, net):
        loader = self.validation()
        found = evaluate(net, loader, self.device)
        return {**{name: found[name] for name in SUMS}, 'skipped': len(loader.skipped)}

    def validation_figures(self, counts):
        if not counts['seen']:
            raise SharedError('no validation image can be read; nothing tells which weights are the best ones')
        return {'top1': 100 * counts['correct1'] / counts['seen'], 'top5': 100 * counts['correct5'] / counts['seen'],
                'val_loss': counts['loss'] / counts['seen']}


class _OnRecords(Classification):
    """Classification on two sets of records: shards, or the images of class folders."""

    def __init__(self, network, twin, config, device, job, train, val):
        super().__init__(network, twin, config, device)
        self._job, self._train, self._val = job, train, val
        self._crop = Evaluation(*preprocessing(network.spec))
        self._augment = training_transform(
            config.augment, config.input_size, config.interpolation, self._crop,
            (config.randaugment_count, config.randaugment_magnitude), config.random_erasing,
            hflip=config.hflip, scale=config.scale, ratio=config.ratio, jitter=config.color_jitter)
        self._local_steps = config.sharding == 'local' and min(job.gather(len(train) // config.batch_size, 'steps'))

    def batches(self, epoch, start=0):
        config, job = self.config, self._job
        if config.sharding == 'local':
            indices = local_batches(len(self._train), config.batch_size, self._local_steps, job.rank, config.seed,
                                    epoch, start)
        else:
            indices = training_batches(len(self._train), config.batch_size, job.rank, job.size, config.seed, epoch,
                                       start)
        return Loader(self._train, self._augment, indices, config.num_classes, config.workers, config.seed, epoch,
                      config.skip_bad)

    def describe(self):
        config, train, spec, manifest = self.config, self._train, self.network.spec, {}
        if not config.data_dir and train.classes:
            manifest = read_manifest(train.files[0].parent) or {}
        held_out = {'val_fraction': config.val_fraction, 'seed': config.seed, 'sample': train.sample()} \
            if config.data_dir else manifest_held_out(manifest)
        classes = config.num_classes
        return to_mapping(Description(
            spec.name, classes, changed_options(spec), label_names(train.classes, classes),
            label_words(manifest.get('words'), classes), train.decoding, held_out if is_held_out(held_out) else None))

    def validation(self):
        indices = evaluation_batches(len(self._val), self.config.batch_size, self._job.rank, self._job.size)
        return Loader(self._val, self._crop, indices, self.config.num_classes, self.config.workers,
                      skip_bad=self.config.skip_bad and LEAVE_OUT)


def train(config, print_config=False):
    """Train by the recipe ``config``, a :class:`.config.ClassificationConfig`, and write all into its ``save_dir``.

    In a process that ``horovodrun`` has started this is one rank of the job. With ``print_config`` the whole recipe is
    printed as YAML, and nothing is trained. Returns the exit code of the command: 0, or that of
    :class:`resnest.gluon.training.run.interrupt.StopRequest` where a request ended the run early. Raises InputError
    for a recipe that cannot be followed, for data that are missing or damaged, and for a loss that is not finite.
    """
    if not isinstance(config, ClassificationConfig):
        raise InputError(f'the recipe must be a ClassificationConfig, got {one_line(repr(config), 60)}')
    return in_job(config, lambda job: _train(config, job, print_config))


def _train(config, job, print_config):
    before = earlier_recipe(config, job)
    description = None if before else first_description(config.resume_params, job)
    config, spec = settle_images(going_on(config, before) if before else config, description)

    if not config.rec_train and not config.data_dir:
        if print_config:
            return recipe.show(config, job)
        raise SharedError('the data are missing: give --rec-train a folder of shards from resnest prepare or '
                          'prepare-digits, or --data-dir one of images, with a folder for each class')
    if config.input_size < SMALLEST_IMAGE:      # before a folder of many images is looked through
        raise SharedError(f'--input-size must be at least {SMALLEST_IMAGE}, got {config.input_size}')
    device = choose_device(config.no_cuda, job, config.cuda)
    local = config.sharding == 'local'
    config, train_set, val_set, classes = open_records(config, job, local)
    if config.eval_only and description and description.classes == classes:
        val_set = match(val_set, config.data_dir or config.rec_train, f'the weights {config.resume_params}', classes,
                        description)
    # The twin is only evaluated, where nothing is dropped or exchanged: masks of ones would take their time.
    in_training = {'dropblock_prob': config.dropblock_prob, 'drop_path': config.drop_path,
                   'norm_layer': SyncBatchNorm if config.sync_bn else nn.BatchNorm}
    network, twin = (ResNet(spec, classes=classes, last_gamma=config.last_gamma, **each) for each in (in_training, {}))
    config = dataclasses.replace(config, num_classes=classes)
    task = _OnRecords(network, twin, config, device, job, train_set, val_set)
    steps = len(task.batches(0)) // config.accumulate       # too few records: say so before anything is made
    if print_config:
        return recipe.show(config, job, steps)

    def load(path):
        if load_pretrained(network, spec, path, ctx=device, other_classes=True):
            if config.eval_only:
                raise InputError(f'--eval-only: the weights are for other classes than the {classes} of the data, and '
                                 'a new classifier knows none; use resnest verify, or train first')
            return f'its classifier is for other classes, the one for {classes} is new'

    counts = {'validation records': len(val_set), 'classes': classes,
              **({} if local else {'training records': len(train_set)})}
    return train_task(task, config, job, device, counts, load, 'classify')
