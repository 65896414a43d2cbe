"""Exact AP of boxes and masks, and panoptic quality, of a detector; horovodrun -np N shares the pictures out."""
from resnest.commands.detection.verify import main
from resnest.errors import run_command

if __name__ == '__main__':
    run_command(main)
