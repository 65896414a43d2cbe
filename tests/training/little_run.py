"""A program for the tests: trains a small network on made-up images by the options of train.py.

``--network bn`` is a ResNeSt with everything on; ``--network plain`` has no BatchNorm. ``--poison EPOCH INDEX`` gives
NaN weights' worth of loss: the label of that sample is out of range in that epoch. ``--die RANK STEP`` kills a rank.
"""
import argparse
import os
import signal

import numpy as np

from resnest.errors import run_command


class Batches:
    """Batches of images that depend on the sample index alone."""

    def __init__(self, indices, epoch, options, rank, start):
        self.batches, self.skipped = indices, []
        self._epoch, self._options, self._rank, self._start = epoch, options, rank, start

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        die = self._options.die
        for number, indices in enumerate(self.batches, self._start):
            if die and [self._rank, self._epoch * 12 + number] == die:
                os.kill(os.getpid(), signal.SIGKILL)
            images = np.stack([np.random.default_rng(int(index)).integers(0, 256, (32, 32, 3), dtype=np.uint8)
                               for index in indices])
            for image, index in zip(images, indices):
                image[:, 3 * (index % 4):3 * (index % 4) + 3] //= 8
            yield images, np.asarray(indices % 4, dtype=np.int32)


def main():
    from resnest.gluon.training import add_options, distributed, fit, from_options, recipe
    parser = argparse.ArgumentParser()
    add_options(parser)
    parser.add_argument('--network', default='bn')
    parser.add_argument('--poison', type=int, nargs=2, help='epoch and sample')
    parser.add_argument('--die', type=int, nargs=2, help='rank and step')
    options = parser.parse_args()
    config = from_options(options)
    os.environ.update(recipe.horovod_environment(config))
    workers = distributed.start()

    import mxnet as mx
    from mxnet.gluon import nn

    from resnest.gluon.data import training_batches
    from resnest.gluon.inference import evaluate
    from resnest.gluon.models import ResNet, VariantSpec

    def make():
        if options.network == 'bn':
            net = ResNet(VariantSpec('tiny', (1, 1, 1, 1), bottleneck_width=8, stem_width=8), classes=4,
                         dropblock_prob=config.dropblock_prob, last_gamma=config.last_gamma)
        else:
            net = nn.HybridSequential()
            net.add(nn.Conv2D(8, 3, 2, in_channels=3, activation='relu'), nn.Conv2D(8, 3, 2, in_channels=8),
                    nn.Activation('relu'), nn.GlobalAvgPool2D(), nn.Flatten(), nn.Dense(4, in_units=8))
        net.initialize(mx.init.MSRAPrelu())
        return net

    def batches(epoch, start=0):
        indices = training_batches(96, config.batch_size, workers.rank, workers.size, config.seed, epoch, start)
        loaded = Batches(indices, epoch, options, workers.rank, start)
        return Poisoned(loaded, options.poison[1]) if options.poison and options.poison[0] == epoch else loaded

    def validate(net):
        indices = np.arange(1000 + workers.rank, 1040, workers.size).reshape(1, -1)
        return evaluate(net, Batches(indices, 0, argparse.Namespace(die=None), 0, 0), mx.cpu())

    class Poisoned:
        def __init__(self, loaded, sample):
            self.batches, self.skipped, self._loaded, self._sample = loaded.batches, [], loaded, sample

        def __len__(self):
            return len(self._loaded)

        def __iter__(self):
            for indices, (images, labels) in zip(self.batches, self._loaded):
                if self._sample in indices:
                    labels = labels.astype(np.float32)
                    labels[list(indices).index(self._sample)] = np.nan
                yield images, labels

    mx.random.seed(config.seed)
    network, twin = make(), make()
    with distributed.tell_lost_worker():
        return fit(network, twin, config, workers, mx.cpu(), batches, validate)


if __name__ == '__main__':
    run_command(main)
