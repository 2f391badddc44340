"""From a recipe to the files and settings of each job: all that the rules ask while Snakemake parses them.

patterns.py    names as patterns, for Snakemake's wildcards and for the shell
checks.py      what a recipe names and is not there
sources.py     files from outside: assets, models, folders of the user's
results.py     files that the jobs of several stages read and write
workflow.py    all jobs of a recipe, composed of one module for each file of rules:
assets.py, stories.py, audio.py, units.py, packing.py, training.py, preferences.py, evaluation.py, vocoder.py,
generation.py, report.py

Paths begin with <results> or <resources>, which Snakemake fills in. A method that is named as a rule gives the settings
of one of its jobs, as the one JSON argument of its command; keys at their defaults stay, so that the log shows them.
"""
