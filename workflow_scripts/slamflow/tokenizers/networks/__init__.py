"""Speech encoders on the weights of transformers folders."""
