"""Training: one loop for pre-training and for preferences, and what it stands on.

rows.py        fixed-shape token rows and their order
attention.py   documents of a row that do not see each other
model.py       models from scratch, from a text model, or as they are
export.py      the model's folder
devices.py     the processes of a training and what they run on
schedule.py    the learning rate by step or by time
pace.py        when it validates, saves and ends: after so many steps or so many hours
state.py       what a killed run goes on from
loop.py        the loop
metrics.py     curves
pretraining.py next-token prediction on rows
preference.py  direct preference optimisation on pairs
"""
