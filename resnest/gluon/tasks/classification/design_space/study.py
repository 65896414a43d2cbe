"""A study of design spaces: networks of each are trained alike, and the distributions of their errors are set side by
side (Radosavovic et al., 2020, https://arxiv.org/abs/2003.13678, section 3.1)."""
import json
from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path

import numpy as np

from resnest.errors import InputError, MissingPackage
from resnest.files import replace_file
from resnest.gluon.streams import BOOTSTRAP, generator
from resnest.reading import one_line

from ..ablation.rows import Row, read_result, train_rows
from .networks import MODEL, Networks
from .pictures import draw_distributions, draw_parameters
from .spaces import SPACES

__all__ = ['Study', 'band', 'best_range', 'distribution', 'rows_of']

RESAMPLINGS = 1000
SHARE = 95          # per cent of the resamplings that lie in a band
ALIKE = 3           # networks that are refused in the same words: what they share is at fault
REFUSED = 'exit code 2: '
PART = 0.25         # of the networks, of which the best one is looked at in each resampling


def rows_of(name, networks, values):
    """A row of an ablation for each network of the space ``name``, with the options ``values`` of the recipe besides.

    Raises InputError where those have a model, or other fields of it: the networks differ in these.
    """
    for field in ('model', 'model_options', 'resume_params'):
        if values.get(field) is not None:
            raise InputError(f'--{field.replace("_", "-")}: the space has the networks; leave it out')
    return [Row(f'{name} {index:04}', {**values, 'model': MODEL, 'model_options': networks.options(index)})
            for index in range(len(networks))]


def distribution(errors):
    """``(values, shares)``: the errors in ascending order, and the share of networks whose error is at most that."""
    values = np.sort(np.asarray(errors, float))
    return values, np.arange(1, len(values) + 1) / len(values)


def band(errors, random):
    """Limits ``(low, high)`` of the distribution at its values: of the shares of resamplings, the middle 95 %."""
    values = np.sort(np.asarray(errors, float))
    drawn = np.sort(random.choice(values, (RESAMPLINGS, len(values))), axis=1)
    shares = np.stack([np.searchsorted(each, values, side='right') for each in drawn]) / len(values)
    return np.percentile(shares, ((100 - SHARE) / 2, (100 + SHARE) / 2), axis=0)


def best_range(errors, parameter, random):
    """``(low, middle, high)`` of a parameter of the best network: the median and the middle 95 % of resamplings.

    Each takes a quarter of the networks, with replacement, and of them the one of the least error (section 3.1).
    """
    errors, parameter = np.asarray(errors, float), np.asarray(parameter)
    drawn = random.integers(len(errors), size=(RESAMPLINGS, max(1, round(PART * len(errors)))))
    best = parameter[drawn[np.arange(RESAMPLINGS), errors[drawn].argmin(axis=1)]]
    return tuple(np.percentile(best, ((100 - SHARE) / 2, 50, (100 + SHARE) / 2)))


class Study:
    """Networks of spaces, ``{name: Networks}``, the recipe's options ``values`` for all, and what is found of them.

    ``settings`` (``seed``, ``size`` and ``classes`` among them) are what the sampling was asked for, which goes into
    the files. ``rows`` are those of an ablation, the first network of each space first.
    """

    def __init__(self, spaces, values, settings):
        self.spaces, self.settings = spaces, settings
        self._of = {name: rows_of(name, networks, values) for name, networks in spaces.items()}
        self.rows = [row for each in zip_longest(*self._of.values()) for row in each if row]

    def train(self, out, command, say=print, rank=0, size=1):
        """Train the networks that are not finished, :meth:`write` after each, and :meth:`draw` at the end.

        It writes into ``out`` what :func:`..ablation.rows.train_rows` does for each network, and returns what that
        does. Of ``size`` processes that work in one folder each takes a share of the networks. Raises InputError where
        the first ones are refused in the same words, for data that are not there: so would be the others.
        """
        lock, mine = Path(out, f'.rank-{rank}') if size > 1 else None, self.rows[rank::size]

        def write(*_):
            self.write(out)
            first = [row.failure or '' for row in mine[:ALIKE]]
            if first == first[:1] * ALIKE and first[0].startswith(REFUSED):
                raise InputError(f'the first {ALIKE} networks were refused alike: {first[0][len(REFUSED):]}')

        code = train_rows(self.rows, mine, out, command, say, write, lock)
        self.draw(out, say)
        return code

    def write(self, out):
        """Write ``design_space.json``: what is known by now, by other processes too."""
        for row in self.rows:
            if row.top1 is None and row.failure is None:
                read_result(row, out)
        replace_file(Path(out, 'design_space.json'), json.dumps(self.summary(), indent=1) + '\n')

    def draw(self, out, say=print):
        """Write all that there is to see: ``design_space.json``, ``distributions.png`` and ``parameters.png``."""
        self.write(out)
        spaces = {name: found for name, found in self.summary()['spaces'].items() if 'distribution' in found}
        if not spaces:
            return
        try:
            draw_distributions(spaces, Path(out, 'distributions.png'))
            draw_parameters(spaces, Path(out, 'parameters.png'))
        except MissingPackage as error:
            say(f'note: no pictures: {one_line(error)}')

    def summary(self):
        """What is known of each space, for JSON: its networks, the distribution of their errors, the best ones."""
        found = {}
        for name, networks in self.spaces.items():
            costs = networks.multiply_adds(self.settings['size'], self.settings['classes'])
            listed = [{'name': row.name, **{each: getattr(networks, each)[index].tolist() for each in
                                            Networks.PARAMETERS}, 'multiply_adds': int(costs[index]),
                       'error': None if row.top1 is None else 100 - row.top1, 'failure': row.failure}
                      for index, row in enumerate(self._of[name])]
            trained = [each for each in listed if each['error'] is not None]
            found[name] = {'space': asdict(SPACES[name]), 'networks': listed}
            if trained:
                found[name].update(_figures(trained, self.settings['seed'], [*SPACES].index(name)))
        return {'settings': self.settings, 'spaces': found}

    def table(self):
        """A Markdown table: the networks of each space that are trained, their least and their mean error."""
        lines = ['| space | networks | trained | failed | least error (%) | mean error (%) |',
                 '| --- | ---: | ---: | ---: | ---: | ---: |']
        for name, rows in self._of.items():
            errors = [100 - row.top1 for row in rows if row.top1 is not None]
            figures = [f'{min(errors):.2f}', f'{np.mean(errors):.2f}'] if errors else ['', '']
            failed = sum(row.failure is not None for row in rows)
            lines.append(f"| {' | '.join([name, *map(str, (len(rows), len(errors), failed)), *figures])} |")
        return '\n'.join(lines) + '\n'


def _figures(trained, seed, number):
    errors = [each['error'] for each in trained]
    values, shares = distribution(errors)
    low, high = band(errors, generator(BOOTSTRAP, seed, number))
    best = {}
    for name in Networks.PARAMETERS:
        columns = np.array([each[name] for each in trained])
        best[name] = [best_range(errors, column, generator(BOOTSTRAP, seed, number)) for column in columns.T]
    return {'distribution': {'error': values.tolist(), 'share': shares.tolist(), 'low': low.tolist(),
                             'high': high.tolist()},
            'least': min(errors), 'mean': float(np.mean(errors)), 'best': best}
