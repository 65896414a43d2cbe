"""Pictures with skeletons."""
import colorsys

from PIL import Image, ImageDraw

__all__ = ['draw']

GOLDEN = 0.61803398875  # of the circle of hues, between one colour and the next


def draw(pixels, people, joints, least=0.2):
    """A PIL image of a picture uint8 ``(H, W, 3)`` with the joints of people.

    ``people`` are pairs of points ``(J, 2)``, in pixels of the picture, and their scores ``(J,)``; a joint is drawn,
    and a line of the skeleton ``joints.edges`` between two of them, if the scores are at least ``least``. Each person
    has a colour.
    """
    image = Image.fromarray(pixels).copy()
    pen, thick = ImageDraw.Draw(image), max(2, round(max(image.size) / 200))
    for number, (points, scores) in enumerate(people):
        colour = tuple(round(255 * part) for part in colorsys.hsv_to_rgb(number * GOLDEN % 1, 0.7, 1))
        sure = [score >= least for score in scores]
        places = [tuple(float(value) for value in point) for point in points]
        for one, other in joints.edges:
            if sure[one] and sure[other]:
                pen.line((*places[one], *places[other]), fill=colour, width=thick)
        for (x, y), drawn in zip(places, sure):
            if drawn:
                pen.ellipse((x - thick, y - thick, x + thick, y + thick), fill=colour, outline=(0, 0, 0))
    return image
