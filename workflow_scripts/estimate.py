"""Say what a recipe takes: hours, tokens, memory, disk, downloads, energy, money. It runs nothing and needs no network.

    python workflow_scripts/estimate.py --configfile recipes/<recipe>.yaml [--device H100 --gpus 8 --price 2.5]

Reads  the recipe (--configfile, as Snakemake would read it, or --settings as JSON), recipes/assets.yaml, and what is
       there already of <results>/calibration/ (measured by calibrate), <results>/summary/ and resources/.
Writes tables to standard output; with --overview a line of Markdown for each recipe.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from slamflow import commands, files
from slamflow.errors import InputError
from slamflow.estimate.rates import Device
from slamflow.recipe.loading import load_assets, read_recipe
from slamflow.recipe.recipe import Recipe

ROOT = Path(__file__).parents[1]
DEFAULT = ROOT / "config.yaml"


def read_prices(texts: list[str], known: list[str]) -> dict[str, float]:
    """Prices per hour by device, from DEVICE=AMOUNT or AMOUNT (for all, under the empty name)."""
    prices = {}
    for text in texts:
        name, _, price = text.rpartition("=")
        try:
            prices[name] = float(price)
        except ValueError:
            raise InputError(f"--price {text}: write an amount per hour, or DEVICE=AMOUNT") from None
        if name and name not in known:
            raise InputError(f"--price {text}: no device {name!r}; there are {', '.join(known)}")
    return prices


def overview(recipes: list[Recipe], devices: list[Device], resources: Path) -> str:
    """A Markdown table with a line for each recipe; `resources` may hold text models that tell their shape."""
    from slamflow.estimate import table
    from slamflow.estimate.estimate import estimate
    from slamflow.estimate.shapes import model_shapes

    head = ["recipe", "hours of speech", "assets", "largest model", "million parameters", "its tokens"]
    head += [f"hours on {device.name}" for device in devices]
    lines = [head, ["---", *["--:"] * (len(head) - 1)]]
    for recipe in recipes:
        assets = load_assets(ROOT / "recipes/assets.yaml", recipe.assets)
        found = estimate(recipe, assets, model_shapes(recipe, assets, resources))
        lines.append(table.overview_row(recipe, found, devices))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main(argv: list[str]) -> None:
    """Show the estimate of a recipe, or an overview of several."""
    parser = commands.parser(__doc__)
    parser.add_argument("--configfile", type=Path, nargs="+", default=[], help="as for snakemake")
    parser.add_argument(
        "--overview", action="store_true", help="each --configfile is a recipe: one line of Markdown each"
    )
    parser.add_argument("--device", nargs="+", default=[], help="these devices only, in this order")
    parser.add_argument(
        "--price", nargs="+", default=[], metavar="[DEVICE=]AMOUNT", help="price of an hour of a device"
    )
    parser.add_argument("--gpus", type=int, default=1, help="how many of each device a training has")
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--resources", type=Path, default=Path("resources"))
    arguments = parser.parse_args(argv)
    if arguments.gpus < 1:
        raise InputError(f"--gpus {arguments.gpus}: at least 1")
    # Half a second of torch, so that --help does not.
    from slamflow.estimate import rates, table
    from slamflow.estimate.estimate import estimate
    from slamflow.estimate.shapes import model_shapes

    names = {device.name: device for device in rates.DEVICES}
    if missing := [name for name in arguments.device if name not in names]:
        raise InputError(f"--device {missing[0]}: not in the table; there are {', '.join(names)}")
    devices = [names[name] for name in arguments.device or names]
    prices = read_prices(arguments.price, list(names))
    if arguments.overview:
        recipes = [read_recipe([path], DEFAULT) for path in arguments.configfile]
    elif arguments.configfile or not json.loads(arguments.settings):
        recipes = [read_recipe(arguments.configfile, DEFAULT)]
    else:
        recipes = [commands.read_settings(Recipe, arguments.settings)]
    if arguments.overview:
        sys.stdout.write(overview(recipes, devices, arguments.resources))
        return
    [recipe] = recipes
    assets = load_assets(ROOT / "recipes/assets.yaml", recipe.assets)
    found = estimate(recipe, assets, model_shapes(recipe, assets, arguments.resources))
    summary = arguments.results / "summary" / f"{recipe.recipe}.json"
    last_run = files.read_json(summary) if summary.is_file() else None
    measured = table.measured_devices(recipe, arguments.results)
    sys.stdout.write(table.show(recipe, found, devices, prices, measured, last_run, arguments.gpus))


if __name__ == "__main__":
    commands.run(main)
