"""Where the images and the maps of a data set lie: the layouts that are told apart by the folders that are there."""
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from resnest.errors import InputError
from resnest.gluon.data.images.class_folders import images_below
from resnest.reading import one_line, read_text

__all__ = ['LAYOUTS', 'Layout', 'find_layout', 'list_pairs', 'two_folders']

MAPS = ('maps', 'annotations', 'masks', 'labels')       # what people call the folder of their maps


@dataclass(frozen=True)
class Layout:
    """``images`` and ``maps`` are folders below the root of a data set; in them and in ``listing``, a file with the
    names of a split's images, ``{split}`` stands for its name, the first of ``splits`` for training. ``endings`` are
    those of the names of an image and of a map, before their suffix; without them the names are the same. ``inside``
    are folders below which the rest may lie, and ``legend`` is the one of :mod:`.legend`, if any."""
    name: str
    images: str
    maps: str
    splits: tuple = ('train', 'val')
    endings: tuple = ('', '')
    listing: str = ''
    inside: tuple = ()
    legend: str = ''

    def has_val(self, root):
        """Whether the data set has a validation split of its own."""
        named = self.listing or (self.images if '{split}' in self.images else '')
        return bool(named) and (root / named.format(split=self.split('val'))).exists()

    def split(self, name):
        """What ``'train'`` or ``'val'`` is called here."""
        return self.splits[('train', 'val').index(name)]

    def folders(self, root, split):
        """``(folder of images, folder of maps)`` of ``'train'`` or ``'val'``."""
        return tuple(root / part.format(split=self.split(split)) for part in (self.images, self.maps))


PUBLISHED = (
    # http://sceneparsing.csail.mit.edu
    Layout('ADE20K', 'images/{split}', 'annotations/{split}', ('training', 'validation'),
           inside=('ADEChallengeData2016',), legend='ade20k'),
    # https://www.cityscapes-dataset.com
    Layout('Cityscapes', 'leftImg8bit/{split}', 'gtFine/{split}', endings=('_leftImg8bit', '_gtFine_labelIds'),
           legend='cityscapes'),
    # http://host.robots.ox.ac.uk/pascal/VOC/voc2012
    Layout('Pascal VOC', 'JPEGImages', 'SegmentationClass', listing='ImageSets/Segmentation/{split}.txt',
           inside=('VOC2012', 'VOCdevkit/VOC2012'), legend='pascal_voc'),
)
FOLDERS = tuple(Layout(f'{images} beside {maps}', images, maps) for name in MAPS for images, maps in (
    ('images/{split}', f'{name}/{{split}}'), ('{split}/images', f'{{split}}/{name}'),
    ('{split}', f'{name}/{{split}}'), ('images', name)))
LAYOUTS = PUBLISHED + FOLDERS
KNOWN = ('known are ADE20K (images/training beside annotations/training), Cityscapes (leftImg8bit beside gtFine), '
         'Pascal VOC (JPEGImages beside SegmentationClass), and images/train, images or train beside maps/train or '
         'maps')


def find_layout(root):
    """``(layout, its folder)`` of the data set in ``root``; raises InputError where no layout fits."""
    root = Path(os.path.expanduser(root))       # unlike pathlib's, it raises for no name whatever
    if not root.is_dir():
        raise InputError(f'{one_line(root)}: no such folder')
    without = None
    for layout in LAYOUTS:
        for folder in (root, *(root / each for each in layout.inside)):
            images, maps = layout.folders(folder, 'train')
            if images.is_dir() and maps.is_dir():
                return layout, folder
            without = without or (images.is_dir() and (images, maps))
    if without:
        images, maps = without
        raise InputError(f'{one_line(root)}: a data set with no maps: there is {one_line(images)}, but not '
                         f'{one_line(maps)}; {KNOWN}')
    raise InputError(f'{one_line(root)}: no layout of segmentation data; {KNOWN}')


def two_folders(images, maps):
    """``(layout, root)`` of a folder of images and one of maps, each with ``train/`` and ``val/`` in it or neither."""
    images, maps = (Path(os.path.expanduser(path)).absolute() for path in (images, maps))
    for folder in (images, maps):
        if not folder.is_dir():
            raise InputError(f'{one_line(folder)}: no such folder')
    end = '/{split}' if (images / 'train').is_dir() and (maps / 'train').is_dir() else ''
    escaped = (str(folder).replace('{', '{{').replace('}', '}}') + end for folder in (images, maps))
    return Layout('two folders', *escaped), Path('/')


def list_pairs(layout, root, split, foreign):
    """Yield ``(path of an image, path of its map)`` of a split, by name or in the order of the listing.

    Paths of pictures that are not decoded here go into the list ``foreign``. Raises InputError that names the first
    image without a map, two images of one name, a name in the listing without an image, and an empty folder.
    """
    folders = layout.folders(root, split)
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f'{one_line(folder)}: no such folder, though the layout, {layout.name}, has one for '
                             f'each split; add it, or hold some images out by --val-fraction')
    images, maps = (_by_name(folder, ending, found) for folder, ending, found in
                    zip(folders, layout.endings, (foreign, [])))
    if not images:
        raise InputError(f'{one_line(folders[0])}: no images in this folder')
    if not maps:
        raise InputError(f'{one_line(folders[1])}: no maps in this folder')
    names = sorted(images)
    if layout.listing:
        names = _listed(root / layout.listing.format(split=layout.split(split)), images)
    without = [name for name in names if name not in maps]
    if without:
        first = without[0]
        more = f', and so for {len(without) - 1} more' if len(without) > 1 else ''
        raise InputError(f'{one_line(folders[0] / (first + images[first]), 1000)}: its map is missing, '
                         f'{one_line(folders[1] / f"{first}{layout.endings[1]}.png", 1000)}{more}')
    for name in names:
        yield folders[0] / (name + images[name]), folders[1] / (name + maps[name])


def _by_name(folder, ending, foreign):
    """``{name: rest}`` of the pictures below a folder whose names have an ending; the rest is that and the suffix."""
    found = {}
    for path in images_below(folder, foreign):
        name, rest = path.relative_to(folder).with_suffix('').as_posix(), ending + path.suffix
        if not name.endswith(ending):
            continue
        name = name[:len(name) - len(ending)]
        if name in found:
            raise InputError(f'{one_line(path, 1000)}: {one_line(Path(name + found[name]).name)} has the same name, so '
                             f'that they could not be told apart; remove one of them')
        found[name] = sys.intern(rest)      # a string for all of them
    return found


def _listed(path, images):
    names = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    unknown = next((name for name in names if name not in images), None)
    if unknown is not None or not names:
        raise InputError(f'{one_line(path)}: ' + (f'{one_line(unknown)} has no image' if names else 'names no image'))
    return names
