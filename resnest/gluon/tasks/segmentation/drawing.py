"""Pictures beside what is where in them, with a legend of the classes that were found."""
import numpy as np

from resnest.gluon.figures import figure_file

__all__ = ['draw_pictures']

OPACITY = 0.6           # of the classes' colours over the picture
LONGEST_NAME = 28       # characters
MOST_LISTED = 14        # classes in the legend of a picture, the largest ones
LEAST_SHARE = 0.001     # of a picture, for a class in the legend


def draw_pictures(pictures, names, colours, path):
    """Write a figure with a row for each picture: the picture, its classes over it, and their legend.

    Parameters
    ----------
    pictures : list of (str, array, array)
        What to write over it, its pixels, uint8 ``(H, W, 3)``, and its labels ``(H, W)``.
    names : list of str
        Of the classes.
    colours : array
        Theirs, uint8 ``(classes, 3)``.
    path : str or Path
        Its ending is the format, one of :data:`resnest.gluon.figures.FIGURE_FORMATS`.

    Raises MissingPackage without matplotlib.
    """
    with figure_file(path, len(pictures), 2, dpi=120, squeeze=False,
                     figsize=(9.6, 3.2 * len(pictures))) as (_, axes):
        for row, (title, pixels, labels) in zip(axes, pictures):
            row[0].imshow(pixels)
            row[0].set_title(_cut(title), fontsize=9, loc='left', parse_math=False)
            row[1].imshow(overlay(pixels, colours[labels]))
            for each in row:
                each.set_axis_off()
            _list_classes(row[1], labels, names, colours)


def overlay(pixels, colours):
    """The colours ``(H, W, 3)`` over the picture in grey, whose brightness they keep in part; uint8."""
    grey = (pixels @ np.array([0.299, 0.587, 0.114]))[..., None]
    return (OPACITY * colours + (1 - OPACITY) * grey).round().astype(np.uint8)


def _list_classes(axes, labels, names, colours):
    from matplotlib.patches import Patch
    shares = np.bincount(labels.ravel(), minlength=len(names)) / labels.size
    shown = [label for label in np.argsort(-shares, kind='stable')[:MOST_LISTED] if shares[label] >= LEAST_SHARE]
    handles = [Patch(facecolor=colours[label] * (OPACITY / 255) + 0.5 * (1 - OPACITY), edgecolor='0.4', linewidth=0.5)
               for label in shown]
    texts = [f'{_cut(names[label], LONGEST_NAME)}  {100 * shares[label]:.1f} %' for label in shown]
    legend = axes.legend(handles, texts, loc='upper left', bbox_to_anchor=(1.01, 1.02), fontsize=8, frameon=False,
                         handlelength=1.2, handleheight=1.2)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _cut(text, most=40):
    text = text.encode('utf-8', 'replace').decode().replace('\n', ' ')        # names of files can be any bytes
    return text if len(text) <= most else f'{text[:most - 1]}…'
