"""The network that a recipe trains, and its twin, which is evaluated and saved."""
import pytest
from mxnet.gluon import nn

from resnest.gluon.mxnet_private import structural_parameters
from resnest.gluon.nn import SyncBatchNorm
from resnest.gluon.tasks.classification import ClassificationConfig, train
from resnest.gluon.training import launch


def norms(net):
    found = []
    net.apply(lambda block: found.append(type(block)) if isinstance(block, nn.BatchNorm) else None)
    return found


@pytest.mark.parametrize('sync', [False, True])
def test_only_the_network_in_training_is_synchronized(squares, monkeypatch, sync):
    tasks = []
    monkeypatch.setattr(launch, 'fit', lambda task, *_: tasks.append(task))
    train(ClassificationConfig(model='resnest14', model_options={'blocks': [1, 1, 1, 1]}, input_size=32, batch_size=4,
                               rec_train=str(squares), rec_val=str(squares), sync_bn=sync, no_cuda=True))
    network, twin = tasks[0].network, tasks[0].twin
    assert set(norms(network)) == {SyncBatchNorm if sync else nn.BatchNorm}
    assert set(norms(twin)) == {nn.BatchNorm}
    assert list(structural_parameters(network)) == list(structural_parameters(twin))
