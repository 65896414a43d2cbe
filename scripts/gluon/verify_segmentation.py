"""Exact pixel accuracy and mean IoU of a segmentation network; horovodrun -np N shares the pictures out."""
from resnest.commands.segmentation.verify import main
from resnest.errors import run_command

if __name__ == '__main__':
    run_command(main)
