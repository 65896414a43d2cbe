"""Tell what is where in pictures: shares of the classes, a figure with their colours, and maps."""
from resnest.commands.segmentation.segment import main
from resnest.errors import run_command

if __name__ == '__main__':
    run_command(main)
