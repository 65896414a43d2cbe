"""Data sets in COCO's format (https://cocodataset.org/#format-data), read in place: what detection and pose share."""
