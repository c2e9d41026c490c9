"""A contestant of serving_load.py: sentence-transformers behind FastAPI, as its users write it.

    python -m tests.benchmarks.serving_peer --port 8000 --threads 2

It encodes a request at a time, in FastAPI's pool of threads, and answers in OpenAI's shape.
"""

import argparse
import base64
import json
import tempfile
from pathlib import Path
from typing import Any


def write_minilm(folder: Path) -> None:
    """all-MiniLM-L6-v2 as sentence-transformers reads it, from a pip package."""
    import shutil
    from importlib.metadata import distribution

    import torch
    from safetensors.torch import load_file
    from transformers import BertConfig, BertModel

    from spacy_ctxemb.pretrained.minilm_from_pip import FOLDER, MODEL, PACKAGE

    source = Path(str(distribution(PACKAGE).locate_file(FOLDER)))
    encoder = MODEL["encoder"]
    config = BertConfig(
        vocab_size=encoder["vocab_size"],
        hidden_size=encoder["width"],
        num_hidden_layers=encoder["n_blocks"],
        num_attention_heads=encoder["n_heads"],
        intermediate_size=encoder["feedforward_width"],
    )
    model = BertModel(config)
    state = {
        name: tensor.float() for name, tensor in load_file(source / "model.safetensors").items()
    }
    model.load_state_dict(state, strict=False)
    with torch.no_grad():
        model.save_pretrained(folder)
    shutil.copy(source / "tokenizer.json", folder)
    tokenizer = {"tokenizer_class": "BertTokenizerFast", "model_max_length": 256}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer), encoding="utf8")


def load_model(threads: int) -> Any:
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        write_minilm(Path(folder))
        return SentenceTransformer(folder, device="cpu")


def build(threads: int) -> Any:
    from fastapi import FastAPI

    model, app = load_model(threads), FastAPI()

    @app.post("/v1/embeddings")
    def embeddings(body: dict[str, Any]) -> dict[str, Any]:
        row = model.encode(body["input"], show_progress_bar=False)
        text = base64.b64encode(row.astype("<f4").tobytes()).decode("ascii")
        return {"data": [{"object": "embedding", "index": 0, "embedding": text}]}

    @app.get("/ready")
    def ready() -> dict[str, str]:
        return {"status": "ok"}

    return app


if __name__ == "__main__":
    import uvicorn

    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    app = build(arguments.threads)
    uvicorn.run(app, port=arguments.port, access_log=False, log_level="warning")
