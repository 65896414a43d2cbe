"""A program for the tests: trains a small network on made-up images by the options of train.py.

``--layers bn`` is a ResNeSt, ``--layers plain`` has no BatchNorm. ``--poison EPOCH SAMPLE`` makes that sample's loss
NaN in that epoch. ``--die RANK EPOCH STEP`` kills that rank there, ``--die-saving N`` kills rank 0 in the middle of
writing its N-th checkpoint, ``--kill SEED BATCHES`` kills a rank of its choice at a moment of its choice.
"""
import argparse
import os
import signal
import threading
import time

import numpy as np

from resnest.errors import run_command


class RandomKill:
    """Kills this process at any moment from its start to a little after so many batches, on fast and slow machines."""

    def __init__(self, seed, most, rank, ranks):
        self._rng = np.random.default_rng(seed)
        chosen = self._rng.integers(ranks) == rank
        self._left = self._rng.integers(most + 1) if chosen else None
        self._last, self._pace = None, 0.05
        if self._left == 0:
            self._start()

    def count(self):
        if self._left:
            now = time.perf_counter()
            if self._last:
                self._pace = min(self._pace, now - self._last)
            self._left, self._last = self._left - 1, now
            if self._left == 0:
                self._start()

    def _start(self):
        threading.Timer(self._rng.uniform(0, 2 * self._pace), os.kill, (os.getpid(), signal.SIGKILL)).start()


def die_saving(number):
    """Kill this process when half of that checkpoint is written."""
    from resnest.gluon.training.run import checkpoint
    write, left = checkpoint.write_arrays, iter(range(number - 1))

    def half(path, arrays):
        write(path, arrays)
        if next(left, None) is None:
            os.truncate(path, os.path.getsize(path) // 2)
            os.kill(os.getpid(), signal.SIGKILL)
    checkpoint.write_arrays = half


class Batches:
    """Batches of images that depend on the sample index alone."""

    kill = None

    def __init__(self, indices, epoch, options, rank, start):
        self.batches, self.skipped = indices, []
        self._epoch, self._options, self._rank, self._start = epoch, options, rank, start

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        die = self._options.die
        for number, indices in enumerate(self.batches, self._start):
            if die and [self._rank, self._epoch, number] == die:
                os.kill(os.getpid(), signal.SIGKILL)
            if self.kill:
                self.kill.count()
            images = np.stack([np.random.default_rng(int(index)).integers(0, 256, (32, 32, 3), dtype=np.uint8)
                               for index in indices])
            for image, index in zip(images, indices):
                image[:, 3 * (index % 4):3 * (index % 4) + 3] //= 8
            labels = np.asarray(indices % 4, dtype=np.int32)
            poison = self._options.poison
            yield images, np.where(indices == poison[1], -1, labels) if poison and poison[0] == self._epoch else labels


def main(arguments=None):
    from resnest.gluon.tasks.classification import Classification, ClassificationConfig
    from resnest.gluon.tasks.classification.losses import SmoothedCrossEntropy
    from resnest.gluon.training import add_options, fit, from_options, in_job
    parser = argparse.ArgumentParser()
    add_options(parser, ClassificationConfig)
    parser.add_argument('--layers', default='bn')
    parser.add_argument('--poison', type=int, nargs=2, help='epoch and sample')
    parser.add_argument('--kill', type=int, nargs=2, help='seed and the most batches before it')
    parser.add_argument('--die', type=int, nargs=3, help='rank, epoch and step')
    parser.add_argument('--die-saving', type=int, help='number of the checkpoint')
    options = parser.parse_args(arguments)
    config = from_options(options, ClassificationConfig)

    import mxnet as mx
    from mxnet.gluon import nn

    from resnest.gluon.data import training_batches
    from resnest.gluon.models import ResNet, VariantSpec
    from resnest.gluon.nn import SyncBatchNorm

    def make(norm_layer=nn.BatchNorm):
        if options.layers == 'bn':
            net = ResNet(VariantSpec('tiny', (1, 1, 1, 1), bottleneck_width=8, stem_width=8), classes=4,
                         dropblock_prob=config.dropblock_prob, drop_path=config.drop_path,
                         last_gamma=config.last_gamma, norm_layer=norm_layer)
        else:
            net = nn.HybridSequential()
            net.add(nn.Conv2D(8, 3, 2, in_channels=3, activation='relu'), nn.Conv2D(8, 3, 2, in_channels=8),
                    nn.Activation('relu'), nn.GlobalAvgPool2D(), nn.Flatten(), nn.Dense(4, in_units=8))
        net.initialize(mx.init.MSRAPrelu())
        return net

    class Poisonous(SmoothedCrossEntropy):
        """NaN for a label of -1."""

        def hybrid_forward(self, F, logits, labels, lam=None):
            return super().hybrid_forward(F, logits, labels, lam) + F.sqrt(F.minimum(labels + 0.5, 0))

    class Little(Classification):
        def __init__(self, job):
            super().__init__(make(SyncBatchNorm if config.sync_bn else nn.BatchNorm), make(), config, mx.cpu())
            self.job = job
            if options.poison:
                self.loss_of = Poisonous(config.label_smoothing)
                self.loss_of.hybridize()

        def batches(self, epoch, start=0):
            indices = training_batches(96, config.batch_size, self.job.rank, self.job.size, config.seed, epoch, start)
            return Batches(indices, epoch, options, self.job.rank, start)

        def validation(self):
            indices = np.arange(1000 + self.job.rank, 1040, self.job.size).reshape(1, -1)
            return Batches(indices, 0, argparse.Namespace(die=None, poison=None), 0, 0)

    def work(job):
        if options.kill is not None:
            Batches.kill = RandomKill(*options.kill, job.rank, job.size)
        if options.die_saving and job.rank == 0:
            die_saving(options.die_saving)
        mx.random.seed(config.seed)
        return fit(Little(job), config, job, mx.cpu())

    return in_job(config, work)


if __name__ == '__main__':
    run_command(main)
