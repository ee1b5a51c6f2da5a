"""Unpacks a GGUF into a Hugging Face directory (bf16 weights, tokenizer, chat template), the form that vLLM serves.

usage: gguf_to_hf.py MODEL.gguf OUT
"""

import pathlib
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

source, out = pathlib.Path(sys.argv[1]), sys.argv[2]
where = {"pretrained_model_name_or_path": str(source.parent), "gguf_file": source.name}

tokenizer = AutoTokenizer.from_pretrained(**where)
# Without dequantize the weights stay packed, and packed weights cannot be saved.
model = AutoModelForCausalLM.from_pretrained(
    **where, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
)
model.save_pretrained(out)
tokenizer.save_pretrained(out)
