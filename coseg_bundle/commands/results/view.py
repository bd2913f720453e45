"""Look at finished results in the browser, measure regions, and correct what is wrong.

RESULTS are folders that coseg slide or coseg predict wrote, or folders that hold such folders. The page is served to
this machine only, under an address with a secret in it that is printed. It needs no connection to anywhere else.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from coseg_bundle.commands.arguments import add_precision, port_number, positive_number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULTS", help="folders of results")
    parser.add_argument("--image", type=Path, metavar="FILE", help="the image, where it was moved; for one folder")
    parser.add_argument("--no-browser", action="store_true", help="print the address, open no browser")
    parser.add_argument("--export", type=Path, metavar="DIR", help="write a page that opens without a server, instead")
    parser.add_argument(
        "--finest",
        type=positive_number,
        metavar="MPP",
        help="microns per pixel of the finest tiles that --export writes; those of the image otherwise",
    )
    parser.add_argument("--port", type=port_number, default=0, help="port of the server; any that is free otherwise")
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="address to listen at (127.0.0.1)")
    parser.add_argument(
        "--allow-host",
        nargs="+",
        default=[],
        metavar="NAME",
        help="names that other machines call this one by, with --host; nothing is encrypted",
    )
    parser.add_argument(
        "--weights", type=Path, metavar="FILE", help="weights that answer corrections (models/model.pt)"
    )
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="the bundle's folder, if it is not found by itself")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ...; the GPU if there is one")
    add_precision(parser)


def run(arguments: argparse.Namespace) -> int:
    """Serves, or exports; 1 if any folder could not be used."""
    from coseg_bundle.view.results import open_results

    results, sentences = open_results(arguments.results, arguments.image)
    for sentence in sentences:
        print(f"coseg: {sentence}", file=sys.stderr)
    if not results:
        return 1
    if arguments.export:
        from coseg_bundle.view.export import export_page

        for page in export_page(results, arguments.export, arguments.finest):
            print(page, flush=True)
        return 1 if sentences else 0
    from coseg_bundle.view.server import serve, service_maker

    make = service_maker(arguments.bundle, arguments.weights, arguments.device, arguments.precision)
    serve(
        results,
        make,
        arguments.host,
        arguments.port,
        tuple(arguments.allow_host),
        browser=not arguments.no_browser,
        told=lambda address: print(f"{address}  (stop with Ctrl+C)", flush=True),
    )
    return 1 if sentences else 0
