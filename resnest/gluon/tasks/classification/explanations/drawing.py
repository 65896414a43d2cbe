"""Explanations as a figure: the picture, the map over it, and the weights of the splits block by block."""
import numpy as np

from resnest.gluon.figures import figure_file

__all__ = ['MOST_PICTURES', 'draw_explanations']

MOST_PICTURES = 8       # rows of a figure that is still one page
# Okabe and Ito (2008), https://jfly.uni-koeln.de/color/: told apart by all eyes; the markers help in grey print.
COLOURS = '#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9'
MARKERS = 'osD^vP'
DARKEST = 120           # how much lighter than black, out of 255, a picture is under its map
SHARP_BELOW = 64        # px; smaller pictures are shown pixel by pixel


def draw_explanations(images, explanations, captions, names, path):
    """Write a figure with one row for each picture.

    Parameters
    ----------
    images : array
        What the network saw, uint8 ``(N, H, W, 3)``.
    explanations : list of Explanation
    captions : list of str
        What to write over each picture.
    names : list of str
        Of the classes.
    path : str or Path
        Its ending is the format, one of :data:`resnest.gluon.figures.FIGURE_FORMATS`.

    Raises MissingPackage without matplotlib.
    """
    rows = len(images)
    charts = bool(explanations[0].attention)
    with figure_file(path, rows, 3 if charts else 2, dpi=150, squeeze=False,
                     figsize=(11.5 if charts else 6.2, 2.75 * rows + 0.45),
                     width_ratios=(1, 1.09, 2.3) if charts else (1, 1.09)) as (figure, axes):
        for row, (image, found, caption) in enumerate(zip(images, explanations, captions)):
            _picture(axes[row, 0], image, caption)
            shown = _overlay(axes[row, 1], image, found, names[found.label])
            bar = figure.colorbar(shown, ax=axes[row, 1], fraction=0.045, pad=0.02, ticks=(0, 1))
            bar.ax.set_yticklabels(('none', 'most'), fontsize=8)
            bar.outline.set_visible(False)
            if charts:
                _chart(axes[row, 2], found.attention, first=row == 0, last=row == rows - 1)


def _picture(axes, image, caption):
    axes.imshow(image, interpolation='nearest' if len(image) < SHARP_BELOW else 'antialiased')
    axes.set_title(_cut(caption), fontsize=9, loc='left', parse_math=False)
    axes.set_axis_off()


def _cut(text, most=25):
    text = text.encode('utf-8', 'replace').decode().replace('\n', ' ')        # names of files can be any bytes
    return text if len(text) <= most else f'{text[:most - 1]}…'


def _overlay(axes, image, found, name):
    """The picture in light grey under the map, smoothed between its positions."""
    height, width = image.shape[:2]
    extent = -0.5, width - 0.5, height - 0.5, -0.5
    grey = image @ np.array([0.299, 0.587, 0.114])
    axes.imshow(grey, cmap='gray', vmin=-DARKEST, vmax=255, extent=extent,
                interpolation='nearest' if len(image) < SHARP_BELOW else 'antialiased')
    shown = axes.imshow(found.cam, cmap=_heat(), vmin=0, vmax=1, extent=extent, interpolation='bilinear')
    axes.set_title(f'{_cut(name)}, {100 * found.probability:.1f} %', fontsize=9, loc='left', fontweight='bold',
                   parse_math=False)
    axes.text(0.5, -0.02, f'Grad-CAM of stage {found.stage} ({found.cam.shape[0]}×{found.cam.shape[1]})',
              transform=axes.transAxes, ha='center', va='top', fontsize=8)
    axes.set_axis_off()
    return shown


def _heat():
    """A colour map that is transparent at nothing."""
    from matplotlib import colormaps, colors
    shares = np.linspace(0, 1, 256)
    rgba = colormaps['inferno'](0.3 + 0.65 * shares)
    rgba[:, 3] = 0.7 * np.minimum(1, 1.5 * shares)
    return colors.ListedColormap(rgba)


def _chart(axes, attention, first, last):
    """Mean over the channels of each split's weight, and the range of the middle 80 % of the channels."""
    blocks = np.arange(1, len(attention) + 1)
    radix = len(attention[0].weights)
    many = len(blocks) > 40
    size = 2.5 if many else 5
    for split in range(radix):
        weights = [block.weights[split] for block in attention]
        shift = 0 if many else (split - (radix - 1) / 2) * 0.16
        low, high = (np.array([np.percentile(each, percent) for each in weights]) for percent in (10, 90))
        colour = COLOURS[split % len(COLOURS)]
        if many:
            axes.fill_between(blocks, low, high, color=colour, alpha=0.2, linewidth=0)
        else:
            axes.vlines(blocks + shift, low, high, color=colour, alpha=0.45, linewidth=0.7 * size)
        axes.plot(blocks + shift, [each.mean() for each in weights], color=colour, markersize=size, linewidth=1,
                  marker=MARKERS[split % len(MARKERS)], markeredgecolor='white', markeredgewidth=0.5,
                  label=f'split {split + 1}' if radix > 1 else 'gate')
    if radix > 1:
        axes.axhline(1 / radix, color='black', linewidth=0.8, linestyle=':', label='equal weights')
    stages = np.array([block.stage for block in attention])
    for stage in np.unique(stages):
        inside = blocks[stages == stage]
        if stage % 2 == 0:
            axes.axvspan(inside[0] - 0.5, inside[-1] + 0.5, color='black', alpha=0.05, linewidth=0)
        axes.text(inside.mean(), 1.02, f'stage {stage}', ha='center', va='bottom', fontsize=8,
                  transform=axes.get_xaxis_transform())
    axes.set(xlim=(0.5, len(blocks) + 0.5), ylim=(0, 1))
    axes.set_ylabel('attention weight', fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[['top', 'right']].set_visible(False)
    axes.xaxis.get_major_locator().set_params(integer=True)
    if first:
        axes.legend(fontsize=8, ncols=radix + 1, frameon=False, loc='lower center', bbox_to_anchor=(0.5, 1.09))
    if last:
        axes.set_xlabel('block (points: mean over the channels; shaded: the middle 80 % of them)', fontsize=9)
