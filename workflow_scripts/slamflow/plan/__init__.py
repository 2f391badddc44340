"""From a recipe to the files and settings of each job: all that the rules ask while Snakemake parses them.

loading.py     a recipe and the table of assets, checked
checks.py      models, texts and folders that a recipe names and that are not there
patterns.py    names as patterns, for Snakemake's wildcards and for the shell
sources.py     files from outside: assets, models, folders of the user's
results.py     files that the jobs of several stages read and write
plan.py        the whole plan, composed of one part for each file of rules:
assets.py, stories.py, audio.py, units.py, packing.py, training.py, evaluation.py, vocoder.py, generation.py, report.py

Paths begin with <results> or <resources>, which Snakemake fills in. A method that is named as a rule gives the settings
of one of its jobs, as the one JSON argument of its command; keys at their defaults stay, so that the log shows them.
"""
