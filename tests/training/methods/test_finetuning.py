"""Fine-tuning: frozen stages against finite differences and second runs, and whole runs of train.py."""
import sys

import mxnet as mx
import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon import get_model
from resnest.gluon.distributed import Job
from resnest.gluon.nn import use_native
from resnest.gluon.tasks.classification import Classification
from resnest.gluon.tasks.classification import ClassificationConfig as Config
from resnest.gluon.training.config import STAGES
from resnest.gluon.training.methods.finetuning import freeze
from resnest.gluon.training.methods.optimizer import make_trainer

from ...conftest import ROOT, command, horovodrun, needs_horovod, randomize, script, script_main
from ...test_commands import train_words

STATISTICS = ('running_mean', 'running_var')


def values(net):
    return {name: param.data().asnumpy() for name, param in net._collect_params_with_prefix().items()}


def pictures(count, seed=0):
    return mx.nd.array(np.random.default_rng(seed).normal(size=(count, 3, 48, 48)))


def trained(tiny, steps=1, **settings):
    """A network's values before and after steps of the trainer that a recipe makes; and the trainer."""
    net = randomize(tiny())
    before = values(net)
    config = Config(lr=0.1, wd=0.01, resume_params='x', **settings)
    trainer = make_trainer(Classification(net, net, config, mx.cpu()), config, Job(None))
    net.hybridize(static_alloc=True)
    for step in range(steps):
        with mx.autograd.record():
            loss = (net(pictures(4, step)) ** 2).sum()
        loss.backward()
        trainer.step(4)
    return before, values(net), trainer


@pytest.mark.parametrize('stages', [['stem'], ['stem', 'layer1'], ['layer2', 'layer4'], list(STAGES)])
def test_frozen_stages_stay_as_they_are(tiny, stages):
    """Weights and statistics, to the bit, with decay on; all others move, and only they have a state."""
    children = {'stem': ('conv1', 'bn1')}
    frozen = [child for stage in stages for child in children.get(stage, (stage,))]
    before, after, trainer = trained(tiny, 2, freeze=stages)
    for name, value in before.items():
        assert np.array_equal(after[name], value) == (name.split('.')[0] in frozen), name
    moved = sum(name.split('.')[0] not in frozen and not name.endswith(STATISTICS) for name in before)
    assert len(trainer._updaters[0].states) == moved


@pytest.mark.parametrize('native', [False, True])
def test_frozen_stages_do_not_see_the_batch(tiny, native):
    """While training, what they give a picture is the same alone and among others; unfrozen it is not."""
    alone, among = pictures(1), pictures(6)
    for stages, same in ((['stem', 'layer1'], True), ([], False)):
        net = randomize(tiny())
        freeze(net, stages)
        use_native(net, native)
        net.hybridize()
        with mx.autograd.record():
            outputs = [net.layer1(net.maxpool(net.relu(net.bn1(net.conv1(x)))))[0].asnumpy() for x in (alone, among)]
        assert np.allclose(*outputs, rtol=1e-4, atol=1e-5) == same


@pytest.mark.parametrize('name', ['conv1.0.weight', 'layer1.0.bn3.gamma', 'layer1.0.conv2.fc1.weight',
                                  'layer3.0.conv3.weight'])
def test_gradients_pass_through_a_frozen_stage(tiny, name):
    """Along the gradient, the loss rises as the gradient says."""
    net = randomize(tiny())
    freeze(net, ['layer2'])
    net.hybridize(static_alloc=True)
    x, mask = pictures(4), mx.nd.array(np.random.default_rng(1).normal(size=(4, 10)))

    def loss():
        with mx.autograd.record():
            return (net(x) * mask).sum()

    loss().backward()
    param = net._collect_params_with_prefix()[name]
    gradient, weight = param.grad().asnumpy(), param.data().asnumpy()
    slope, found = np.linalg.norm(gradient), []
    for step in (3e-3, -3e-3):
        param.set_data(mx.nd.array(weight + step * gradient / slope))
        found.append(float(loss().asscalar()))
    assert (found[0] - found[1]) / 6e-3 == pytest.approx(slope, rel=0.02)


def test_the_backbone_learns_at_a_smaller_rate(tiny):
    """In one step, all but the classifier move by a quarter of what they move by otherwise."""
    before, whole, _ = trained(tiny)
    _, quarter, trainer = trained(tiny, backbone_lr_factor=0.25)
    assert trainer.learning_rate == 0.1
    for name, value in before.items():
        factor = 1 if name.startswith('fc.') or name.endswith(STATISTICS) else 0.25
        wanted = factor * (whole[name] - value)
        np.testing.assert_allclose(quarter[name] - value, wanted, atol=1e-6 + 1e-3 * np.abs(wanted).max(), err_msg=name)


@pytest.mark.parametrize('settings, wanted', [
    (dict(pretrained=True, resume_params='x'), '--pretrained and --resume-params'),
    (dict(freeze=['stem']), '--freeze keeps what was loaded'),
    (dict(freeze=['stem'], resume='auto'), '--pretrained or --resume-params'),
    (dict(freeze=['stem', 'layer'], pretrained=True), "--freeze has no choice 'layer'; did you mean 'layer[1-4]'"),
    (dict(freeze=['fc'], pretrained=True), "--freeze has no choice 'fc'"),
    (dict(freeze=list(STAGES), pretrained=True, backbone_lr_factor=0.1), '--freeze of all stages leaves nothing to'),
    (dict(backbone_lr_factor=0.0), '--backbone-lr-factor must be above 0')])
def test_contradictions(settings, wanted):
    with pytest.raises(InputError, match=wanted):
        Config(**settings)


def test_the_order_of_stages_does_not_matter():
    config = Config(freeze=['layer1', 'stem', 'stem'], resume='checkpoint.npz')
    assert config == Config(freeze=['stem', 'layer1'], resume='checkpoint.npz')
    assert Config(freeze=[]) == Config()


@pytest.fixture(scope='module')
def published(tmp_path_factory):
    """A file of resnest14 for seven classes."""
    path = tmp_path_factory.mktemp('published') / 'seven.params'
    randomize(get_model('resnest14', classes=7)).save_parameters(str(path))
    return path


def first_weights(arrays, published):
    """Asserts that what is frozen, statistics of all ranks included, is what was published."""
    wanted = mx.nd.load(str(published))
    frozen = [name for name in wanted if name.startswith(('conv1.', 'bn1.', 'layer1.'))]
    assert len(frozen) > 20
    for name in frozen:
        np.testing.assert_array_equal(arrays[f'net/{name}'], wanted[name].asnumpy(), err_msg=name)
    rows, place = arrays['ranks/net'], 0
    for name in sorted(name for name in wanted if name.endswith(STATISTICS)):
        if name in frozen:
            assert (rows[:, place:place + wanted[name].size] == wanted[name].asnumpy()).all(), name
        place += wanted[name].size
    assert (arrays['net/layer2.0.conv1.weight'] != wanted['layer2.0.conv1.weight'].asnumpy()).any()


WORDS = ('--freeze', 'layer1', 'stem', '--backbone-lr-factor', 0.1, '--num-epochs', 2, '--save-frequency', 1,
         '--skip-nonfinite', 1, '--ema-decay', 0.9)


@pytest.mark.slow
def test_a_run_and_the_same_resumed(squares, published, tmp_path, capsys, monkeypatch):
    """The classifier is new; the checkpoint wins over the file, which may be gone; the end is the same to the bit."""
    monkeypatch.chdir(tmp_path)
    main = script_main('gluon/train.py')
    (tmp_path / 'own.params').write_bytes(published.read_bytes())
    words = [str(word) for word in (*train_words(squares, 'whole'), *WORDS, '--resume-params', 'own.params')]
    assert main(words) == 0
    assert ('starting from own.params; its classifier is for other classes, the one for 4 is new'
            in capsys.readouterr().out)
    (tmp_path / 'part').mkdir()
    (tmp_path / 'whole/checkpoint-0001-000000.npz').rename(tmp_path / 'part/checkpoint-0001-000000.npz')
    (tmp_path / 'own.params').unlink()
    assert main([*words, '--save-dir', 'part', '--resume', 'auto']) == 0
    assert 'the checkpoint is what the run goes on from' in capsys.readouterr().out
    whole, part = (dict(np.load(tmp_path / name / 'checkpoint-0002-000000.npz')) for name in ('whole', 'part'))
    first_weights(whole, published)
    for name in whole:
        if name.split('/')[0] in ('net', 'average', 'optimizer'):
            np.testing.assert_array_equal(part[name], whole[name], err_msg=name)
    for name in (name for name in whole if name.startswith('average/layer1.')):
        np.testing.assert_array_equal(whole[name], whole[f'net/{name[8:]}'])
    with pytest.raises(InputError, match=r"own\.params: no such file"):
        main([*words, '--save-dir', 'other'])
    with pytest.raises(InputError, match=r"--freeze None \(was \['stem', 'layer1'\]\)"):
        main([*words, '--save-dir', 'part', '--resume', 'auto', '--freeze', '--num-epochs', '2'])


@pytest.mark.slow
@needs_horovod
def test_two_ranks(squares, published, tmp_path):
    """The first rank alone reads the file, the other one gets its values."""
    def run(*words):
        return command(*horovodrun(2), sys.executable, ROOT / 'scripts/gluon/train.py',
                       *train_words(squares, tmp_path / 'run'), *WORDS, *words)
    result = run('--resume-params', published)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count('starting from') == 1
    first_weights(dict(np.load(tmp_path / 'run/checkpoint-0002-000000.npz')), published)
    missing = run('--resume-params', 'no.params')
    assert missing.returncode != 0
    assert 'no.params: no such file' in missing.stdout + missing.stderr


def test_published_weights(squares, tmp_path, monkeypatch):
    """--pretrained asks the store; it has none for this model."""
    result = script('gluon/train.py', *train_words(squares, tmp_path), '--model', 'skresnet50', '--pretrained')
    assert result.returncode == 2
    assert 'no weights are published for skresnet50' in result.stderr
