"""The operations of AutoAugment and RandAugment as formulas in NumPy, by what each does to the pixels."""
import numpy as np
from PIL import Image


def picture(seed, low=20, high=220):
    """Smooth, with colours of its own, 37 pixels wide and 29 high."""
    small = np.random.default_rng(seed).integers(low, high, (6, 8, 3)).astype('uint8')
    return np.asarray(Image.fromarray(small).resize((37, 29), Image.BICUBIC))


def formula(name, pixels, amount=None):
    """An operation by the amount that it has in the end: degrees, a slope, pixels, a factor, bits, a threshold."""
    x = pixels.astype(float)
    height, width = pixels.shape[:2]
    if name in ('AutoContrast', 'Equalize'):
        one = _equalized if name == 'Equalize' else _stretched
        return np.stack([one(pixels[..., channel]) for channel in range(3)], axis=-1)
    other = {'Brightness': lambda: 0 * x, 'Color': lambda: _grey(x), 'Sharpness': lambda: _smoothed(x),
             'Contrast': lambda: np.floor(_grey(x).mean() + 0.5)}.get(name)
    if other:
        start = np.asarray(other(), dtype='float32')       # the precision of Pillow: 16.9999999 is 17
        return _uint8(start + np.float32(amount) * (x.astype('float32') - start))
    if name == 'Rotate':
        cos, sin = np.cos(np.deg2rad(amount)), np.sin(np.deg2rad(amount))
        return _uint8(_sampled(x, lambda down, right: (cos * down + sin * right, cos * right - sin * down)))
    return _uint8({
        'Posterize': lambda: pixels // 2 ** (8 - amount) * 2 ** (8 - amount),
        'Solarize': lambda: np.where(x < amount, x, 255 - x),
        'SolarizeAdd': lambda: np.where(x < 128, x + amount, x),
        'Invert': lambda: 255 - x,
        'ShearX': lambda: _sampled(x, lambda down, right: (down, right + amount * (down + height / 2))),
        'ShearY': lambda: _sampled(x, lambda down, right: (down + amount * (right + width / 2), right)),
        'TranslateX': lambda: _sampled(x, lambda down, right: (down, right + amount)),
        'TranslateY': lambda: _sampled(x, lambda down, right: (down + amount, right))}[name]())


def close(found, wanted):
    """Whether all but a few values differ by one at most: one that lies on a step may fall on either side of it, and
    Equalize makes steps of 1 larger."""
    difference = np.abs(np.asarray(found).astype(int) - wanted)
    return (difference.max(axis=2) <= 1).mean() > 0.98 and difference.mean() < 0.06


def _uint8(values):
    return np.asarray(values).clip(0, 255).astype('uint8')


def _equalized(channel):
    """Each value to the share of values up to it (half of its own step counted), as the histogram steps."""
    counts = np.bincount(channel.ravel(), minlength=256)
    step = (counts.sum() - counts[channel.max()]) // 255
    if not step:
        return channel
    return _uint8((step // 2 + np.cumsum(counts) - counts) // step)[channel]


def _stretched(channel):
    low, high = int(channel.min()), int(channel.max())
    return _uint8((channel.astype(float) - low) * 255 / (high - low) + 1e-9)


def _grey(x):
    return np.floor(x @ [0.299, 0.587, 0.114] + 0.5)[..., None]


def _smoothed(x):
    """The mean of 3 × 3 with a weight of 5 in the middle; the border stays."""
    whole = x.copy()
    for row in range(1, x.shape[0] - 1):
        for column in range(1, x.shape[1] - 1):
            window = x[row - 1:row + 2, column - 1:column + 2]
            whole[row, column] = np.floor((window.sum(axis=(0, 1)) + 4 * x[row, column]) / 13 + 0.5)
    return whole


def _sampled(x, source):
    """Bilinear samples, rounded down, at ``source(down, right)`` of each place, from the centre; grey outside."""
    height, width = x.shape[:2]
    down, right = np.mgrid[:height, :width] - np.array([(height - 1) / 2, (width - 1) / 2])[:, None, None]
    rows, columns = source(down, right)
    rows, columns = rows + (height - 1) / 2, columns + (width - 1) / 2
    top, left, found = np.floor(rows).astype(int), np.floor(columns).astype(int), 0
    for r, c in np.ndindex(2, 2):
        weights = np.abs(1 - r - (rows - top)) * np.abs(1 - c - (columns - left))
        found = found + weights[..., None] * x[(top + r).clip(0, height - 1), (left + c).clip(0, width - 1)]
    inside = (rows >= -0.5) & (rows < height - 0.5) & (columns >= -0.5) & (columns < width - 0.5)
    return np.where(inside[..., None], found + 1e-9, 128)
