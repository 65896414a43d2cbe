"""Train the rows of an ablation (configs/ablation*.yaml), then table and draw them."""
from resnest.commands.ablation import main
from resnest.errors import run_command

if __name__ == '__main__':
    run_command(main)
