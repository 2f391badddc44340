"""How DeepSpeed's ZeRO divides what a training keeps over GPUs, and the memory that takes."""

from __future__ import annotations

from typing import NamedTuple


class Layout(NamedTuple):
    """Where weights, gradients and the optimizer's moments lie."""

    stage: int
    """0: all on each GPU. Divided over the GPUs are moments (1), gradients too (2), weights too (3)."""
    offload: bool
    """Whether the optimizer and its moments are in the CPU's memory."""

    def bytes(self, gpus: int) -> float:
        """Bytes of a GPU's memory for each parameter of the model: 4 for weight, gradient and each of two moments.

        Stages 1 and above keep a copy of the part of the weights that the optimizer works on (DeepSpeed 0.19,
        single_partition_of_fp32_groups and fp32_partitioned_groups_flat). Buffers and activations come on top.
        """
        if self.offload:
            return 4.0 / gpus if self.stage == 3 else 4.0
        whole, divided = ((16, 0), (8, 12), (4, 16), (0, 20))[self.stage]
        return whole + divided / gpus


WHOLE = Layout(0, False)


def layouts(gpus: int) -> list[Layout]:
    """What is worth trying on so many GPUs, the fastest first. On one GPU only an offload saves memory."""
    if gpus == 1:
        return [WHOLE, Layout(2, True)]
    return [*(Layout(stage, False) for stage in range(4)), Layout(2, True), Layout(3, True)]
