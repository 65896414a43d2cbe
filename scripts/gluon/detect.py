"""Find the objects in pictures: a table of names, scores and boxes, and pictures that show them."""
from resnest.commands.detection.detect import main
from resnest.errors import run_command

if __name__ == '__main__':
    run_command(main)
