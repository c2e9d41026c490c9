"""The data sets of the table of accuracy."""

from pathlib import Path
from typing import NamedTuple

from .accuracy_runs import Command

#: Where they lie in spaCy's format, unless another folder is given.
CORPORA = Path("corpus/benchmark")


class DataSet(NamedTuple):
    """A folder of train, dev and test.

    corpora: where it lies in spaCy's format. parts: those that are needed. score: the key of
    `spacy evaluate` that is reported.
    """

    name: str
    task: str
    lang: str
    corpora: Path = CORPORA
    parts: tuple[str, ...] = ("train", "dev", "test")

    @property
    def score(self) -> str:
        # Over exclusive classes micro-averaged F is accuracy.
        return "ents_f" if self.task == "ner" else "cats_micro_f"

    def folder(self, data: Path) -> Path:
        return data / self.task / self.name

    @property
    def corpus(self) -> Path:
        return self.corpora / self.name

    def convert(self, data: Path) -> list[Command]:
        """The commands that bring it to spaCy's format."""
        folder, output = self.folder(data), str(self.corpus)
        if self.task == "textcat":
            return [["ctxemb", "convert-textcat", str(folder), output, "--lang", self.lang]]
        options = ["--converter", "ner", "--n-sents", "1", "--lang", self.lang]
        paths = [folder / f"{part}.conll" for part in self.parts]
        return [["convert", str(path), output, *options] for path in paths]


DATA_SETS = {
    data_set.name: data_set
    for data_set in (
        DataSet("wnut17", "ner", "en"),
        DataSet("conll2002_es", "ner", "es"),
        DataSet("conll2002_nl", "ner", "nl"),
        DataSet("wikineural_en", "ner", "en"),
        DataSet("btc", "ner", "en"),
        DataSet("ag_news", "textcat", "en"),
        DataSet("sentence_polarity", "textcat", "en"),
        DataSet("subjectivity", "textcat", "en"),
        DataSet("trec_qc", "textcat", "en"),
    )
}
