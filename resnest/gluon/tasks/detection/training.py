"""Training of a detector: what the trainer of any task is given, and ``train``, which gives it."""

import mxnet as mx
from mxnet.gluon import nn

from resnest.errors import InputError, SharedError
from resnest.gluon.data import training_batches
from resnest.gluon.device import choose_device
from resnest.gluon.models.weights.description import to_mapping
from resnest.gluon.nn import SyncBatchNorm
from resnest.gluon.streams import REGIONS, generator
from resnest.gluon.training import Figure, Figures, Task, in_job, recipe, train_task
from resnest.gluon.training.config import STAGES
from resnest.gluon.training.methods.finetuning import freeze
from resnest.gluon.training.run.chatter import without_chatter
from resnest.runtime import import_extra

from .data import CocoLoader, Training, open_coco
from .describing import described
from .evaluation import look_at, measure
from .learning.batching import Together
from .learning.forward import Learner, Sampling, loss_names
from .learning.renewing import renew_statistics
from .making import make
from .starting import load_start, settle_network

__all__ = ['Detection', 'train']

CHART = 'average precision'
# key in the rows of the log → how it is called, and where the evaluation has it
MEASURED = {'box_ap': ('box AP', ('box', 'ap')), 'mask_ap': ('mask AP', ('mask', 'ap')),
            'pq': ('PQ', ('panoptic', 'pq'))}


class Detection(Task):
    """Detection as the recipe ``config`` has it: the sum of all parts' losses, evaluated by average precision.

    ``network`` and ``twin`` are two of :class:`.Detector`, ``train`` and ``val`` two of :class:`.data.CocoSet`.
    """
    head = ('fpn.', 'rpn.', 'box_heads.', 'mask_head.', 'semantic_head.')
    same_shapes = False

    def __init__(self, network, twin, config, device, job, train, val):
        super().__init__(network, twin)
        self.config, self.device, spec = config, device, network.spec
        self._job, self._train, self._val, self._seen = job, train, val, None
        self._together = Together(network, device, config.pad_multiple)
        self._sampling = Sampling(anchors=config.anchors, regions=config.regions, proposals=config.proposals,
                                  proposals_before=config.proposals_before)
        most = spec.short_side
        self._transform = Training(config.short_sides or (most * 4 // 5, most), config.long_side or spec.long_side,
                                   config.side_choice == 'range', config.hflip, config.crop)
        self.sums = loss_names(spec)
        self.measured = ['box_ap', *(['mask_ap'] if spec.mask_convolutions else []), *(['pq'] if spec.kinds else [])]
        self.figures = Figures((*(Figure(f'loss_{name}', f'loss/{name}', None, 'loss', name.replace('_', ' '))
                                  for name in self.sums),
                                *(Figure(name, f'{name}/validation', MEASURED[name][0], CHART, MEASURED[name][0], '%',
                                         best='highest') for name in self.measured)),
                               best=self.measured[-1], loss='sum of the losses', tie='box_ap')

    @property
    def backbone(self):
        return self.network.backbone

    def check(self, config):
        if config.freeze != list(STAGES):
            recipe.check_batch(config)      # that detectors have few pictures at a time is nothing to warn of

    def decay(self, param):
        return 1.0 if param.name.endswith(('weight', 'bias')) else 0.0

    def optimizer(self, config, rate):
        if config.optimizer == 'sgd':
            return mx.optimizer.SGD(momentum=config.momentum, learning_rate=rate, wd=config.decay)
        return super().optimizer(config, rate)

    def assemble(self, network):
        """Trained is what gives losses, evaluated the detector itself."""
        return self._learner(network) if network is self.network else network

    def _learner(self, network):
        return Learner(network, self._sampling, self.config.kinds_weight)

    def batches(self, epoch, start=0):
        config, job = self.config, self._job
        indices = training_batches(len(self._train), config.batch_size, job.rank, job.size, config.seed, epoch, start,
                                   self._train.groups)
        return CocoLoader(self._train, self._transform, indices, config.workers, config.seed, epoch,
                          config.skip_bad)

    def prepare(self, indices, batch, epoch, device):
        pictures, truths = batch
        generators = [generator(REGIONS, self.config.seed, epoch, int(index)) for index in indices]
        return (*self._together(pictures), truths, generators), (len(pictures),)

    def loss(self, outputs, targets):
        return mx.nd.add_n(*outputs) * targets[0]

    def count(self, outputs, targets, losses):
        return {name: loss.detach() * targets[0] for name, loss in zip(self.sums, outputs)}

    def training_figures(self, sums, seen):
        return {f'loss_{name}': value / seen for name, value in sums.items()}

    def renew(self, net, epoch, check):
        """Compute the statistics of batch norms anew, where the recipe says from how many batches."""
        count = self.config.precise_bn
        if not count:
            return
        freeze(self.twin.backbone, self.config.freeze or ())
        learner, loader = self._learner(self.twin), self.batches(epoch)
        loader.batches = loader.batches[:count]     # so that none is decoded ahead which is not asked for
        net.hybridize(False)

        def run(each):
            check()
            with without_chatter():
                learner(*self.prepare(*each, epoch, self.device)[0])

        passes = (lambda each=each: run(each) for each in zip(loader.batches, loader))
        renew_statistics(self.twin, passes, self._job)
        net.hybridize(static_alloc=True)

    def evaluate(self, net):
        self._seen = look_at(net, self._val, self._job, workers=self.config.workers, skip_bad=self.config.skip_bad)
        return {'seen': self._seen.count, 'nonfinite': 0, 'skipped': len(self._seen.unread)}

    def validation_figures(self, counts):
        if not counts['seen']:
            raise SharedError('no validation picture can be read; nothing tells which weights are the best ones')
        found = measure(self._seen, self._job)
        figures = {name: (found[part] or {}).get(key) for name, (_, (part, key)) in MEASURED.items()
                   if name in self.measured}
        if None in figures.values():
            raise SharedError(f'{self._val.annotations.path}: the pictures to validate by have no objects; give others')
        return figures

    def describe(self):
        return to_mapping(described(self.network, self._train.categories, self._train.decoding))


def train(config, print_config=False):
    """Train by the recipe ``config``, a :class:`.config.DetectionConfig`, and write all into its ``save_dir``.

    In a process that ``horovodrun`` has started this is one rank of the job. With ``print_config`` the whole recipe is
    printed as YAML, and nothing is trained. Returns the exit code of the command: 0, or that of
    :class:`resnest.gluon.training.run.interrupt.StopRequest` where a request ended the run early. Raises InputError
    for a recipe that cannot be followed, for data that are missing or damaged, and for a loss that is not finite.
    """
    return in_job(config, lambda job: _train(config, job, print_config))


def _open(config, spec):
    """The pictures to train on and those to validate by."""
    if not config.data_dir and not config.annotations:
        raise SharedError('the data are missing: give --data-dir a data set, or --annotations, --images and '
                          '--val-annotations')
    import_extra('pycocotools')     # the evaluation's: before hours of training, not after them
    options = {'masks': spec.mask_convolutions > 0, 'kinds': spec.kinds > 0}
    train_set = open_coco('train', config.data_dir, config.annotations, config.images, training=True, **options)
    val_set = open_coco('val', config.data_dir, config.val_annotations, config.val_images or config.images, **options)
    for what, one, other in (('classes', train_set.names, val_set.names), (
            'kinds', *(each.panoptic and each.panoptic.kind_names for each in (train_set, val_set)))):
        if one != other:
            raise InputError(f'{val_set.annotations.path}: its {what} are not those of {train_set.annotations.path}')
    return train_set, val_set


def _train(config, job, print_config):
    config, spec, options = settle_network(config, job)

    if print_config and not config.data_dir and not config.annotations:
        return recipe.show(config, job)
    train_set, val_set = _open(config, spec)
    options['classes'] = len(train_set.names)
    if train_set.panoptic:
        options['kinds'] = len(train_set.panoptic.kind_names)
    network, twin = (make(config.model, {**options, 'norm_layer': SyncBatchNorm if config.sync_bn else nn.BatchNorm})
                     for _ in range(2))
    device = choose_device(config.no_cuda, job, config.cuda)
    task = Detection(network, twin, config, device, job, train_set, val_set)
    steps = len(task.batches(0)) // config.accumulate       # too few pictures: say so before anything is made
    if print_config:
        return recipe.show(config, job, steps)
    counts = {'pictures to validate by': len(val_set), 'classes': options['classes'],
              'training pictures': len(train_set)}
    return train_task(task, config, job, device, counts,
                      lambda source: load_start(network, config, source, device), 'detect')
