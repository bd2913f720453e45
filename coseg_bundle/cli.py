"""The command line: `coseg COMMAND`."""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
from collections.abc import Sequence
from types import ModuleType

from coseg_bundle import __version__
from coseg_bundle.commands.bundle import doctor, export, install, release_check
from coseg_bundle.commands.results import convert, measure, report, view
from coseg_bundle.commands.scoring import compare, evaluate, puma
from coseg_bundle.commands.segmenting import demo, predict, slide
from coseg_bundle.commands.training import ablation, datalist, generate, train
from coseg_bundle.engine.choice import is_installed
from coseg_bundle.engine.cores import keep_memory, wait_passively

COMMANDS = (
    predict,
    slide,
    measure,
    report,
    convert,
    view,
    evaluate,
    compare,
    ablation,
    datalist,
    train,
    generate,
    puma,
    demo,
    doctor,
    export,
    install,
    release_check,
)

_EXTRAS = {"torch": "torch", "monai": "torch", "ignite": "torch", "peft": "torch", "tensorboard": "torch"}
_EXTRAS |= dict.fromkeys(("scipy", "skimage", "pyarrow", "zarr", "imagecodecs", "nibabel", "matplotlib"), "full")
"""The extra that brings a package, of those that the light installation has not."""

_EPILOG = """examples:
  coseg predict slide_region.png --output results            segment one image
  coseg predict images/ --mpp 0.5 --output results           a folder of images at 20x
  coseg slide slide.svs --output results                     a whole slide
  coseg measure results/slide.svs                            tables and a report of what was found
  coseg datalist data/ --output datalist.json                list images and masks for training
  coseg train datalist.json --output runs/mine               train a network on them; run it again to go on
  coseg doctor                                               what is installed, what is missing
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser with all subcommands; needs no heavy import."""
    parser = argparse.ArgumentParser(
        prog="coseg",
        description="Co-Seg: tissue regions and nuclei of H&E images from one network.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"coseg-bundle {__version__}")
    parser.add_argument("--verbose", action="store_true", help="say more while working, and show tracebacks")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in COMMANDS:
        doc = (module.__doc__ or "").strip()
        command = commands.add_parser(
            command_name(module),
            help=doc.splitlines()[0],
            description=doc,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def command_name(module: ModuleType) -> str:
    """What the user types for a module of `coseg_bundle.commands`."""
    return module.__name__.rpartition(".")[2].replace("_", "-")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit code: 0 all well, 1 something failed, 2 wrong usage."""
    parser = build_parser()
    arguments, others = parser.parse_known_args(argv)
    if others and not (hasattr(arguments, "settings") and all(re.match(r"[^-=].*=", other) for other in others)):
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    if others:  # KEY=VALUE behind an option, where argparse takes no more positional arguments
        arguments.settings += others
    logging.basicConfig(
        level=logging.DEBUG if arguments.verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )
    if not arguments.verbose:
        logging.getLogger("coseg_bundle").setLevel(logging.INFO)
    wait_passively()
    keep_memory()
    try:
        code = int(arguments.run(arguments))
        sys.stdout.flush()
        return code
    except BrokenPipeError as error:
        if not _nobody_reads():
            print(f"coseg: {error}", file=sys.stderr)
            return 1
        return 141  # what a shell says of the programs that end by it
    except (ValueError, OSError) as error:  # the messages are written for users
        if arguments.verbose:
            raise
        print(f"coseg: {error}", file=sys.stderr)
        return 1
    except Exception as error:
        sentence = _about_a_package(error)
        if arguments.verbose or sentence is None:
            raise
        print(f"coseg: {sentence}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("coseg: stopped; finished results are kept.", file=sys.stderr)
        return 130


def _about_a_package(error: Exception) -> str | None:
    """What is to be said where another package is not there, or fails while it is imported; None of other errors."""
    package = (error.name or "").partition(".")[0] if isinstance(error, ImportError) else ""
    if isinstance(error, ModuleNotFoundError) and package in _EXTRAS and not is_installed(package):
        return f"this needs {package}, which is not installed; pip install 'coseg-bundle[{_EXTRAS[package]}]'."
    from coseg_bundle.doctor import package_at_fault

    at_fault = package_at_fault(error)
    if at_fault is None or not is_installed(at_fault):
        return None
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return f"{at_fault} is installed and does not import ({reason}); `coseg doctor` says how to mend it."


def _nobody_reads() -> bool:
    """Whether it is our output that nobody takes (`coseg ... | head`); what is left of it goes nowhere then."""
    try:
        print(flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


if __name__ == "__main__":
    sys.exit(main())
