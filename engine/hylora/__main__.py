"""python3 -m engine.hylora COMMAND: see README.md beside this."""

import argparse

from engine.hylora import compare, pretrain, recall, tune

COMMANDS = {"compare": compare, "pretrain": pretrain, "recall": recall, "tune": tune}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python3 -m engine.hylora")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, module in COMMANDS.items():
        module.add_arguments(commands.add_parser(name, help=module.__doc__.split("\n")[0]))
    options = parser.parse_args()
    COMMANDS[options.command].run(options)


if __name__ == "__main__":
    main()
