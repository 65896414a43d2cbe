"""Where labels stand in a picture, so that they can be read."""
import numpy as np

__all__ = ['Places']

PADDING = 0.2           # of the height of a label's letters


class Places:
    """The labels of one picture of ``size`` (width, height): each keeps away from those before it where there is
    room."""

    def __init__(self, size):
        self._size, self._taken = size, []

    def label(self, pen, text, box, colour, font, centred=False):
        """Write ``text`` on a plate of a colour near the ``box`` (x0, y0, x1, y1): above it, below it, inside or beside
        it, wherever it covers least of the others; ``centred`` is in the middle of it first."""
        left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
        around = max(2, round(PADDING * (bottom - top)))
        width, height = right - left + 2 * around, bottom - top + 2 * around
        x, y = self._choose(*map(float, box), width, height, centred)
        self._taken.append((x, y, x + width, y + height))
        pen.rectangle((x, y, x + width - 1, y + height - 1), fill=colour)
        light = np.dot(colour, (0.299, 0.587, 0.114)) > 140
        pen.text((x + around - left, y + around - top), text, fill='black' if light else 'white', font=font)

    def _choose(self, x0, y0, x1, y1, width, height, centred):
        middle = (x0 + x1 - width) / 2
        wished = [((x0 + x1 - width) / 2, (y0 + y1 - height) / 2)] if centred else []
        wished += [(x0, y0 - height), (x0, y0), (x0, y1), (x0, y1 - height), (x1 - width, y0 - height),
                   (x1 - width, y0), (x1 - width, y1), (x1 - width, y1 - height), (middle, y0 - height), (middle, y1),
                   (x1, y0), (x0 - width, y0), (x1, y1 - height), (x0 - width, y1 - height)]
        wished += [(x0, y0 + step * height) for step in (1, 2, 3)] + [(x0, y0 - step * height) for step in (2, 3)]
        most_x, most_y = (max(0, side - own) for side, own in zip(self._size, (width, height)))
        best = None
        for x, y in wished:
            inside = round(min(max(x, 0), most_x)), round(min(max(y, 0), most_y))
            moved = abs(inside[0] - x) + abs(inside[1] - y)
            covered = sum(_common((*inside, inside[0] + width, inside[1] + height), other) for other in self._taken)
            cost = covered + moved * height / 4
            if best is None or cost < best[0]:
                best = cost, inside
            if cost < height:
                break
        return best[1]


def _common(one, other):
    width, height = (min(one[axis + 2], other[axis + 2]) - max(one[axis], other[axis]) for axis in (0, 1))
    return max(width, 0) * max(height, 0)
