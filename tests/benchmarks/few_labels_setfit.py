"""One training of SetFit, in an environment of its own: a job as JSON on stdin, a result on stdout.

Source: Tunstall et al. 2022, "Efficient Few-Shot Learning Without Prompts", with the settings of
section 4.1: one epoch, 20 pairs of each kind for a text, batches of 16.
"""

import json
import sys
import tempfile
import time

from datasets import Dataset
from setfit import SetFitModel, Trainer, TrainingArguments


def main() -> None:
    job = json.load(sys.stdin)
    begin = time.process_time()
    labels = sorted({row["label"] for row in job["train"]})
    model = SetFitModel.from_pretrained(job["model"], labels=labels)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            seed=job["seed"],
            batch_size=16,
            num_epochs=1,
            num_iterations=20,
            save_strategy="no",
            report_to="none",
            show_progress_bar=False,
        )
        rows = [{"text": row["text"], "label": row["label"]} for row in job["train"]]
        trainer = Trainer(model=model, args=arguments, train_dataset=Dataset.from_list(rows))
        trainer.train()
    seconds = time.process_time() - begin
    found = model.predict([row["text"] for row in job["test"]], batch_size=64)
    right = [str(a) == row["label"] for a, row in zip(found, job["test"], strict=True)]
    print(json.dumps({"accuracy": sum(right) / len(right), "seconds": seconds}))


if __name__ == "__main__":
    main()
