"""What is in one picture: the boxes, classes and masks of its objects, and the kind of each of its pixels."""
from dataclasses import dataclass, replace
from typing import Optional

import numpy as np

__all__ = ['IGNORED', 'Truth']

IGNORED = 255       # the kind of a pixel that no loss counts
LEAST_SIDE = 1e-5   # pixels


@dataclass(frozen=True)
class Truth:
    """The ground truth of a picture of ``H`` × ``W`` pixels with ``G`` objects.

    ``boxes`` are float32 ``(G, 4)``: left, top, right, bottom in continuous pixels, the pixel in row ``i`` and column
    ``j`` covering ``[j, j + 1] × [i, i + 1]``. ``classes`` are int32 ``(G,)``. ``masks`` is None or a list with one
    entry per object: a list of polygons, float32 ``(points, 2)`` of x and y in pixels, or a bool array ``(H, W)``.
    ``kinds`` is None or uint8 ``(H, W)``: 0 for any thing, from 1 on the stuff, 255 where it is ignored.
    """
    boxes: np.ndarray
    classes: np.ndarray
    masks: Optional[list] = None
    kinds: Optional[np.ndarray] = None

    def __len__(self):
        return len(self.boxes)

    def whole(self):
        """The same without objects whose box or mask has no area."""
        good = (self.boxes[:, 2:] - self.boxes[:, :2] > LEAST_SIDE).all(-1)
        if self.masks is not None:
            good &= np.array([bool(shape) if isinstance(shape, list) else shape.any() for shape in self.masks], bool)
        if good.all():
            return self
        return replace(self, boxes=self.boxes[good], classes=self.classes[good], masks=self.masks and [
            shape for shape, stays in zip(self.masks, good) if stays])
