"""Which figures of a run are shown, drawn and written, and by which of them its best weights are chosen."""
import math
from typing import NamedTuple, Optional

from resnest.errors import SharedError
from resnest.reading import one_line

__all__ = ['Figure', 'Figures']


class Figure(NamedTuple):
    """A number of the rows of ``log.jsonl``, besides ``loss`` and ``lr``, which every run has."""
    key: str
    tag: str                        # of its TensorBoard events
    line: Optional[str] = None      # what it is called on the line of an epoch; None leaves it out there
    chart: Optional[str] = None     # title of its chart in curves.png, 'loss' for that of the loss; None: not drawn
    legend: Optional[str] = None    # what its curve is called there
    unit: str = ''
    digits: int = 2                 # after the point
    best: Optional[str] = None      # 'highest' or 'lowest', where best.params may be chosen by it

    def format(self, name, value):
        """``'val 75.12 %'``."""
        return f'{name} {value:.{self.digits}f} {self.unit}'.rstrip()


class Figures(NamedTuple):
    """Those of a task."""
    shown: tuple[Figure, ...]
    best: str                       # key of the figure by which best.params is chosen unless --best names another
    loss: str = 'loss'              # what the loss is, for its chart
    tie: Optional[str] = None       # key of the figure that decides between equal best ones

    def __repr__(self):
        return f"Figures({', '.join(figure.key for figure in self.shown)}; best: {self.best})"

    def by(self, key):
        """The same, with another figure by which best.params is chosen; raises InputError where it cannot be."""
        choices = [figure.key for figure in self.shown if figure.best]
        if key is not None and key not in choices:
            raise SharedError(f"--best must be one of {', '.join(choices)}, got {one_line(key, 60)}")
        return self._replace(best=key or self.best)

    def of(self, key):
        """The figure of a key."""
        return next(figure for figure in self.shown if figure.key == key)

    def better(self, row, other):
        """Whether the figures of ``row`` are better than those of ``other``, or than none (None).

        The best figure decides, between equal ones :attr:`tie` does. What is not finite is never better, and anything
        finite is better than it.
        """
        for key in filter(None, (self.best, self.tie)):
            one, two = row.get(key, math.nan), math.nan if other is None else other.get(key, math.nan)
            if not (math.isfinite(one) and one == two):
                more = self.of(key).best != 'lowest'
                return math.isfinite(one) and (not math.isfinite(two) or (one > two if more else one < two))
        return False

    def best_of(self, rows):
        """The first of the rows that no other is better than; None where none has a figure that is finite."""
        best = None
        for row in rows:
            if self.better(row, best):
                best = row
        return best
