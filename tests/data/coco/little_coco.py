"""A few pictures with objects of every kind, in COCO's layout."""
import json

import numpy as np
from PIL import Image

SIZES = [(40, 60), (60, 40), (48, 48), (30, 50)]        # height, width
CATEGORIES = [{'id': 7, 'name': 'cat'}, {'id': 3, 'name': 'dog'}, {'id': 90, 'name': 'kite'}]
STUFF = [{'id': 184, 'name': 'tree', 'isthing': 0}, {'id': 92, 'name': 'banner', 'isthing': 0}]


def runs(mask):
    """Run lengths by a loop."""
    counts, value = [0], False
    for pixel in mask.ravel(order='F'):
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return {'size': list(mask.shape), 'counts': [int(count) for count in counts]}


def annotation(number, image, category, box, segmentation, **rest):
    return {'id': number, 'image_id': image, 'category_id': category, 'bbox': box, 'iscrowd': 0,
            'area': box[2] * box[3] * 0.6, 'segmentation': segmentation, **rest}


def instances():
    """Image 4 has no object, 2 a crowd besides one; the annotations are in no order."""
    blob = np.zeros(SIZES[1], bool)
    blob[5:20, 8:30] = True
    crowd = np.zeros(SIZES[1], bool)
    crowd[30:, :] = True
    return {'info': {'year': 2017}, 'categories': CATEGORIES,
            'annotations': [
                annotation(12, 2, 3, [8, 5, 22, 15], runs(blob)),
                annotation(10, 1, 7, [4.5, 6, 20, 30], [[4.5, 6, 24.5, 6, 24.5, 36, 4.5, 36]]),
                annotation(11, 1, 90, [30, 2, 25, 35.5], [[30, 2, 55, 2, 55, 37.5], [30, 30, 40, 30, 35, 37.5],
                                                          [1, 2, 3, 4]]),
                annotation(13, 2, 7, [0, 30, 40, 30], runs(crowd), iscrowd=1),
                annotation(14, 3, 7, [10, 10, 0, 12], [[10, 10, 10, 22, 10, 15]]),
                annotation(15, 3, 3, [10, 10, 30.25, 12], [[10, 10, 40.25, 10, 25, 22]])],
            'images': [{'id': number, 'file_name': f'{number:04d}.png', 'height': height, 'width': width}
                       for number, (height, width) in zip((3, 1, 2, 4), (SIZES[2], SIZES[0], SIZES[1], SIZES[3]))]}


def write(root, found=None, split='val', year='2017'):
    """Write it below ``root``; returns the path of the annotations."""
    rng = np.random.default_rng(3)
    folder, found = root / f'{split}{year}', found or instances()
    folder.mkdir(parents=True, exist_ok=True)
    for image in instances()['images']:
        Image.fromarray(rng.integers(0, 256, (image['height'], image['width'], 3), dtype=np.uint8)).save(
            folder / image['file_name'])
    path = root / 'annotations' / f'instances_{split}{year}.json'
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(found))
    return path


def write_panoptic(path):
    """Segments beside the instances of ``path``: each picture has its left quarter unlabelled, a thing above, stuff
    below; returns the maps of segments' ids by image."""
    panoptic = path.with_name(path.name.replace('instances', 'panoptic'))
    folder, annotations, maps = panoptic.with_suffix(''), [], {}
    folder.mkdir()
    for image in instances()['images']:
        ids = np.zeros((image['height'], image['width']), np.int64)
        ids[:20, 10:], ids[20:, 10:30], ids[20:, 30:] = 70000 + image['id'], 5, 300
        Image.fromarray(np.stack([ids % 256, ids // 256 % 256, ids // 65536], -1).astype(np.uint8)).save(
            folder / f"{image['id']}.png")
        annotations.append({'image_id': image['id'], 'file_name': f"{image['id']}.png", 'segments_info': [
            {'id': 70000 + image['id'], 'category_id': 7, 'iscrowd': 0}, {'id': 5, 'category_id': 184, 'iscrowd': 0},
            {'id': 300, 'category_id': 92, 'iscrowd': 0}]})
        maps[image['id']] = ids
    panoptic.write_text(json.dumps({'annotations': annotations, 'images': [],
                                    'categories': [dict(each, isthing=1) for each in CATEGORIES] + STUFF}))
    return maps
