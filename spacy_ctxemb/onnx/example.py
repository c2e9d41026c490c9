"""The example beside an exported model: a script that needs neither PyTorch nor spaCy."""

BEGIN = '''\
"""Run the model: python example.py {usage}  (model_int8.onnx is the smaller one)"""
import json, sys
from pathlib import Path
import numpy as np, onnxruntime, tokenizers

here = Path(__file__).parent
tokenizer = tokenizers.Tokenizer.from_file(str(here / "tokenizer.json"))
tokenizer.enable_padding()
encoded = tokenizer.encode_batch({texts})
names = {{"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}}
session = onnxruntime.InferenceSession(str(here / "model.onnx"))
rows = {{x.name: [getattr(one, names[x.name]) for one in encoded] for x in session.get_inputs()}}
output = session.run(None, {{name: np.array(values) for name, values in rows.items()}})[0]
labels = json.loads((here / "labels.json").read_text(encoding="utf8"))
'''

VECTORS = """\
for one, states in zip(encoded, output):
    print(one.tokens, states[: sum(one.attention_mask)].shape)
"""
PIECES = """\
for one, scores in zip(encoded, output):
    best = scores.argmax(axis=-1)[: sum(one.attention_mask)]
    print([(piece, labels[i]) for piece, i in zip(one.tokens, best)])
"""
TEXT = """\
{function}for text, scores in zip(sys.argv[1:], output):
    print(text, dict(zip(labels, scores.tolist())))
"""
#: What becomes of the scores of texts.
FUNCTIONS = {
    "single_label": """\
output = np.exp(output - output.max(axis=-1, keepdims=True))
output /= output.sum(axis=-1, keepdims=True)
""",
    "multi_label": "output = 1 / (1 + np.exp(-output))\n",
    "regression": "",
}
MASKED = """\
for one, scores in zip(encoded, output):
    print([tokenizer.id_to_token(i) for i in scores.argmax(axis=-1)[: sum(one.attention_mask)]])
"""
QUESTION = """\
places = [i for i, sequence in enumerate(encoded[0].sequence_ids) if sequence == 1]
pairs = [(i, j) for i in places for j in places if i <= j < i + 15]
first, last = max(pairs, key=lambda pair: output[0, pair[0], 0] + output[0, pair[1], 1])
print(sys.argv[2][encoded[0].offsets[first][0] : encoded[0].offsets[last][1]])
"""
ENDS = {None: VECTORS, "token": PIECES, "masked": MASKED, "question": QUESTION}


def write_example(task: str | None, kind: str = "single_label") -> str:
    """The script for a head, or for an encoder alone. task, kind: as `PublishedHead` has them."""
    usage, texts = '"A text." "Another one."', "sys.argv[1:]"
    if task == "question":
        usage, texts = '"A question?" "A text."', "[tuple(sys.argv[1:3])]"
    end = TEXT.replace("{function}", FUNCTIONS[kind]) if task == "text" else ENDS[task]
    return BEGIN.format(usage=usage, texts=texts) + end
