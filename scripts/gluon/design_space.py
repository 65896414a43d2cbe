"""Draw networks from design spaces (AnyNetX A to E, RegNet), train them, compare the distributions of their errors."""
from resnest.commands.design_space import main
from resnest.errors import run_command

if __name__ == '__main__':
    run_command(main)
