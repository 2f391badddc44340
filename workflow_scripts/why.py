"""Say which jobs would run, why, and what they cost last time. Runs nothing.

    python workflow_scripts/why.py [--configfile FILE ...] [--directory FOLDER] [TARGET ...]

reads: the workflow, Snakemake's record of what was run, <results>/job_costs/
"""

from __future__ import annotations

import ast
import csv
import json
import logging
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from slamflow import commands
from slamflow.errors import InputError

ROOT = Path(__file__).parents[1]
SHORT = 40
"""Characters of a parameter that is worth showing as it is."""


def shown(value: Any) -> str:
    """A value as one writes it in a recipe: small and large numbers as 3.0e-3."""
    if isinstance(value, float) and value and not 1e-2 <= abs(value) < 1e5:
        mantissa, _, exponent = f"{Decimal(repr(value)).normalize():e}".partition("e")
        return f"{mantissa if '.' in mantissa else mantissa + '.0'}e{int(exponent)}"
    return json.dumps(value)


def differences(old: Any, new: Any, key: str = "") -> Iterator[str]:
    """`key old -> new` for each key that differs, with dots between its parts; a new or lost section is named whole."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(old.keys() | new.keys()):
            yield from differences(old.get(name), new.get(name), f"{key}.{name}" if key else name)
    elif old is None and isinstance(new, dict):
        yield f"{key} is new"
    elif new is None and isinstance(old, dict):
        yield f"{key} is gone"
    elif old != new:
        yield f"{key} {shown(old)} -> {shown(new)}"


def code_changes(old: str, new: str) -> list[str]:
    """The files whose code differs between two digests of slamflow.code_digest."""
    before, after = (dict(part.rsplit(":", 1) for part in text.split()) for text in (old, new))
    names = sorted(before.keys() | after.keys())
    return [f"code of {name}" for name in names if before.get(name) != after.get(name)]


def kind_of(value: str) -> str:
    """What a recorded parameter is: a JSON object, a digest of code, or something else."""
    if value.startswith("{") and value.endswith("}"):
        return "settings"
    return "code" if ".py:" in value.split(" ", 1)[0] else "other"


def parameter_changes(old: Iterable[str], new: Iterable[str]) -> list[str]:
    """In words, what differs between the parameters of a job as recorded (as Python literals) and now."""
    before = {kind_of(value): value for value in map(str, map(ast.literal_eval, old))}
    after = {kind_of(value): value for value in map(str, map(ast.literal_eval, new))}
    changes: list[str] = []
    for kind in sorted(before.keys() | after.keys()):
        if kind == "settings" and kind in before and kind in after:
            changes += differences(json.loads(before[kind]), json.loads(after[kind]))
        elif kind == "code" and kind in before and kind in after:
            changes += code_changes(before[kind], after[kind])
        elif kind != "other":
            changes.append(kind)
        elif max(len(side.get(kind, "")) for side in (before, after)) <= SHORT:
            changes.append(f"{before.get(kind)} -> {after.get(kind)}")
        else:
            changes.append("another list of items")
    return changes


def seconds_of(job: Any) -> float | None:
    """What a job cost last time, in seconds; None if it never ran."""
    if not job.benchmark or not Path(job.benchmark).is_file():
        return None
    with open(job.benchmark, encoding="utf-8") as lines:
        return sum(float(row["s"]) for row in csv.DictReader(lines, delimiter="\t"))


def in_words(seconds: float) -> str:
    """A duration as one says it."""
    return f"about {seconds / 60:.0f} min" if seconds >= 90 else f"about {seconds:.0f} s"


def causes(dag: Any, job: Any) -> list[str]:
    """Why a job itself is due; empty if it only follows from others."""
    reason = dag.reason(job)
    found: list[str] = []
    if reason.params_changed:
        found += parameter_changes(reason.params_changed.only_old, reason.params_changed.only_new)
    if reason.code_changed:
        found.append("the rule's command line")
    if reason.input_changed:
        found.append("another set of input files")
    found += [f"{file} is new or changed" for file in sorted(map(str, reason.updated_input))]
    if missing := sorted(map(str, reason.missing_output)):
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        found.append(f"{missing[0]}{more} missing")
    return found


def own_settings(dag: Any, job: Any) -> list[str]:
    """The changed settings of a job that is due for other reasons: Snakemake does not compare those by itself."""
    changed = dag.workflow.persistence.params_changed(job)
    settings = [
        [value for value in side if kind_of(str(ast.literal_eval(value))) == "settings"]
        for side in (changed.only_old, changed.only_new)
    ]
    return parameter_changes(*settings) if all(settings) else []


def name_of(job: Any) -> str:
    """Which job of its rule it is, by its wildcards."""
    return " " + "/".join(job.wildcards_dict.values()) if job.wildcards_dict else ""


def report(dag: Any) -> Iterator[str]:
    """The lines that explain what is due."""
    due = [job for job in dag.jobs if dag.needrun(job) and not job.is_norun]
    if not due:
        yield "Nothing to do."
        return
    follows: Counter[str] = Counter()
    roots: dict[tuple[str, str], list[Any]] = {}
    # Below a job that is due, a job reruns anyway: only settings of its own are news.
    below = {job: any(parent in due for parent in dag.dependencies[job]) for job in due}
    found = {job: own_settings(dag, job) if below[job] else causes(dag, job) for job in due}
    said = {change for changes in found.values() for change in changes}
    for job in due:
        # What gets the whole recipe would say `models.cold.seed` of a changed `seed`.
        news = [change for change in found[job] if not any(change.endswith(f".{other}") for other in said)]
        if news:
            roots.setdefault((job.rule.name, "; ".join(news)), []).append(job)
        else:
            follows[job.rule.name] += 1
    for (rule, cause), jobs in roots.items():
        which = f" ({len(jobs)} jobs)" if len(jobs) > 1 else name_of(jobs[0])
        yield f"{rule}{which}: {cause}{cost(jobs)}"
    if follows:
        rest = [job for job in due if not any(job in jobs for jobs in roots.values())]
        named = ", ".join(f"{count} {rule}" for rule, count in follows.items())
        yield f"{named} follow{cost(rest)}"


def cost(jobs: list[Any]) -> str:
    """`, about N min`, as far as it is known."""
    known = [seconds for seconds in map(seconds_of, jobs) if seconds is not None]
    if not known:
        return ", cost not known yet"
    unknown = f" and {len(jobs) - len(known)} not run before" if len(known) < len(jobs) else ""
    return f", {in_words(sum(known))}{unknown}"


def main(argv: list[str]) -> None:
    """Build the DAG as a dry run does, and explain it."""
    options = commands.parser(__doc__)
    options.add_argument("targets", nargs="*")
    options.add_argument("--configfile", type=Path, nargs="+", default=[])
    options.add_argument("--directory", type=Path)
    arguments = options.parse_args(argv)
    # Snakemake takes a second to import, so that --help does not.
    from snakemake.api import SnakemakeApi
    from snakemake.exceptions import WorkflowError
    from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, Quietness, ResourceSettings

    logging.disable(logging.INFO)  # what a dry run says
    quiet = OutputSettings(dryrun=True, quiet={Quietness.ALL}, enable_file_logging=False)
    try:
        with SnakemakeApi(quiet) as api:
            workflow = api.workflow(
                resource_settings=ResourceSettings(cores=os.cpu_count()),
                config_settings=ConfigSettings(configfiles=[path.resolve() for path in arguments.configfile]),
                snakefile=ROOT / "Snakefile",
                workdir=arguments.directory,
            )
            # As in profiles/default: content counts up to this size.
            settings = DAGSettings(targets=frozenset(arguments.targets), max_checksum_file_size=10**9)
            workflow.dag(settings).execute_workflow(executor="dryrun")
            for line in report(workflow._workflow.dag):
                sys.stdout.write(f"{line}\n")
    except WorkflowError as error:
        raise InputError(str(error)) from None


if __name__ == "__main__":
    commands.run(main)
