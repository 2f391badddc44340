"""The one exception that is meant for the person at the terminal."""

from __future__ import annotations


class InputError(Exception):
    """Something the user gave is wrong; the message names it and the way out.

    Commands print the message without a traceback and exit with 1.
    """
