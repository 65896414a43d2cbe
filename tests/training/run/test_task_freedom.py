"""What a task may do that classification does not: other optimizers, outputs of any shape, parts that are idle."""
import mxnet as mx
import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon.distributed import Job
from resnest.gluon.training import Task, TrainConfig
from resnest.gluon.training.methods.finetuning import freeze
from resnest.gluon.training.methods.optimizer import AdamW
from resnest.gluon.training.run import checkpoint
from resnest.gluon.training.run.state import COUNTERS, collect, restore
from resnest.gluon.training.run.step import Step

JOB = Job(None)
STATE = {'epoch': 1, 'step': 2, 'skipped_steps': 0, 'loss_scale': None, 'counters': list(COUNTERS)}


class Pair(mx.gluon.Block):
    """Two numbers, each of which only some batches use."""

    def __init__(self):
        super().__init__()
        self.a = self.params.get('a_weight', shape=(1,), init=mx.init.One())
        self.b = self.params.get('b_weight', shape=(1,), init=mx.init.One())

    def forward(self, x, uses):
        found = x * self.a.data()
        return [[found, mx.nd.array([np.inf])], (found * self.b.data() if uses else found).sum()]


class Freely(Task):
    """A loss of two parts over nested outputs, one of which is infinite and no part of the loss."""

    sums = ('first', 'second')

    def __init__(self, kind=mx.optimizer.SGD):
        net = Pair()
        net.initialize()
        super().__init__(net, net)
        self._kind = kind

    def optimizer(self, config, rate):
        return self._kind(learning_rate=rate)

    def decay(self, param):
        return 0.0

    def prepare(self, indices, batch, epoch, device):
        return (mx.nd.array(batch[0]), batch[1]), ()

    def loss(self, outputs, targets):
        (found, _), total = outputs
        return mx.nd.stack(found.sum(), total)

    def count(self, outputs, targets, losses):
        return {'first': losses[0], 'second': losses[1]}


def make(kind=mx.optimizer.SGD, **settings):
    task = Freely(kind)
    config = TrainConfig(model='pair', batch_size=2, lr=0.1, num_epochs=1, warmup_epochs=0, lr_schedule='constant',
                         **settings)
    return task, Step(task, config, JOB, mx.cpu(), total=10, warmup=0)


def value(task, name):
    return float(getattr(task.network, name).data().asscalar())


def test_outputs_of_any_shape_and_losses_of_several_parts():
    task, step = make()
    loss, sums, _ = step([(np.arange(2), ([1.0, 2.0], True))], 0, 0)
    assert loss == 6.0
    assert {name: sums[name].asscalar() for name in sums} == {'first': 3.0, 'second': 3.0}
    # d/da (3 a + 3 a b) = 6, d/db = 3, over two samples, at the rate 0.1.
    assert (value(task, 'a'), value(task, 'b')) == (pytest.approx(0.7), pytest.approx(0.85))


def test_a_parameter_without_a_part_in_a_batch_does_not_move():
    task, step = make()
    step([(np.arange(2), ([1.0, 2.0], True))], 0, 0)
    before = value(task, 'b')
    step([(np.arange(2), ([1.0, 2.0], False))], 0, 1)
    assert value(task, 'b') == before


def test_in_an_accumulated_step_it_counts_once():
    task, step = make(accumulate=2)
    step([(np.arange(2), ([1.0, 2.0], True)), (np.arange(2), ([1.0, 2.0], False))], 0, 0)
    # Its gradient 3 in the first batch alone, over four samples, at twice the rate for two batches.
    assert value(task, 'b') == pytest.approx(1 - 2 * 0.1 * 3 / 4)


@pytest.mark.parametrize('kind', [AdamW, mx.optimizer.Adam, mx.optimizer.SGD, mx.optimizer.NAG])
def test_any_optimizer_goes_on_to_the_same_bits(tmp_path, kind):
    """Adam corrects its averages by how many updates there were, which a checkpoint therefore holds."""
    batch = [(np.arange(2), ([1.0, 0.5], True))]
    task, step = make(kind)
    for number in range(5):
        step(batch, 0, number)
    path = checkpoint.save(tmp_path, 1, 2, collect(task.network, step, None, dict.fromkeys(COUNTERS, 0.0), JOB), STATE)
    other, again = make(kind)
    restore(path.read_bytes(), 'x', other.network, again, None, JOB)
    for number in range(5, 8):
        step(batch, 0, number)
        again(batch, 0, number)
    assert [value(other, name) for name in 'ab'] == [value(task, name) for name in 'ab']


def test_freezing_what_there_is_not():
    with pytest.raises(InputError, match=r'--freeze stem: this network has no conv1'):
        freeze(Pair(), ['stem'])


def test_numbers_and_arrays_are_added_up_over_the_ranks():
    values = {'seen': 3, 'nonfinite': 0, 'confusion': np.arange(6).reshape(2, 3), 'share': 0.5}
    found = JOB.totals(values, 'x')
    assert list(found) == list(values)
    for key, value in values.items():
        assert np.array_equal(found[key], value)
        assert np.shape(found[key]) == np.shape(value)
