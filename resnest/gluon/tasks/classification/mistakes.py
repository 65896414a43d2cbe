"""Which classes are taken for which: the accuracy of each class, and the confusion matrix, as JSON and as a picture."""
import json
from pathlib import Path

import numpy as np

from resnest.errors import InputError
from resnest.files import replace_file, require_writable
from resnest.gluon.figures import figure_file, require_figure
from resnest.reading import one_line

__all__ = ['Mistakes', 'class_table', 'confusion', 'draw_confusion', 'require_confusion', 'worst_classes',
           'write_confusion']

MOST_CLASSES = 5000     # of a matrix: 200 MB
MOST_DENSE = 40         # classes of a matrix that is written, and drawn, as a whole
MOST_COUNTS = 20        # classes whose counts are written into the squares of the picture
MOST_WORST = 5
LONGEST_NAME = 24       # characters beside the picture


class Mistakes:
    """How often each class was seen and right and, with ``pairs``, which was taken for which: call it with logits.

    ``counts`` is a dict of arrays that can be added over ranks: ``seen`` and ``right`` ``(classes,)``, and ``pairs``
    ``(classes, classes)``, whose rows are labels and whose columns are what the network says. What counts as right is
    that of :func:`.evaluation.count_correct`: the diagonal adds up to it.
    """

    def __init__(self, classes, pairs=False):
        if pairs and classes > MOST_CLASSES:
            raise InputError(f'--confusion: a matrix of {classes} classes; it takes at most {MOST_CLASSES}')
        self.counts = {name: np.zeros(classes, np.int64) for name in ('seen', 'right')}
        if pairs:
            self.counts['pairs'] = np.zeros((classes, classes), np.int64)

    def __call__(self, logits, labels):
        """Count a batch: ``logits`` ``(N, classes)``, ``labels`` ``(N,)``, both NumPy."""
        rows = np.arange(len(labels))
        others = np.array(logits)
        others[rows, labels] = -np.inf
        rival = others.argmax(axis=1)
        right = logits[rows, labels] > others[rows, rival]
        np.add.at(self.counts['seen'], labels, 1)
        np.add.at(self.counts['right'], labels, right)
        if 'pairs' in self.counts:
            np.add.at(self.counts['pairs'], (labels, np.where(right, labels, rival)), 1)


def class_table(counts, names):
    """A dict for JSON of each class that was seen: its label as ``class``, ``name``, ``seen``, ``right``, ``top1``."""
    return [{'class': label, 'name': names[label], 'seen': int(seen), 'right': int(right),
             'top1': 100 * int(right) / int(seen)}
            for label, (seen, right) in enumerate(zip(counts['seen'], counts['right'])) if seen]


def worst_classes(table):
    """A line about the classes that are recognized worst, five at most; None where all are right, or there is one."""
    wrong = sorted((entry for entry in table if entry['right'] < entry['seen']), key=lambda entry: entry['top1'])
    if not wrong or len(table) < 2:
        return None
    told = ', '.join(f"{entry['name']} {entry['top1']:.2f} % of {entry['seen']}" for entry in wrong[:MOST_WORST])
    return f"worst class{'es' if len(wrong) > 1 else ''}: {told}"


def confusion(pairs, names):
    """The matrix as a dict for JSON.

    ``classes`` are the names; ``matrix`` has a row for each label and a column for each answer or, above 40 classes,
    ``entries`` lists ``[label, answer, count]`` of what is not zero.
    """
    pairs = np.asarray(pairs).astype(np.int64)
    if len(pairs) <= MOST_DENSE:
        return {'classes': list(names), 'matrix': pairs.tolist()}
    return {'classes': list(names), 'entries': [[int(row), int(column), int(pairs[row, column])]
                                                for row, column in np.argwhere(pairs)]}


def require_confusion(path):
    """Raise InputError, or MissingPackage, where :func:`write_confusion` could not write ``path``: before the work."""
    if path and Path(path).suffix.lower() != '.json':
        require_figure(path, '--confusion', ['.json'])
    require_writable(path, '--confusion')


def write_confusion(path, pairs, names):
    """Write the matrix as JSON or, after the ending of the path, as a picture."""
    if Path(path).suffix.lower() == '.json':
        replace_file(path, json.dumps(confusion(pairs, names), ensure_ascii=False) + '\n')
    else:
        draw_confusion(path, pairs, names)


def draw_confusion(path, pairs, names):
    """Draw the matrix: the share of each row by colour, and in small matrices the counts.

    Of more than 40 classes, those are shown that were seen or answered and, above 40, the most confused of them.
    """
    pairs = np.asarray(pairs)
    shown, title = _shown(pairs)
    matrix, count = pairs[np.ix_(shown, shown)], len(shown)
    share = matrix / np.maximum(1, pairs[shown].sum(axis=1, keepdims=True))
    labels = [one_line(names[label], LONGEST_NAME) for label in shown]
    side = max(4.0, 2.2 + 0.26 * count)
    with figure_file(path, dpi=130, figsize=(side + 2, side + 0.6)) as (figure, axes):
        image = axes.imshow(100 * share, cmap='Blues', vmin=0, vmax=100)
        axes.set_xticks(range(count), labels, rotation=90, fontsize=8)
        axes.set_yticks(range(count), labels, fontsize=8)
        axes.set_xlabel('answer')
        axes.set_ylabel('class')
        axes.set_title(title, fontsize=9)
        bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02, shrink=0.6, label='% of the class')
        bar.ax.tick_params(labelsize=8)
        for row, column in np.argwhere(matrix) if count <= MOST_COUNTS else ():
            axes.text(column, row, int(matrix[row, column]), ha='center', va='center', fontsize=7,
                      color='white' if share[row, column] > 0.5 else 'black')


def _shown(pairs):
    """``(labels to draw, title)``."""
    seen, right = pairs.sum(axis=1), pairs.diagonal()
    title = f'{int(right.sum())} of {int(seen.sum())} right'
    if len(pairs) <= MOST_DENSE:
        return np.arange(len(pairs)), title
    answered = pairs.sum(axis=0)
    there = np.flatnonzero(seen + answered)
    if len(there) <= MOST_DENSE:
        return there, title
    confused = seen + answered - 2 * right
    worst = np.argsort(-confused, kind='stable')[:MOST_DENSE]
    return np.sort(worst), f'{title}; the {MOST_DENSE} most confused of {len(there)} classes'
