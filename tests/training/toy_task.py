"""A program for the tests: a task that is none of the package's, regression on handwritten digits.

The network tells the number that a digit stands for from its 8 × 8 picture. All that the trainer gives a task, it gives
this one: nothing in resnest/gluon/training knows it.

Every 40th digit is told as a bad record. ``--stop EPOCH BATCH`` asks this process to stop by ``--signal`` at that
batch, ``--stop-evaluating EPOCH`` in the second batch of that epoch's evaluation. ``--empty N`` has the first N
evaluations find no error that is a number.
"""
import argparse
import os
import signal

import numpy as np

from resnest.errors import run_command


class Batches:
    """Batches ``(images float32 (n, 64), numbers float32 (n,))`` of digits."""

    def __init__(self, digits, indices, number, stop=None):
        self.batches, self.skipped = indices, []
        self._images, self._numbers = digits
        self._signal, self._stop = number, stop

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        for number, indices in enumerate(self.batches):
            if number == self._stop:
                os.kill(os.getpid(), self._signal)
            self.skipped += [f'record {index}' for index in indices if index % 40 == 0]
            yield self._images[indices], self._numbers[indices]


def main(arguments=None):
    from resnest.gluon.training import Figure, Figures, Task, TrainConfig, add_options, fit, from_options, in_job
    parser = argparse.ArgumentParser()
    add_options(parser, TrainConfig)
    parser.add_argument('--stop', type=int, nargs=2, default=(None, None), help='epoch and batch')
    parser.add_argument('--signal', type=signal.Signals.__getitem__, default=signal.SIGTERM, help='its name')
    parser.add_argument('--stop-evaluating', type=int, help='epoch')
    parser.add_argument('--empty', type=int, default=0, help='evaluations')
    options = parser.parse_args(arguments)
    config = from_options(options, TrainConfig)

    import mxnet as mx
    from sklearn.datasets import load_digits

    from resnest.gluon.data import evaluation_batches, training_batches

    images, numbers = load_digits(return_X_y=True)
    images, numbers = (images / 16).astype('float32'), numbers.astype('float32')
    training, validation = (images[:320], numbers[:320]), (images[1500:], numbers[1500:])

    class Regression(Task):
        """Least squares; the best network has the smallest mean absolute error."""

        figures = Figures((Figure('train_error', 'error/train', 'train', 'mean error', 'training'),
                           Figure('error', 'error/validation', 'val', 'mean error', 'validation', best='lowest'),
                           Figure('val_loss', 'loss/validation', None, 'loss', 'validation', best='lowest')),
                          best='error', loss='squared error')
        sums = ('error',)

        def __init__(self, job):
            super().__init__(self.make(), self.make())
            self.job, self.epoch, self.evaluations = job, -1, 0

        @staticmethod
        def make():
            net = mx.gluon.nn.HybridSequential()
            net.add(mx.gluon.nn.Dense(32, in_units=64, activation='relu'),
                    mx.gluon.nn.Dropout(0.1 if config.model == 'dropping' else 0),
                    mx.gluon.nn.Dense(32, in_units=32, activation='relu'), mx.gluon.nn.Dense(1, in_units=32))
            net.initialize(mx.init.MSRAPrelu())
            return net

        def begin(self, net, epoch):
            self.epoch = epoch

        def batches(self, epoch, start):
            indices = training_batches(320, config.batch_size, self.job.rank, self.job.size, config.seed, epoch, start)
            return Batches(training, indices, options.signal, options.stop[1] if options.stop[0] == epoch else None)

        def prepare(self, indices, batch, epoch, device):
            inputs, targets = (mx.nd.array(array, ctx=device) for array in batch)
            return (inputs,), (targets,)

        def loss(self, outputs, targets):
            return mx.nd.square(outputs.reshape((-1,)) - targets[0])

        def count(self, outputs, targets, losses):
            return {'error': mx.nd.abs(outputs.reshape((-1,)) - targets[0]).sum()}

        def training_figures(self, sums, seen):
            return {'train_error': np.float32(sums['error'] / seen)}

        def evaluate(self, net):
            error = squares = seen = bad = 0
            indices = evaluation_batches(297, 50, self.job.rank, self.job.size)
            stop = 1 if options.stop_evaluating == self.epoch else None
            for inputs, targets in Batches(validation, indices, options.signal, stop):
                found = net(mx.nd.array(inputs)).asnumpy().ravel()
                squares += float(np.square(found - targets).sum())
                error, seen = error + float(np.abs(found - targets).sum()), seen + len(targets)
                bad += int((~np.isfinite(found)).sum())
            return {'seen': seen, 'nonfinite': bad, 'error': error, 'squares': squares}

        def validation_figures(self, counts):
            self.evaluations += 1
            empty = self.evaluations <= options.empty
            return {'error': np.float32('nan' if empty else counts['error'] / counts['seen']),
                    'val_loss': counts['squares'] / counts['seen']}

        def describe(self):
            assert not self.evaluations, 'it is asked once, before the run'
            return {'task': 'regression', 'digits': [0, 9]}

    def work(job):
        mx.random.seed(config.seed)
        mx.random.seed(config.seed)
        return fit(Regression(job), config, job, mx.cpu())

    return in_job(config, work)


if __name__ == '__main__':
    run_command(main)
