"""A store holds what spaCy's tokenizer and the pieces make of a corpus, however it is made."""

import filecmp
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import spacy
from spacy.language import Language
from spacy.tokens import Doc

from spacy_ctxemb.pieces.characters import CharacterPieces
from spacy_ctxemb.pieces.subwords import BytePairPieces, WordPieces
from spacy_ctxemb.pretraining.text import shards, token_store, tokenize_chunk, worker_processes
from spacy_ctxemb.pretraining.text.raw_text import Text, TextCorpus
from spacy_ctxemb.pretraining.text.token_store import TokenStore, build_token_store
from spacy_ctxemb.windows.docs_to_pieces import read_texts

from ...tokenizers import build_word_piece

DOCUMENTS = [
    ["A heron can't swim,  can it?", "It waited - by the river.", "Über 1.000 Fische!"],
    ["She took a loan from the bank."],
    ["He waited.", "He waited again, by the river."],
]


@pytest.fixture(scope="module")
def nlp() -> Language:
    return spacy.blank("en")


def write_sentences(path: Path, documents: Sequence[Sequence[str]] = DOCUMENTS) -> TextCorpus:
    """A corpus of a sentence a line."""
    path.write_text("\n\n".join(map("\n".join, documents)) + "\n", encoding="utf8")
    return TextCorpus(str(path))


def read_words(store: TokenStore) -> list[list[list[str]]]:
    """The words of each sentence of each document."""
    words = [store.types[i] for i in store.ids]
    ends = store.sentence_ends.tolist()
    sentences = [words[a:b] for a, b in zip([0, *ends], ends, strict=False)]
    ends = store.document_ends.tolist()
    return [sentences[a:b] for a, b in zip([0, *ends], ends, strict=False)]


def tokenize(nlp: Language, documents: Sequence[Sequence[str]]) -> list[list[list[str]]]:
    return [[[t.text for t in nlp(s) if not t.is_space] for s in d] for d in documents]


def test_words_are_those_of_the_tokenizer(nlp: Language, tmp_path: Path) -> None:
    corpus = write_sentences(tmp_path / "a.txt")
    store = build_token_store(corpus, nlp, CharacterPieces(12), tmp_path / "store")
    assert read_words(store) == tokenize(nlp, DOCUMENTS)
    assert store.word_starts.all()


def test_types_are_sorted_by_frequency(nlp: Language, tmp_path: Path) -> None:
    corpus = write_sentences(tmp_path / "a.txt")
    pieces = CharacterPieces(12)
    store = build_token_store(corpus, nlp, pieces, tmp_path / "store")
    counts = Counter(w for d in tokenize(nlp, DOCUMENTS) for s in d for w in s)
    assert store.types == sorted(counts, key=lambda word: (-counts[word], word))
    assert store.type_counts.tolist() == sorted(counts.values(), reverse=True)
    np.testing.assert_array_equal(store.type_characters, pieces.encode_words(store.types))


def test_chunks_and_processes_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nlp = spacy.blank("en")  # with a change that a worker has to know
    nlp.tokenizer.add_special_case("river.", [{"ORTH": "riv"}, {"ORTH": "er."}])
    corpus = write_sentences(tmp_path / "a.txt")
    pieces = CharacterPieces(12)
    whole = build_token_store(corpus, nlp, pieces, tmp_path / "whole")
    assert read_words(whole) == tokenize(nlp, DOCUMENTS)
    assert "er." in whole.types
    # Chunks of about a sentence, so that documents go on in further chunks.
    monkeypatch.setattr(worker_processes, "CHUNK", 6)
    for n_workers in (0, 1):
        store = build_token_store(
            corpus, nlp, pieces, tmp_path / f"{n_workers}", n_workers=n_workers
        )
        for path in whole.folder.glob("*.npy"):
            np.testing.assert_array_equal(np.load(path), np.load(store.folder / path.name))
        assert store.types == whole.types


def test_sentences_of_whole_documents_are_found_by_rule(nlp: Language, tmp_path: Path) -> None:
    text = "One heron waits. Two herons wait!\nThree swim."
    (tmp_path / "a.txt").write_text(f"{' '.join(text.split())}\nFour.\n", encoding="utf8")
    words = tokenize(nlp, [["One heron waits.", "Two herons wait!", "Three swim."], ["Four."]])
    for split in (True, False):
        corpus = TextCorpus(str(tmp_path / "a.txt"), layout="documents", split=split)
        store = build_token_store(corpus, nlp, CharacterPieces(12), tmp_path / "store")
        assert read_words(store) == (words if split else [[sum(d, [])] for d in words])


def test_pieces_of_a_document_are_those_of_its_text(nlp: Language, tmp_path: Path) -> None:
    """Subword pieces as the component makes them of a Doc: a space before each later sentence."""
    pieces = BytePairPieces(300)
    pieces.train([[text for document in DOCUMENTS for text in document]])
    store = build_token_store(write_sentences(tmp_path / "a.txt"), nlp, pieces, tmp_path / "store")
    docs = [Doc.from_docs([nlp(text) for text in d], ensure_whitespace=True) for d in DOCUMENTS]
    expected = pieces.encode(read_texts(docs))
    np.testing.assert_array_equal(store.ids, expected.ids)
    last_pieces = store.sentence_ends[store.document_ends - 1]
    np.testing.assert_array_equal(last_pieces, np.cumsum(expected.document_lengths))
    sentences = np.split(store.ids, store.sentence_ends[:-1])
    texts = [text for document in DOCUMENTS for text in document]
    assert [pieces.tokenizer.decode(s.tolist()).strip() for s in sentences] == texts
    assert store.types == []


def test_words_begin_where_tokens_do(nlp: Language, tmp_path: Path) -> None:
    pieces = WordPieces(60)
    pieces.load(build_word_piece(["the", "cannot", "her", "##on", "wait", "##s", "."]).to_str())
    corpus = write_sentences(tmp_path / "a.txt", [["the heron cannot wait.", "herons"]])
    store = build_token_store(corpus, nlp, pieces, tmp_path / "store")
    spelt = pieces.spell(store.ids)
    assert spelt == ["the", "her", "##on", "cannot", "wait", ".", "her", "##on", "##s"]
    # spaCy has "can not", two tokens that share a piece.
    assert store.word_starts.tolist() == [not piece.startswith("##") for piece in spelt]


def test_what_has_no_pieces_is_left_out(nlp: Language, tmp_path: Path) -> None:
    """BERT's tokenizers drop control characters, so some sentences and documents are empty."""
    pieces = WordPieces(20)
    pieces.load(build_word_piece(["a", "b"]).to_str())
    documents = [["\u200b"], ["a", "\u200b\u200b", "b"], ["\u200b", "b"], ["\u200b"]]
    corpus = write_sentences(tmp_path / "a.txt", documents)
    store = build_token_store(corpus, nlp, pieces, tmp_path / "store")
    assert pieces.spell(store.ids) == ["a", "b", "b"]
    assert store.sentence_ends.tolist() == [1, 2, 3]
    assert store.document_ends.tolist() == [2, 3]
    corpus = write_sentences(tmp_path / "b.txt", [["\u200b"]])
    with pytest.raises(ValueError, match=r"E411\] Nothing in .*b\.txt has a piece"):
        build_token_store(corpus, nlp, pieces, tmp_path / "store")


def test_a_worker_that_begins_anew_goes_on(
    nlp: Language, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenize_chunk, "MAX_WORDS", 3)
    monkeypatch.setattr(worker_processes, "CHUNK", 6)
    corpus = write_sentences(tmp_path / "a.txt")
    store = build_token_store(corpus, nlp, CharacterPieces(12), tmp_path / "store")
    assert read_words(store) == tokenize(nlp, DOCUMENTS)


@pytest.fixture
def n_encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts were tokenised in each chunk, from now on."""
    sizes: list[int] = []
    encode = tokenize_chunk.Worker.encode

    def encode_counted(self: tokenize_chunk.Worker, chunk: Sequence[Text]) -> shards.Shard:
        sizes.append(len(chunk))
        return encode(self, chunk)

    monkeypatch.setattr(tokenize_chunk.Worker, "encode", encode_counted)
    return sizes


def test_a_store_is_made_once(nlp: Language, tmp_path: Path, n_encoded: list[int]) -> None:
    corpus = write_sentences(tmp_path / "a.txt")
    pieces = CharacterPieces(12)
    first = build_token_store(corpus, nlp, pieces, tmp_path / "store")
    again = build_token_store(corpus, spacy.blank("en"), CharacterPieces(12), tmp_path / "store")
    assert n_encoded == [6]
    assert read_words(again) == read_words(first)
    assert not list((tmp_path / "store").glob("shards*"))


def test_a_stale_store_is_made_anew(nlp: Language, tmp_path: Path, n_encoded: list[int]) -> None:
    def build(corpus: TextCorpus, pieces: CharacterPieces, nlp: Language = nlp) -> int:
        n_encoded.clear()
        build_token_store(corpus, nlp, pieces, tmp_path / "store")
        return sum(n_encoded)

    path = tmp_path / "a.txt"
    corpus, pieces = write_sentences(path), CharacterPieces(12)
    assert build(corpus, pieces) == 6
    assert build(corpus, CharacterPieces(13)) == 6
    assert build(TextCorpus(str(path), limit=1), pieces) == 3
    assert build(TextCorpus(str(path), layout="documents"), pieces) == 6
    assert build(corpus, pieces, spacy.blank("de")) == 6
    assert build(corpus, pieces) == 6
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert build(corpus, pieces) == 6
    assert build(corpus, pieces) == 0


def build_until_killed(corpus: TextCorpus, nlp: Language, folder: Path) -> None:
    """Is killed in the middle of writing its third file of a chunk."""

    def save(tensors: dict[str, Any], path: Path) -> None:
        if len(list(folder.glob("shards-*/??????.safetensors"))) == 2:
            path.write_bytes(b"half of it")
            os.kill(os.getpid(), signal.SIGKILL)
        save_file(tensors, path)

    save_file, safetensors.torch.save_file = safetensors.torch.save_file, save
    worker_processes.CHUNK = 6
    build_token_store(corpus, nlp, CharacterPieces(12), folder)


@pytest.mark.parametrize("name", ["a.txt", "shards/a.txt", f"shards-{'0' * 16}/a.txt"])
def test_files_of_others_are_not_lost(name: str, nlp: Language, tmp_path: Path) -> None:
    corpus = write_sentences(tmp_path / "text.txt")
    (tmp_path / "store" / name).parent.mkdir(parents=True)
    (tmp_path / "store" / name).write_text("the only copy")
    with pytest.raises(ValueError, match=r"\[E416\] .*store is no folder for a token store"):
        build_token_store(corpus, nlp, CharacterPieces(), tmp_path / "store")
    assert (tmp_path / "store" / name).read_text() == "the only copy"


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not bear a fork")
def test_what_was_done_before_a_kill_is_used(
    nlp: Language, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_encoded: list[int]
) -> None:
    corpus = write_sentences(tmp_path / "a.txt")
    folder, pieces = tmp_path / "store", CharacterPieces(12)
    arguments = (corpus, nlp, folder)
    process = get_context("fork").Process(target=build_until_killed, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    with pytest.raises(ValueError, match=r"E410\] .*store is no token store"):
        TokenStore.open(folder)
    assert len(list(folder.glob("shards-*/??????.safetensors"))) == 2

    monkeypatch.setattr(worker_processes, "CHUNK", 6)
    store = build_token_store(corpus, nlp, pieces, folder)
    assert len(n_encoded) == len(list(worker_processes.cut_chunks(corpus))) - 2 > 1
    assert read_words(store) == tokenize(nlp, DOCUMENTS)
    whole = build_token_store(corpus, nlp, pieces, tmp_path / "whole")
    files = [path.name for path in whole.folder.iterdir()]
    assert sorted(files) == sorted(path.name for path in folder.iterdir())
    assert filecmp.cmpfiles(folder, whole.folder, files, shallow=False)[0] == files


def test_shards_of_another_corpus_are_not_used(
    nlp: Language, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A merge that fails leaves its shards."""
    folder, pieces = tmp_path / "store", CharacterPieces(12)
    with monkeypatch.context() as patched:
        patched.setattr(token_store, "merge_shards", lambda *args: 0)
        with pytest.raises(ValueError, match="E411"):
            build_token_store(write_sentences(tmp_path / "a.txt"), nlp, pieces, folder)
    assert len(list(folder.glob("shards-*"))) == 1
    other = [["Another text."]]
    store = build_token_store(write_sentences(tmp_path / "b.txt", other), nlp, pieces, folder)
    assert read_words(store) == tokenize(nlp, other)


def test_a_small_corpus_starts_no_process(
    nlp: Language, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **settings: object) -> None:
        raise RuntimeError("a process")

    monkeypatch.setattr(worker_processes, "ProcessPoolExecutor", refuse)
    corpus, pieces = write_sentences(tmp_path / "a.txt"), CharacterPieces(12)
    store = build_token_store(corpus, nlp, pieces, tmp_path / "store", n_workers=2)
    assert read_words(store) == tokenize(nlp, DOCUMENTS)
    monkeypatch.setattr(worker_processes, "CHUNK", 6)
    with pytest.raises(RuntimeError, match="a process"):
        build_token_store(corpus, nlp, pieces, tmp_path / "chunks", n_workers=2)


#: Prints its worker's id, and waits for it.
WAITING = """
import os, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
import spacy
from spacy_ctxemb.pieces.characters import CharacterPieces
from spacy_ctxemb.pretraining.text.tokenize_chunk import make_recipe
from spacy_ctxemb.pretraining.text.worker_processes import start_worker

if __name__ == "__main__":
    recipe = make_recipe(spacy.blank("en"), CharacterPieces(12), split=False)
    with ProcessPoolExecutor(1, get_context("spawn"), start_worker, (recipe,)) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        pool.submit(time.sleep, 300).result()
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    script = tmp_path / "waiting.py"
    script.write_text(WAITING)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        assert is_running(worker)
        parent.kill()
    deadline = time.monotonic() + 10
    while is_running(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(worker)


def is_running(pid: int) -> bool:
    """Whether a process is there and has not ended; one that nobody has waited for is a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_errors_in_workers_arrive() -> None:
    done: Future[None] = Future()
    done.set_exception(RuntimeError("of a worker"))
    with pytest.raises(RuntimeError, match="of a worker"):
        worker_processes.collect({done}, return_when=FIRST_COMPLETED)
