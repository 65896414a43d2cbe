"""The optimizer's state is kept by the names of parameters, whatever mxnet calls them."""
import mxnet as mx
import numpy as np
import pytest

from resnest.gluon.distributed import Job
from resnest.gluon.mxnet_private import optimizer_states
from resnest.gluon.tasks.classification import Classification, ClassificationConfig
from resnest.gluon.training.run import checkpoint
from resnest.gluon.training.run.state import COUNTERS, collect, restore
from resnest.gluon.training.run.step import Step

JOB = Job(None)
NAMES = (*COUNTERS[:2], 'right', *COUNTERS[2:])
STATE = {'epoch': 1, 'step': 2, 'skipped_steps': 0, 'loss_scale': None, 'counters': list(NAMES)}


def make(before=0):
    """Twelve dense layers of one shape without a name scope, after ``before`` others: dense10 comes before dense9."""
    for _ in range(before):
        mx.gluon.nn.Dense(1)
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.GlobalAvgPool2D(), mx.gluon.nn.Flatten())
    for _ in range(12):
        net.add(mx.gluon.nn.Dense(3, in_units=3))
    mx.random.seed(4)
    net.initialize(mx.init.Orthogonal())
    config = ClassificationConfig(batch_size=4, lr=0.002, num_epochs=3, warmup_epochs=0)
    return net, Step(Classification(net, net, config, mx.cpu()), config, JOB, mx.cpu(), 10, 0)


def train(net, step, numbers):
    for number in numbers:
        rng = np.random.default_rng(number)
        step([(np.arange(4), (rng.integers(0, 256, (4, 8, 8, 3), dtype=np.uint8), rng.integers(0, 3, 4)))], 0, number)
    return {name: param.data().asnumpy() for name, param in net._collect_params_with_prefix().items()}


@pytest.mark.parametrize('before', [0, 1, 5, 93])
def test_another_process_counts_its_layers_differently(tmp_path, before):
    """A notebook that has made other layers before: the automatic names, and so their order, are others."""
    net, step = make()
    train(net, step, range(3))
    counters = dict.fromkeys(NAMES, 0.0)
    path = checkpoint.save(tmp_path, 1, 2, collect(net, step, None, counters, JOB), STATE)
    wanted = train(net, step, range(3, 5))
    other = make(before)
    restore(path.read_bytes(), 'x', *other, None, JOB)
    found = train(*other, range(3, 5))
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_the_names_tell_whose_momentum_it_is(tmp_path):
    net, step = make()
    train(net, step, range(2))
    arrays = collect(net, step, None, dict.fromkeys(NAMES, 0.0), JOB)
    params = net._collect_params_with_prefix()
    states = dict(optimizer_states(step.trainer))
    assert len(states) == len(params) == 24
    for name, param in params.items():
        np.testing.assert_array_equal(arrays[f'optimizer/{name}/0'], states[param][0].asnumpy())


def test_checkpoints_of_version_1_are_read(tmp_path):
    """They hold momenta by mxnet's numbers, ranks are workers, and counters have no names."""
    net, step = make()
    train(net, step, range(3))
    counters = {name: float(place) for place, name in enumerate(('loss', 'right', 'seen', 'waited', 'training',
                                                                'skipped_records'))}
    arrays = collect(net, step, None, counters, JOB)
    numbers = {param: number for number, param in enumerate(step.trainer._params)}
    params = net._collect_params_with_prefix()
    former = {}
    for key, value in arrays.items():
        if key.startswith('optimizer/'):
            key = f"optimizer/{numbers[params[key.split('/')[1]]]}/0"
        former[key.replace('ranks/', 'workers/')] = value
    state = {key: value for key, value in STATE.items() if key != 'counters'}
    path = checkpoint.save(tmp_path, 1, 2, former, state)
    wanted = train(net, step, range(3, 5))
    other = make()
    assert restore(path.read_bytes(), 'x', *other, None, JOB) == (state, counters)
    found = train(*other, range(3, 5))
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
