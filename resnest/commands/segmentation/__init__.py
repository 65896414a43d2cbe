"""The commands of semantic segmentation."""
