"""Damage to JSON files: values of other types, keys removed, added and doubled, deep nesting."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

#: Values that some reader somewhere does not expect.
ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 3, 7, 255, 10**5, 10**9, 2**31, 2**63, 10**18, -(10**18)),
    *(10**400, 0.5, -0.0, 1e-320, 1e308, float("nan"), float("inf"), float("-inf")),
    *("", " ", "0", "1", "null", "x", "../../etc/passwd", "\ud800", "\0", "é" * 9, "x" * 10**6),
    *([], [[]], [None], [1, 2], ["a"], {}, {"": 1}, {"a": {"b": []}}, [[1, 2]] * 1000),
]

#: Keys that some formats know, or once knew.
KEYS = [
    *("adapter_config", "architectures", "attn_implementation", "auto_map", "bos_token_id"),
    *("char_cnn", "chunk_size_feed_forward", "cls_token", "config_path", "do_lower_case", "dtype"),
    *("embedding_size", "hidden_act", "id2label", "is_decoder", "layer_types", "local_attention"),
    *("add_prefix_space", "keep_accents"),
    *("lstm", "max_length", "max_seq_length", "model_max_length", "model_type", "n_ctx"),
    *("num_hidden_groups", "pad_token_id", "pooling_mode", "position_embedding_type", "prompts"),
    *("prune_heads", "pruned_heads", "quantization_config", "rope_parameters", "rope_scaling"),
    *("sliding_window", "strip_accents", "tie_word_embeddings", "tokenize_chinese_chars"),
    *("torch_dtype", "transformers_version", "truncate_dim", "type_vocab_size", "unk_token"),
    *("use_bidirectional_attention", "vocab_size", "weight_map"),
]

#: Deeper than Python's parser can follow.
DEPTH = 100_000


class Place(NamedTuple):
    """A value inside a JSON document: where it stands, and under which key or number."""

    parent: Any
    key: Any


def damage_json(path: Path, rng: Random) -> str:
    """Change one JSON file; returns what was done."""
    try:
        data = json.loads(path.read_text(encoding="utf8"))
    except (ValueError, RecursionError):
        return "nothing: no JSON"
    change = rng.choices(list(CHANGES), weights=list(CHANGES.values()))[0]
    root = {"root": data}
    done = change(root, rng)
    text = json.dumps(root["root"])
    if change is nest:
        text = text.replace('"NESTED"', "[" * DEPTH + "]" * DEPTH)
    elif change is double:
        text = text.replace('"DOUBLED": ', f'"{done.split()[-1]}": ')
    path.write_text(text, encoding="utf8")
    return f"{path.name}: {done}"


def find_places(value: Any) -> Iterator[Place]:
    """All values below a value; of long lists and objects, some."""
    items: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    for key, child in items[:30]:
        yield Place(value, key)
        yield from find_places(child)


def replace(root: Any, rng: Random) -> str:
    place = rng.choice(list(find_places(root)))
    old = place.parent[place.key]
    new = rng.choice([*ODD, *vary(old)])
    place.parent[place.key] = new
    return f"{place.key} from {str(old)[:40]!r} to {str(new)[:40]!r}"


def vary(value: Any) -> list[Any]:
    """Values that are nearly the same."""
    near = [[value], {"a": value}, str(value)[:99]]
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 10**15:
        near += 3 * [
            value + 1,
            value - 1,
            value * 2,
            -value,
            float(value),
            value * 10**6,
            value // 2,
        ]
    if isinstance(value, str):
        near += [value.upper(), value + "x", value[:-1], value[::-1]]
    if isinstance(value, list):
        near += [value + value, value[:-1], value[::-1]]
    return near


def remove(root: Any, rng: Random) -> str:
    places = [place for place in find_places(root["root"]) if isinstance(place.parent, dict)]
    if not places:
        return "nothing"
    place = rng.choice(places)
    del place.parent[place.key]
    return f"{place.key} removed"


def add(root: Any, rng: Random) -> str:
    objects = [root["root"], *(p.parent[p.key] for p in find_places(root["root"]))]
    objects = [value for value in objects if isinstance(value, dict)]
    if not objects:
        return "nothing"
    key = rng.choice(KEYS)
    rng.choice([objects[0], rng.choice(objects)])[key] = value = rng.choice(ODD)
    return f"{key} added, {str(value)[:40]!r}"


def double(root: Any, rng: Random) -> str:
    """One key twice, with two values."""
    if not isinstance(root["root"], dict) or not root["root"]:
        return "nothing"
    key = rng.choice(list(root["root"]))
    root["root"]["DOUBLED"] = rng.choice(ODD)
    return f"doubled the key {key}"


def swap(root: Any, rng: Random) -> str:
    places = list(find_places(root["root"]))
    if len(places) < 2:
        return "nothing"
    a, b = rng.sample(places, 2)
    try:
        a.parent[a.key], b.parent[b.key] = b.parent[b.key], a.parent[a.key]
        json.dumps(root)
    except (ValueError, IndexError, KeyError, RecursionError):  # one lay in the other
        root["root"] = {}
    return f"swapped {a.key} and {b.key}"


def nest(root: Any, rng: Random) -> str:
    place = rng.choice(list(find_places(root)))
    place.parent[place.key] = "NESTED"
    return f"{place.key} nested deeply"


#: How often each is taken.
CHANGES: dict[Callable[[Any, Random], str], int] = {
    replace: 12,
    remove: 4,
    add: 5,
    double: 1,
    swap: 2,
    nest: 1,
}
