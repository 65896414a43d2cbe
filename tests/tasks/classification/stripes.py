"""Pictures as people have them, of two classes that only a right decoding tells apart: stripes across and down.

Phone pictures lie turned in their files, with an EXIF tag; icons are transparent where their stripes are not, and black
underneath; scans have 16 bits.
"""
import io

import numpy as np
from PIL import Image

CLASSES = ['across', 'down']
TURNED = {1: 0, 3: 180, 6: 90, 8: 270}      # EXIF orientation: degrees anticlockwise from upright to the file's pixels


def stripes(down, rng, height=60, width=76):
    """Bool ``(height, width)``: stripes 5 to 9 px wide."""
    period = int(rng.integers(10, 19))
    lines = (np.arange(width if down else height) + rng.integers(period)) % period < period // 2
    return np.broadcast_to(lines if down else lines[:, None], (height, width))


def phone_picture(down, rng):
    """JPEG, its pixels turned by 0, 90, 180 or 270 degrees and a tag that says so."""
    pattern = stripes(down, rng)
    colours = rng.integers(0, 70, 3), rng.integers(150, 255, 3)
    image = Image.fromarray(np.where(pattern[..., None], *colours).astype('uint8'))
    orientation = list(TURNED)[rng.integers(len(TURNED))]
    exif = Image.Exif()
    exif[0x0112] = orientation
    return _encoded(image.rotate(TURNED[orientation], expand=True), 'jpeg', exif=exif), 'jpg'


def icon(down, rng):
    """PNG: black stripes, and black below what is transparent."""
    pixels = np.zeros((60, 76, 4), 'uint8')
    pixels[..., 3] = np.where(stripes(down, rng), 255, 0)
    return _encoded(Image.fromarray(pixels), 'png'), 'png'


def scan(down, rng):
    """PNG of 16-bit grey between 1,000 and 60,000."""
    low, high = rng.integers(1000, 15000), rng.integers(30000, 60000)
    return _encoded(Image.fromarray(np.where(stripes(down, rng), low, high).astype('uint16')), 'png'), 'png'


def write_stripes(folder, each, seed=0):
    """Write ``each`` pictures of every kind to ``folder/across`` and ``folder/down``, half of them to either."""
    rng = np.random.default_rng(seed)
    for kind in (phone_picture, icon, scan):
        for number in range(each):
            data, ending = kind(number % 2 == 1, rng)
            place = folder / CLASSES[number % 2] / f'{kind.__name__}{number:03d}.{ending}'
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)


def _encoded(image, format, **settings):
    buffer = io.BytesIO()
    image.save(buffer, format, **settings)
    return buffer.getvalue()
