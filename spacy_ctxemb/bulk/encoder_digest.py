"""Short names for what decides vectors: an encoder, and the files of a whole pipeline."""

import json
from pathlib import Path

from spacy.language import Language
from thinc.api import to_numpy

from ..cache.keys import describe, digest, digest_text, to_plain
from ..read_files import compute_checksum
from ..stack.join_members import find_mix
from ..stack.name_encoders import name_encoders
from .needed_components import find_embedder

#: Characters of a digest.
LENGTH = 32


def digest_encoder(nlp: Language) -> str:
    """The digest of the encoder whose vectors the Docs of a pipeline have: of weights, settings,
    pieces and pooling. Precision and the version of this package do not count.

    Raises E700 where no component writes vectors, E008 for an encoder without weights.
    """
    pipe = find_embedder(nlp)
    parts = [json.dumps([pipe.doc_pooling, pipe.normalize]).encode("ascii")]
    for shim in name_encoders(pipe.model, pipe.name).values():
        shim.check_materialised()
        settings = describe(shim)
        del settings["version"]
        settings["encoder"] = settings["encoder"][:2]
        parts.append(json.dumps(settings, default=to_plain).encode("ascii"))
        parts += [shim.weights_digest.get(shim.embedder), digest_text(shim.pieces.content)]
    mix = find_mix(pipe.model)
    parts.append(b"" if mix is None else mix.to_bytes())
    for node in pipe.model.walk():
        parts += [to_numpy(node.get_param(name)).tobytes() for name in node.param_names]
        if node.name == "ctxemb-static":
            parts.append(nlp.vocab.vectors.to_bytes())
    return digest(*parts).hex()[:LENGTH]


def digest_files(nlp: Language) -> str:
    """The digest of the files that a pipeline was loaded from: config, tokenizer, vocabulary and
    components, and nothing else that lies beside them."""
    folder, names = Path(str(nlp.path)), {"config.cfg", "tokenizer", "vocab", *nlp.pipe_names}
    roots = [path for path in sorted(folder.iterdir()) if {path.name, path.stem} & names]
    files = [file for root in roots for file in (root, *sorted(root.rglob("*"))) if file.is_file()]
    rows = [(str(file.relative_to(folder)), compute_checksum(file)) for file in files]
    return digest(json.dumps(rows).encode("ascii")).hex()[:LENGTH]
