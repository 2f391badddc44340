"""Training of language models: one loop for every objective, and what it stands on.

training.py         a whole training, from its inputs to the model's folder
loop.py             the loop
engine.py           DeepSpeed's engine: optimizer, ZeRO stage, and what it has cut into parts, whole
objective.py        what an objective is given and gives
objectives/         the objectives: settings and preparation, one module a kind
next_token_loss.py  next-token prediction on rows
preference_loss.py  direct preference optimization on pairs
attention.py        documents of a row that do not see each other
initial.py          models from scratch, or from a text model
model.py            models on disk
export.py           what a training leaves: the model's folder
speech.py           its speech.json
package.py          what a model's folder needs to stand alone
devices.py          the processes of a training and what they run on
schedule.py         the learning rate by step or by time
pace.py             when a training validates, saves and ends: by a number of steps or by a time budget
optimizers.py       AdamW and Muon
state.py            resumable training state: folders, lock, fingerprint
saves.py            the tensors in it
metrics.py          curves
zero.py             how ZeRO divides memory over GPUs
calibration.py      how fast a device trains a model
"""
