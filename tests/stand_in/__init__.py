"""A stand-in of the internet on 127.0.0.1, for tests and rehearsals.

server.py   an ordinary web server that is the Hugging Face hub too, and can misbehave
speech.py   recordings and texts in the layouts of public corpora
models.py   tiny random models of the real classes
content.py  what a recipe downloads, and the overlay that points there
__main__.py the command that rehearses recipes against it

No package was found that does this: hf-local-hub, the nearest, is a client and a launcher for a server of its own
that is not in the package; those that record and replay answers need a recording of terabytes first.
"""
