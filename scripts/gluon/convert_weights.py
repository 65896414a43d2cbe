"""Convert weights: the ResNeSt project's PyTorch .pth, or timm's .safetensors, to Gluon .params, and back."""
from resnest.commands.convert import main
from resnest.errors import run_command

if __name__ == '__main__':
    run_command(main)
