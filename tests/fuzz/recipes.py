"""Recipes: YAML files and ``--model-options``, and what is made of them before any data are opened."""
import json

from resnest.arguments import Parser
from resnest.gluon.models import find_variant, override
from resnest.gluon.tasks.classification import ClassificationConfig, train
from resnest.gluon.training import add_options, from_options, recipe
from resnest.gluon.training.fields import fields_of
from resnest.reading import parse_yaml

from ..conftest import ROOT
from .mutations import damaged_bytes, damaged_value, hostile_file

SAMPLES = [path.read_text() for path in sorted((ROOT / 'configs').glob('resnest*.yaml'))] + [
    recipe.to_yaml(recipe.resolved(ClassificationConfig(
        model_options={'radix': 1, 'blocks': [1, 1, 1, 1], 'avd_first': True, 'final_drop': 0.5}, freeze=['stem'],
        pretrained=True, rec_train='a', rec_val='b', lr=0.1, fusion_mb=1.0, label_smoothing=0.1, optimizer='adamw',
        lr_schedule='step', milestones=[30, 60], lr_decay=0.2, patience=3, time_limit=60.0, best='val_loss',
        augment='randaugment', scale=(0.5, 1), mean=(0.5, 0.5, 0.5), std=(0.1, 0.2, 0.3), cutmix=True,
        cutmix_alpha=0.5), 2, 10))]
NAMES = sorted(fields_of(ClassificationConfig))
# Texts that YAML readers take for something else, or choke on.
TEXTS = ['2001-01-01', '1:30', '0x10', '010', '1_000', '.inf', '-.nan', '1e400', '9' * 30, '9' * 5000, '~', 'yes',
         'null', '!!python/object:os.system x', '!!binary aGk=', '!!set {a}', '&a [*a]', '*a', '<<: {a: 1}',
         '{a: {b: {c: 1}}}', '[' * 300 + ']' * 300, '"\\ud800"', '"a\\nb"', '"a\\u2028b"', '? [a]', '|\n  a\n  b',
         '"', "'", '1e5', '%YAML 9', '---', '{}', '[[stem]]', '{radix: .nan}', '{blocks: [1, 1, 1, 1.0]}',
         '{radix: 99999999}', '[30, 60]', '[30, 1.5]', '[]', '[1, 2]', '[0.5, 0.1, 0.2]', '[.nan, 1]', '[1e-320, 1]',
         '~nobody/x', '\x07', 'é' * 300, '0', '-1', '1e-320', '1e308', str(2 ** 31), str(2 ** 63)]


def document(rng):
    """The bytes of a YAML file."""
    text = SAMPLES[rng.integers(len(SAMPLES))]
    kind = rng.integers(4)
    if kind == 0:
        return damaged_bytes(rng, text.encode())
    if kind == 1:
        try:
            return json.dumps(damaged_value(rng, parse_yaml(text, 'x'))).encode('utf-8', 'surrogatepass')
        except (RecursionError, ValueError):
            return b'{' * 10_000
    lines = [line for line in text.splitlines() if not line.startswith(('#', ' ', '-')) and ':' in line]
    for _ in range(rng.integers(1, 4)):
        line = f'{rng.choice(NAMES)}: {TEXTS[rng.integers(len(TEXTS))]}'
        if kind == 2:
            lines = [each for each in lines if each.split(':')[0] != line.split(':')[0]]
        lines.insert(int(rng.integers(len(lines) + 1)), line)
    return '\n'.join(lines).encode()


def words(rng):
    """Words of a command line about the network."""
    names = ['radix', 'blocks', 'avd_first', 'final_drop', 'crop_size', 'interpolation', 'crop_ratio', 'sha1', '']
    return ['--model-options', *(f"{rng.choice(names)}{rng.choice(['=', '=', '=', '', ':'])}"
                                 f'{TEXTS[rng.integers(len(TEXTS))]}' for _ in range(rng.integers(1, 3)))]


def case(rng, folder):
    path = folder / 'x.yaml'
    if rng.random() < 0.03:
        hostile_file(rng, path)
    else:
        path.write_bytes(document(rng))
    parser = Parser()
    add_options(parser, ClassificationConfig)
    given = ['--config', str(path)] if rng.random() < 0.7 else []
    given += words(rng) if not given or rng.random() < 0.2 else []
    config = from_options(parser.parse_args(given), ClassificationConfig)
    shown = recipe.to_yaml(recipe.resolved(config, 2, 7))
    assert ClassificationConfig(**{name: value for name, value in parse_yaml(shown, 'shown').items()
                                   if name != 'derived'}) == config, 'what is printed gives another recipe'
    assert recipe.differences(config, json.loads(json.dumps(recipe.resolved(config, 2, 7))), 2, 7) == []
    recipe.environment(config)
    override(find_variant(config.model or 'resnest50'), config.model_options or {})
    config.rec_train = config.rec_val = config.data_dir = None
    train(config, print_config=True)
