"""Ablations' specs and summaries, and files of class names."""
import json

from resnest.gluon.tasks.classification import ClassificationConfig, class_names
from resnest.gluon.tasks.classification.ablation.rows import chosen, format_rows, read_spec, train_rows
from resnest.gluon.training import recipe
from resnest.reading import parse_yaml

from ..conftest import ROOT
from .mutations import damaged_bytes, damaged_value, hostile_file
from .recipes import TEXTS

SPECS = [path.read_text() for path in sorted((ROOT / 'configs').glob('ablation*.yaml'))]
SUMMARY = {'top1': 50.0, 'top5': 90.0, 'seen': 37, 'epoch': 2, 'seconds': 3.5, 'ranks': 1, 'epochs': 3}
MANIFEST = {'classes': ['a', 'b', 'n01440764'], 'splits': {'train': {'records': 3}}}


def damaged(rng, value):
    """A value as bytes of JSON, which is YAML too."""
    try:
        data = json.dumps(damaged_value(rng, value)).encode('utf-8', 'surrogatepass')
    except (RecursionError, ValueError):
        return b'[' * 10_000
    return damaged_bytes(rng, data) if rng.random() < 0.2 else data


def write(rng, path, data):
    if rng.random() < 0.04:
        hostile_file(rng, path)
    else:
        path.write_bytes(data)


def case(rng, folder):
    kind = rng.integers(3)
    if kind == 0:
        text = SPECS[rng.integers(len(SPECS))]
        if rng.random() < 0.5:
            data = damaged(rng, parse_yaml(text, 'x'))
        else:
            words = text.split(' ')
            words[rng.integers(len(words))] = TEXTS[rng.integers(len(TEXTS))]
            data = ' '.join(words).encode()
        write(rng, folder / 'spec.yaml', data)
        rows = read_spec(folder / 'spec.yaml', {'seed': 3} if rng.random() < 0.2 else None)
        assert len(format_rows(rows).splitlines()) == 2 + len(rows)
        assert all(0 < len(row.folder) < 200 for row in rows)
        chosen(rows, [rows[0].name, TEXTS[rng.integers(len(TEXTS))]])
    elif kind == 1:
        (folder / 'spec.yaml').write_text('rows: [{name: A}, {name: B, options: {seed: 4}}]')
        rows = read_spec(folder / 'spec.yaml')
        (folder / 'out/b').mkdir(parents=True)
        config = recipe.resolved(ClassificationConfig(seed=4), 1, 10)
        write(rng, folder / 'out/b/summary.json', damaged(rng, {**SUMMARY, 'config': config}))
        assert train_rows(rows, [], folder / 'out', ['false'], print) == 0
        assert len(format_rows(rows).splitlines()) == 4
        assert len((rows[1].failure or 'x').splitlines()) == 1
    else:
        path = folder / str(rng.choice(['manifest.json', 'names.txt']))
        data = damaged(rng, MANIFEST) if path.suffix == '.json' else damaged_bytes(rng, 'é\nb\nn01440764\n'.encode())
        write(rng, path, data)
        names = class_names(3, path if rng.random() < 0.8 else folder)
        assert len(names) == 3
        assert all(name == ''.join(name.splitlines()) for name in names)
