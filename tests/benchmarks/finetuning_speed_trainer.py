"""The process in which Hugging Face's Trainer runs for finetuning_speed.py.

    python tests/benchmarks/finetuning_speed_trainer.py < JOB

It reads a job, see `describe` there, and prints the seconds of all steps but the first. It needs
torch, transformers and accelerate alone.
"""

import json
import sys
import tempfile
import time
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

#: The class of what is not counted: boundary pieces, and pieces after the first of a word.
NOTHING = -100

KINDS = {
    "ner": (AutoModelForTokenClassification, DataCollatorForTokenClassification),
    "textcat": (AutoModelForSequenceClassification, DataCollatorWithPadding),
}


def main() -> None:
    print(json.dumps(train(json.load(sys.stdin))))


def train(job: dict[str, Any]) -> dict[str, float]:
    """Seconds of all steps but the first."""
    torch.manual_seed(0)
    examples = [example for batch in job["batches"] for example in batch]
    names = sorted({name for one in examples for name in one.get("tags", [one.get("label")])})
    build_model, build_collator = KINDS[job["task"]]
    config = AutoConfig.from_pretrained(job["encoder"], num_labels=len(names))
    tokenizer = AutoTokenizer.from_pretrained(job["encoder"])
    # Saved weights may be in another type.
    model = build_model.from_pretrained(job["encoder"], config=config, dtype=torch.float32)
    longest = config.max_position_embeddings
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        GivenBatches(
            batches=job["batches"],
            model=model,
            args=choose_arguments(job, folder),
            train_dataset=[number(one, tokenizer, names, longest) for one in examples],
            data_collator=build_collator(tokenizer),
            callbacks=[clock],
        ).train()
    return clock.read()


def number(example: dict[str, Any], tokenizer: Any, names: list[str], longest: int) -> dict:
    """A training example as numbers; the first piece of a word has its class."""
    if "label" in example:
        inputs = tokenizer(example["text"], truncation=True, max_length=longest)
        return {**inputs, "labels": names.index(example["label"])}
    inputs = tokenizer(
        example["words"], is_split_into_words=True, truncation=True, max_length=longest
    )
    words = inputs.word_ids()
    labels = [
        NOTHING if word is None or word == before else names.index(example["tags"][word])
        for before, word in zip([None, *words], words, strict=False)
    ]
    return {**inputs, "labels": labels}


def choose_arguments(job: dict[str, Any], folder: str) -> TrainingArguments:
    return TrainingArguments(
        output_dir=folder,
        num_train_epochs=1,
        learning_rate=job["rate"],
        max_grad_norm=0.0,
        bf16=job["precision"] == "bf16",
        use_cpu=True,
        logging_strategy="no",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )


class GivenBatches(Trainer):
    """A Trainer whose batches are decided already, in their sizes and their order."""

    def __init__(self, *, batches: list[list[Any]], **arguments: Any) -> None:
        super().__init__(**arguments)
        numbers = iter(range(sum(map(len, batches))))
        self.batches = [[next(numbers) for _ in batch] for batch in batches]

    def get_train_dataloader(self) -> torch.utils.data.DataLoader:
        return torch.utils.data.DataLoader(
            self.train_dataset, batch_sampler=self.batches, collate_fn=self.data_collator
        )


class Clock(TrainerCallback):
    """The time from the end of the first step to that of the last."""

    def __init__(self) -> None:
        self.times: list[tuple[float, float]] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.times.append((time.perf_counter(), time.process_time()))

    def read(self) -> dict[str, float]:
        (start, cpu_start), (end, cpu_end) = self.times[0], self.times[-1]
        return {
            "steps": len(self.times) - 1,
            "seconds": end - start,
            "cpu_seconds": cpu_end - cpu_start,
        }


if __name__ == "__main__":
    main()
