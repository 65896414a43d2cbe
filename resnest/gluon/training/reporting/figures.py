"""Which figures of a run are shown, drawn and written, and by which of them its best weights are chosen."""
import math
from typing import NamedTuple, Optional

__all__ = ['Figure', 'Figures']


class Figure(NamedTuple):
    """A number of the rows of ``log.jsonl``, besides ``loss`` and ``lr``, which every run has."""
    key: str
    tag: str                        # of its TensorBoard events
    line: Optional[str] = None      # what it is called on the line of an epoch; None leaves it out there
    chart: Optional[str] = None     # title of its chart in curves.png, 'loss' for that of the loss; None: not drawn
    legend: Optional[str] = None    # what its curve is called there
    unit: str = ''
    digits: int = 2                 # after the point, on the line of an epoch


class Figures(NamedTuple):
    """Those of a task."""
    shown: tuple[Figure, ...]
    best: str                       # key of the figure by which best.params is chosen
    more_is_better: bool = True
    loss: str = 'loss'              # what the loss is, for its chart

    def better(self, one, other):
        """Whether the value ``one`` of the best figure is better than ``other``, or than none (None).

        What is not finite is never better, and anything finite is better than it.
        """
        if not math.isfinite(one) or other is None or not math.isfinite(other):
            return math.isfinite(one)
        return one > other if self.more_is_better else one < other
