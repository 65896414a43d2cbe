"""The data of semantic segmentation: layouts, maps and their legends, transforms, batches."""
from .legend import IGNORED, Legend, colour_map, known_legend, numbered_legend
from .loading import MapLoader
from .map_set import MapSet, default_fraction, is_known, open_maps
from .transforms import CentralCrop, RandomCrop, Whole

__all__ = ['IGNORED', 'CentralCrop', 'Legend', 'MapLoader', 'MapSet', 'RandomCrop', 'Whole', 'colour_map',
           'default_fraction', 'is_known', 'known_legend', 'numbered_legend', 'open_maps']
