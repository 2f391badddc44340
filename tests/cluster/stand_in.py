"""Stands in for SLURM: copies of this file, named as SLURM's commands are. $STAND_IN_RECORDS is the folder where they
write down what they were asked.

`sbatch` runs a job at once. If that folder has `outputs.json` (the outputs of each job, by Snakemake's name for it), it
writes these outputs instead, which takes no time.
"""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

RECORDS = Path(os.environ["STAND_IN_RECORDS"])


def append(name: str, line: str) -> None:
    with open(RECORDS / name, "a", encoding="utf-8") as file:
        file.write(line + "\n")


def new_job() -> str:
    """A number that no other job has: two are submitted at a time."""
    number = 1
    while True:
        try:
            (RECORDS / "jobs" / str(number)).mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return str(number)


def sbatch(arguments: list[str]) -> None:
    job = new_job()
    append("sbatch", json.dumps(arguments))
    script = next(argument for argument in arguments if argument.startswith("--wrap=")).removeprefix("--wrap=")
    known = RECORDS / "outputs.json"
    if known.is_file():
        outputs = json.loads(known.read_text())
        for path in (Path(path) for name in target_jobs(script) for path in outputs[name]):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(path.name)
        failed = False
    else:
        folder, log = (arguments[arguments.index(flag) + 1] for flag in ("-D", "--output"))
        with open(log.replace("%j", job), "wb") as output:
            environment = {**os.environ, "SLURM_JOB_ID": job}
            done = subprocess.run(script, shell=True, cwd=folder, env=environment, stdout=output, stderr=output)
        failed = done.returncode != 0
    append("states", f"{job}|{'FAILED' if failed else 'COMPLETED'}")
    print(job)


def target_jobs(script: str) -> list[str]:
    """The jobs of a submission: one, or those of a group."""
    words = shlex.split(script)
    start = words.index("--target-jobs") + 1
    return words[start : next(index for index in range(start, len(words)) if words[index].startswith("--"))]


def srun(arguments: list[str]) -> None:
    append("srun", json.dumps(arguments))
    command = next(index for index, argument in enumerate(arguments) if not argument.startswith("-"))
    os.execvp(arguments[command], arguments[command:])


def sacct(arguments: list[str]) -> None:
    if "--format=JobIdRaw,State" in arguments and (RECORDS / "states").is_file():
        print((RECORDS / "states").read_text(), end="")


def sacctmgr(_arguments: list[str]) -> None:
    print("lab")


def sinfo(_arguments: list[str]) -> None:
    print("PARTITION\nshared*")


def scontrol(_arguments: list[str]) -> None:
    print("MinJobAge = 2 sec\nMaxArraySize = 1001")


def scancel(arguments: list[str]) -> None:
    append("scancel", json.dumps(arguments))


def squeue(_arguments: list[str]) -> None:
    raise SystemExit("squeue: not asked for, as there is sacct")


COMMANDS = (sbatch, srun, sacct, sacctmgr, sinfo, scontrol, scancel, squeue)

if __name__ == "__main__":
    called = Path(sys.argv[0]).name
    next(command for command in COMMANDS if command.__name__ == called)(sys.argv[1:])
