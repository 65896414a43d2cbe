"""Tell where the joints of people in pictures are, and draw their skeletons."""
from resnest.commands.pose.pose import main
from resnest.errors import run_command

if __name__ == '__main__':
    run_command(main)
