"""Write the configuration's JSON schema and its table of keys from the settings classes.

writes: rules/schemas/recipe.schema.json    for editors (yaml-language-server)
        docs/recipes.md                     what each recipe takes; every key, its type, default and meaning
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import estimate
from slamflow import commands, files
from slamflow.estimate import rates
from slamflow.recipe.recipe import Recipe

ROOT = Path(__file__).parents[1]
INTRODUCTION = """# Recipes: every key

This page is generated from the settings classes (`python workflow_scripts/describe_settings.py`).

A YAML file with a `recipe:` key is a whole recipe; one without is laid over `config.yaml`. Unknown keys are
refused. `snakemake -n` checks a configuration without running anything.
"""
ESTIMATES = """## What the recipes take

Before anything runs, by `estimate.py --overview --configfile recipes/slam.yaml ...`; for one recipe
`snakemake --cores 1 estimate --configfile recipes/<recipe>.yaml` tells more, by stage and with disk, energy and the
sources of the rates. A + stands for what is not known and comes on top. Hours of a device are those of units and of
training; those of units are arithmetic on data sheets, in fp32, and all of the H100's are a projection.

"""
ESTIMATED = (
    *("slam", "slam_day", "slam_scaled", "slam_large", "slam_ablations"),
    *("twist_350m", "twist_1_3b", "twist_7b", "gslm", "scaled_optimal"),
)
DEVICES = ("A5000", "A100", "H100")


def schema() -> dict[str, Any]:
    """The JSON schema of a recipe."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Recipe.model_json_schema()}


def type_of(field: dict[str, Any], definitions: dict[str, Any]) -> str:
    """A field's type in words, with a link where it is a section of its own."""
    if "$ref" in field:
        name = field["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})" if "properties" in definitions[name] else type_of(definitions[name], {})
    options = field.get("anyOf") or field.get("oneOf")
    if options:
        return " or ".join(type_of(option, definitions) for option in options)
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    if field.get("type") == "array":
        return f"list of {type_of(field.get('items', {}), definitions)}"
    if field.get("type") == "object":
        values = field.get("additionalProperties") or next(iter(field.get("patternProperties", {}).values()), None)
        return f"name: {type_of(values, definitions)}" if isinstance(values, dict) else "mapping"
    return str(field.get("type", "any"))


def table(title: str, section: dict[str, Any], definitions: dict[str, Any]) -> str:
    """One section's keys as a Markdown table."""
    lines = [f"## {title}", "", section.get("description", "").strip(), "", "| key | type | default | meaning |"]
    lines.append("|---|---|---|---|")
    required = section.get("required", [])
    # The key that says the kind comes first, also where a common class has others before it.
    for key, field in sorted(section["properties"].items(), key=lambda item: "const" not in item[1]):
        default = "needed" if key in required else f"`{json.dumps(field.get('default'))}`"
        if isinstance(field.get("default"), dict) and len(default) > 40:
            default = "see there"
        described = field.get("description") or definitions.get(field.get("$ref", "").rsplit("/", 1)[-1], {}).get(
            "description", ""
        )
        meaning = " ".join(described.split()).replace("|", "\\|")
        lines.append(f"| `{key}` | {type_of(field, definitions).replace('|', chr(92) + '|')} | {default} | {meaning} |")
    return "\n".join(lines) + "\n"


def page() -> str:
    """docs/recipes.md."""
    described = Recipe.model_json_schema()
    definitions = described["$defs"]
    sections = [table("Recipe", described, definitions)]
    sections += [table(name, part, definitions) for name, part in definitions.items() if "properties" in part]
    return "\n".join([INTRODUCTION, ESTIMATES + estimates(), *sections])


def estimates() -> str:
    """The table of what the recipes take."""
    chosen = [device for name in DEVICES for device in rates.DEVICES if device.name == name]
    recipes = [estimate.read_recipe([ROOT / f"recipes/{name}.yaml"], estimate.DEFAULT) for name in ESTIMATED]
    return estimate.overview(recipes, chosen, resources=Path("nowhere"))


def main(argv: list[str]) -> None:
    """Write both files below --root."""
    options = commands.parser(__doc__)
    options.add_argument("--root", type=Path, default=ROOT)
    root = options.parse_args(argv).root
    files.write_json(root / "rules/schemas/recipe.schema.json", schema())
    files.write_text(root / "docs/recipes.md", page())


if __name__ == "__main__":
    commands.run(main)
