"""Files from outside: fetched, verified, and converted into transformers folders.

A converter is a module with one function, `convert(source, output)`, from the folder of an asset as it was published to
a transformers folder: of a model with its tokenizer, or of a speech encoder with its preprocessor.
"""

from __future__ import annotations

from slamflow.kinds import Family

MODEL_CONVERTERS = Family(
    "model_converters",
    {
        "ctranslate2_whisper": "slamflow.assets.convert_whisper:convert",
        "gguf": "slamflow.assets.convert_gguf:convert",
        "torch_weights": "slamflow.assets.convert_torch:convert",
    },
    key="convert",
)
ENCODER_CONVERTERS = Family(
    "encoder_converters", {"fairseq_hubert": "slamflow.assets.convert_hubert:convert"}, key="convert"
)
