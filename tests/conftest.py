"""What all tests share."""

import os

# Processes beside one another, each with a thread for every core, would mostly wait for one another.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
