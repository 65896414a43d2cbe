"""Pictures with what was found in them: masks and boxes in colours, names and scores; segments as a coloured map."""
import colorsys

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from .geometry.boxes import are_whole, areas, clip
from .geometry.placing import Places

__all__ = ['colours_for', 'draw', 'draw_segments', 'mosaic']

LEAST_SIDE = 640        # pixels of the longer side of what is drawn: smaller pictures are enlarged
OPACITY, SEGMENT_OPACITY = 0.45, 0.6
GOLDEN = 0.61803398875  # of the circle of hues, between one colour and the next
LONGEST_NAME = 32       # characters
GAP = 8                 # pixels between the pictures of a mosaic
TILE = 800              # pixels, of the longer side of its pictures


def draw(pixels, found, names, masks=True):
    """A PIL image of a picture with its detections.

    Parameters
    ----------
    pixels : array
        uint8 ``(H, W, 3)``.
    found : Detections
        Those that are to be seen, in pixels of the picture; boxes that are empty or not finite are left out, others cut
        to the picture.
    names : list of str
        Of the classes.
    masks : bool
        Whether to draw the masks, if there are any.

    Each object has a colour of its own, the smaller ones lie above the larger ones. A label keeps away from the other
    labels and inside of the picture, where there is room.
    """
    height, width = pixels.shape[:2]
    boxes = np.asarray(found.boxes, 'float32')
    boxes = clip(np.where(are_whole(boxes)[:, None], boxes, 0), height, width)
    order = [row for row in np.argsort(-areas(boxes), kind='stable') if areas(boxes[row]) > 0]
    image, times = _enlarged(pixels)
    colours = colours_for(len(boxes))
    if masks and found.probabilities is not None:
        for row in order:
            top, left, mask = found.mask_piece(row)
            _tint(image, mask, (left, top), times, colours[row])
    pen, font = ImageDraw.Draw(image), _font(image.size)
    thick = max(2, round(max(image.size) / 400))
    for row in order:
        x0, y0, x1, y1 = (round(float(value) * times) for value in boxes[row])
        x1, y1 = max(x1 - 1, x0), max(y1 - 1, y0)
        if min(x1 - x0, y1 - y0) > 4 * thick:       # a dark line inside tells it from what has its colour
            inner = (x0 + thick, y0 + thick, x1 - thick, y1 - thick)
            pen.rectangle(inner, outline=tuple(part // 4 for part in colours[row]), width=1)
        pen.rectangle((x0, y0, x1, y1), outline=colours[row], width=thick)
    places = Places(image.size)
    for row in sorted(order, key=lambda row: -found.scores[row]):
        text = f'{_cut(names, found.classes[row])} {_per_cent(found.scores[row])}'
        places.label(pen, text, boxes[row] * times, colours[row], font)
    return image


def draw_segments(pixels, ids, segments, names):
    """A PIL image of a picture under the colours of its segments, which have white borders and bear their names.

    ``ids`` ``(H, W)`` are the numbers of the segments, 0 for none; ``segments`` are dicts with ``id`` and
    ``category_id``, and ``names`` is a dict from ``category_id``. A kind of stuff has the same colour in any picture.
    """
    image, times = _enlarged(pixels)
    colours = np.zeros((max([0, *(each['id'] for each in segments)]) + 1, 3), np.uint8)
    things = iter(colours_for(len(segments)))
    for each in segments:
        thing = each.get('isthing', 1)
        colours[each['id']] = next(things) if thing else colours_for(each['category_id'] + 1, 0.45, 0.75)[-1]
    painted = Image.fromarray(colours[ids]).resize(image.size, Image.NEAREST)
    known = Image.fromarray(np.where(ids > 0, round(255 * SEGMENT_OPACITY), 0).astype(np.uint8))
    image.paste(painted, (0, 0), known.resize(image.size, Image.NEAREST))
    edges = np.zeros(ids.shape, bool)
    edges[1:] |= ids[1:] != ids[:-1]
    edges[:, 1:] |= ids[:, 1:] != ids[:, :-1]
    image.paste((255, 255, 255), (0, 0), Image.fromarray((200 * edges).astype(np.uint8)).resize(image.size))
    pen, font, places = ImageDraw.Draw(image), _font(image.size), Places(image.size)
    for each in sorted(segments, key=lambda each: -each['area']):
        place = _middle(ids == each['id'])
        if place:
            x, y = (float(value) * times for value in place)
            places.label(pen, _cut(names, each['category_id']), (x, y, x, y), tuple(map(int, colours[each['id']])),
                         font, centred=True)
    return image


def mosaic(images, columns=2):
    """PIL images side by side, each in a field of the same size, on white."""
    images = [image.copy() for image in images]
    for image in images:
        image.thumbnail((TILE, TILE))
    columns = min(columns, len(images))
    width, height = (max(image.size[axis] for image in images) for axis in (0, 1))
    rows = -(-len(images) // columns)
    whole = Image.new('RGB', (columns * (width + GAP) - GAP, rows * (height + GAP) - GAP), 'white')
    for place, image in enumerate(images):
        row, column = divmod(place, columns)
        whole.paste(image, (column * (width + GAP) + (width - image.width) // 2,
                            row * (height + GAP) + (height - image.height) // 2))
    return whole


def colours_for(count, saturation=0.9, value=1.0):
    """``count`` colours, RGB from 0 to 255, of which each is far from those just before it."""
    made = []
    for place in range(count):
        hue = (0.6 + place * GOLDEN) % 1
        dim = (1, 0.72, 0.86)[place // 5 % 3]
        made.append(tuple(round(255 * part) for part in colorsys.hsv_to_rgb(hue, saturation, value * dim)))
    return made


def _enlarged(pixels):
    """The picture as an image at least as large as what is drawn needs, and how many times as large it is."""
    image = Image.fromarray(np.ascontiguousarray(pixels)).convert('RGB')
    times = max(1.0, LEAST_SIDE / max(image.size))
    if times > 1:
        image = image.resize([max(1, round(side * times)) for side in image.size], Image.BICUBIC)
    return image, times


def _tint(image, mask, corner, times, colour):
    """Lay a colour over the part of the image that a mask covers, and a line around it."""
    if not mask.any():
        return
    size = [max(1, round(side * times)) for side in mask.shape[::-1]]
    place = [round(side * times) for side in corner]
    shape = Image.fromarray(mask.astype(np.uint8) * 255).resize(size, Image.BILINEAR)
    shape = shape.point(lambda value: 255 if value > 127 else 0)
    image.paste(colour, place, shape.point(lambda value: value * OPACITY))
    side = 2 * max(1, round(max(image.size) / 640)) + 1
    image.paste(colour, place, ImageChops.subtract(shape, shape.filter(ImageFilter.MinFilter(side))))


def _font(size):
    return ImageFont.load_default(max(15, round(max(size) / 50)))


def _per_cent(score):
    return f'{100 * float(score):.0f}%'


def _cut(names, kind):
    """The name of a class, or its number."""
    try:
        text = names[int(kind)]
    except (IndexError, KeyError):
        text = int(kind)
    text = str(text).encode('utf-8', 'replace').decode().replace('\n', ' ')
    return text if len(text) <= LONGEST_NAME else f'{text[:LONGEST_NAME - 1]}…'


def _middle(mask):
    """A place ``(x, y)`` well inside of a mask: the middle of its longest run in the row that is half way down."""
    counts = mask.sum(1)
    if not counts.any():
        return None
    row = int(np.searchsorted(np.cumsum(counts), counts.sum() / 2))
    steps = np.diff(np.concatenate([[0], mask[row].astype(np.int8), [0]]))
    starts, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    longest = (ends - starts).argmax()
    return (starts[longest] + ends[longest]) / 2, row + 0.5
