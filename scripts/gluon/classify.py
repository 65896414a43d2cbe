"""Name what is in pictures, and show where the network looked."""
from resnest.commands.classify import main
from resnest.errors import run_command

if __name__ == '__main__':
    run_command(main)
