"""Lists of numbers without an object of Python for each."""
from array import array

import numpy as np

__all__ = ['Packed']


class Packed:
    """Lists of values of different lengths in one array: ``packed[i]`` is that of the i-th."""

    def __init__(self, kind):
        self._values, self._ends = array(kind), array('q')

    def append(self, values):
        """Add a list; one that is no list of numbers is not added, and raises TypeError, ValueError or
        OverflowError."""
        before = len(self._values)
        try:
            self._values.extend(values)
        except (TypeError, ValueError, OverflowError):
            del self._values[before:]
            raise
        self._ends.append(len(self._values))

    def __len__(self):
        return len(self._ends)

    def extremes(self):
        """The least and the largest value of each list; none of them may be empty."""
        starts = np.concatenate([[0], np.array(self._ends)[:-1]])
        return (extreme.reduceat(np.array(self._values), starts) for extreme in (np.minimum, np.maximum))

    def __getitem__(self, index):
        return np.array(self._values[self._ends[index - 1] if index else 0:self._ends[index]],
                        self._values.typecode)
