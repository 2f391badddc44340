"""Say which jobs would run, why, and what they cost last time. Runs nothing.

    python workflow_scripts/why.py [--configfile FILE ...] [--directory FOLDER] [TARGET ...]

reads: the workflow, Snakemake's record of what was run, <results>/job_costs/
"""

from __future__ import annotations

import ast
import contextlib
import csv
import json
import logging
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from slamflow import commands
from slamflow.errors import InputError

ROOT = Path(__file__).parents[1]
SHORT = 40
"""Characters of a parameter that is worth showing as it is."""
WHOLE_RECIPE = "recipe"
"""The parameter of rules that read the whole recipe."""


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


class Change(NamedTuple):
    """One thing that differs, in words."""

    text: str
    is_of_recipe: bool = False
    """Whether it was seen in a parameter that holds the whole recipe: the jobs that it concerns tell it too."""

    @property
    def last_key(self) -> str:
        """The text without the sections around the key."""
        key, space, values = self.text.partition(" ")
        return key.rpartition(".")[2] + space + values


class Parameter(NamedTuple):
    """A parameter of a job, taken apart: a JSON object, the files of a digest of code, and what is left."""

    settings: dict[str, Any] | None
    code: dict[str, str]
    rest: str


def take_apart(value: str) -> Parameter:
    """The parts of a parameter: they come in this order, each of them may be missing."""
    settings, end = None, 0
    if value.startswith("{"):
        with contextlib.suppress(json.JSONDecodeError):
            settings, end = json.JSONDecoder().raw_decode(value)
    code, rest = {}, []
    for word in value[end:].split():
        if match := re.fullmatch(r"(\S+\.\w+):([0-9a-f]+)", word):
            code[match[1]] = match[2]
        else:
            rest.append(word)
    return Parameter(settings, code, " ".join(rest))


def code_changes(old: dict[str, str], new: dict[str, str]) -> list[str]:
    """The files whose code differs between two digests of slamflow.code_digest."""
    return [f"code of {name}" for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]


def likeness(old: Parameter, new: Parameter) -> int:
    """How much speaks for two parameters being the same one before and after; 0 if they are of different kinds."""
    if (old.settings is None, not old.code, not old.rest) != (new.settings is None, not new.code, not new.rest):
        return 0
    shared = len((old.settings or {}).keys() & (new.settings or {}).keys()) + len(old.code.keys() & new.code.keys())
    return 1 + shared


def parameter_changes(
    old: Iterable[str], new: Iterable[str], names: Mapping[str, str], settings_only: bool = False
) -> list[Change]:
    """In words, what differs between the parameters of a job as recorded and now, both as Python literals.

    `names` has the rule's names of the values now. Snakemake records values without names: each new one is compared
    with the old one that is most like it.
    """
    before = [take_apart(str(ast.literal_eval(text))) for text in old]
    after = [(names.get(value, "a parameter"), take_apart(value)) for value in map(str, map(ast.literal_eval, new))]
    left = list(before)
    changes: list[Change] = []
    for name, now in sorted(after, key=lambda item: item[0]):
        then = max(left, key=lambda one: likeness(one, now), default=None)
        if then is None or not likeness(then, now):
            changes += [] if settings_only else [Change(f"{name} changed")]
            continue
        left.remove(then)
        whole = name == WHOLE_RECIPE
        changes += [Change(text, whole) for text in differences(then.settings or {}, now.settings or {})]
        if settings_only:
            continue
        changes += map(Change, code_changes(then.code, now.code))
        if then.rest != now.rest:
            alike = sum(likeness(one, now) == likeness(then, now) for one in before)
            is_shown = alike == 1 and max(len(then.rest), len(now.rest)) <= SHORT
            changes.append(Change(f"{name} {then.rest} -> {now.rest}" if is_shown else f"{name} changed"))
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


def names_of_parameters(job: Any) -> dict[str, str]:
    """The rule's names of the parameters of a job, by value."""
    return {str(value): name for name, value in job.params.items()}


def causes(dag: Any, job: Any) -> list[Change]:
    """Why a job itself is due; empty if it only follows from others."""
    reason = dag.reason(job)
    found: list[Change] = []
    if changed := reason.params_changed:
        found += parameter_changes(changed.only_old, changed.only_new, names_of_parameters(job))
    if reason.code_changed:
        found.append(Change("the rule's command line"))
    if reason.input_changed:
        found.append(Change("another set of input files"))
    found += [Change(f"{file} is new or changed") for file in sorted(map(str, reason.updated_input))]
    if missing := sorted(map(str, reason.missing_output)):
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        found.append(Change(f"{missing[0]}{more} missing"))
    return found


def own_settings(dag: Any, job: Any) -> list[Change]:
    """The changed settings of a job that is due for other reasons: Snakemake does not compare those by itself."""
    changed = dag.workflow.persistence.params_changed(job)
    return parameter_changes(changed.only_old, changed.only_new, names_of_parameters(job), settings_only=True)


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
    said = {change.last_key for changes in found.values() for change in changes if not change.is_of_recipe}
    for job in due:
        # What gets the whole recipe would say `models.cold.seed` of a changed `seed`.
        news = [change.text for change in found[job] if not (change.is_of_recipe and change.last_key in said)]
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
