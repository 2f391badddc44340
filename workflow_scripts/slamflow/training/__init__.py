"""Training: one loop for pre-training and for preferences, and what it stands on.

rows.py        fixed-shape token rows and their order
attention.py   documents of a row that do not see each other
model.py       models from scratch or from a text model; export
schedule.py    the learning rate by step
state.py       what a killed run goes on from
loop.py        the loop
pretraining.py next-token prediction on rows
"""
