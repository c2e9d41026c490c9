"""The training loop."""

import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.amp import GradScaler
from torch.distributed.tensor import DTensor
from torch.nn.utils import clip_grad_norm_

from ..errors import Errors
from ..objectives.base import Losses, Sums, add_losses, summarise
from ..read_files import reading
from .distributed import Processes, distribute, without_synchronisation
from .pretrain_section import PretrainSettings
from .save_and_resume import PROGRESS, Progress, RunCheckpoints, Shard
from .tasks.base import Batch, StepOutput, Task, to_device

#: Steps skipped one after the other after which training stops.
MAX_SKIPPED = 10

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Report(NamedTuple):
    """Reports a step and, in `scores`, an evaluation after it.

    words: read so far by all processes. losses: mean nats of a target, by name. words_per_second:
    since this process began to train.
    """

    step: int
    words: int
    losses: dict[str, float]
    learn_rate: float
    grad_norm: float
    words_per_second: float
    scores: dict[str, float] | None


class Trainer:
    """Takes a task through its steps.

    Example:
        trainer = Trainer(task, settings, processes, checkpoints)
        trainer.resume()
        trainer.run(on_step=print)
    """

    def __init__(
        self,
        task: Task,
        settings: PretrainSettings,
        processes: Processes,
        checkpoints: RunCheckpoints,
    ) -> None:
        self.task = task
        self.settings = settings
        self.processes = processes
        self.checkpoints = checkpoints
        self.progress = Progress()
        self.n_skipped = 0
        self.module = distribute(task.to(processes.device), settings, processes)
        self.optimizer = settings.optimizer(self.module.named_parameters())
        self.scaler = GradScaler(processes.device.type, enabled=settings.precision == "fp16")
        n_shards = processes.n * settings.accumulate
        first = processes.rank * settings.accumulate
        self.shards = [
            Shard(
                number,
                task.open_stream(number, n_shards),
                to_device(task.start(), processes.device),
            )
            for number in range(first, first + settings.accumulate)
        ]

    def resume(self) -> list[str]:
        """Go on from the last checkpoint that is whole. Returns the names of damaged ones.

        Raises E463 if all are damaged, and what RunCheckpoints.load raises.
        """
        path, damaged = self.checkpoints.find_last()
        if path is not None:
            self.progress, self.shards = self.checkpoints.load(
                path, self.module, self.optimizer, self.shards
            )
            if self.progress.scaler:
                with reading(path / PROGRESS, "the progress of a run in fp16"):
                    self.scaler.load_state_dict(dict(self.progress.scaler))
        return damaged

    def run(self, on_step: Callable[[Report], None] = lambda report: None) -> None:
        """Take all steps that are left, and end with a checkpoint.

        on_step: is given a Report after each step. Raises E464 if steps are never finite.
        """
        settings = self.settings
        start, words_before = time.monotonic(), self.progress.words
        self.module.train()
        while self.progress.steps < settings.max_steps:
            step = self.progress.steps
            losses, grad_norm, n_words = self.take_step(step)
            words = self.progress.words + n_words
            self.progress = Progress(step + 1, words, self.scaler.state_dict())
            is_last = step + 1 == settings.max_steps
            is_evaluated = is_last or (step + 1) % settings.eval_every == 0
            speed = (words - words_before) / max(time.monotonic() - start, 1e-9)
            scores = self.evaluate() if is_evaluated else None
            rate = settings.learn_rate(step)
            on_step(Report(step + 1, words, losses, rate, grad_norm, speed, scores))
            if is_last or (step + 1) % settings.checkpoint_every == 0:
                self.checkpoints.save(self.progress, self.module, self.optimizer, self.shards)

    def take_step(self, step: int) -> tuple[dict[str, float], float, int]:
        """Change the weights once. Returns losses, the norm of the gradients, and words read."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learn_rate(step)
        sums: Sums = {}
        n_words = 0
        outputs = []
        for i, shard in enumerate(self.shards):
            batch = to_device(shard.stream.next_batch(step), self.processes.device)
            n_words += self.task.count_words(batch)
            is_last = i + 1 == len(self.shards)
            with nullcontext() if is_last else without_synchronisation(self.module):
                losses, carried = self.backpropagate(batch, shard, step)
            outputs.append(shard._replace(carried=carried))
            add_losses(sums, losses)
        grad_norm = self.change_weights()
        if math.isfinite(grad_norm):  # what is not would never be finite again
            self.shards = outputs
        sums = self.processes.add_up({**sums, "words": (n_words, 1.0)})
        total_words = int(sums.pop("words")[0])
        means = {name: total / max(n, 1.0) for name, (total, n) in sums.items()}
        return means, grad_norm, total_words

    def backpropagate(self, batch: Batch, shard: Shard, step: int) -> StepOutput:
        """Add the gradient of one micro-batch's loss."""
        # Of dropout and of samples: random numbers that depend on nothing else.
        seeds = np.random.SeedSequence([self.settings.seed, step, shard.number])
        torch.manual_seed(int(seeds.generate_state(1, np.uint64)[0] >> 1))
        with self._cast_products():
            output: StepOutput = self.module(batch, shard.carried)
            loss = weighted_mean(output.losses, self.task.loss_weights) / len(self.shards)
        self.scaler.scale(loss).backward()
        return output

    def change_weights(self) -> float:
        """Take a step of the optimizer, unless a gradient is not finite. Returns their norm."""
        self.scaler.unscale_(self.optimizer)
        limit = self.settings.grad_clip or math.inf
        measured = clip_grad_norm_(self.module.parameters(), limit, foreach=True)
        norm = float(measured.full_tensor() if isinstance(measured, DTensor) else measured)
        if math.isfinite(norm):
            self.scaler.step(self.optimizer)
            self.n_skipped = 0
        else:
            self.n_skipped += 1
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        # In fp16 the scale of the loss falls at each skipped step, until gradients fit.
        can_shrink = self.scaler.is_enabled() and self.scaler.get_scale() > 1.0
        if self.n_skipped >= MAX_SKIPPED and not can_shrink:
            raise RuntimeError(Errors.E464.format(n=self.n_skipped, step=self.progress.steps))
        return norm

    def evaluate(self) -> dict[str, float]:
        """Compute scores on held-out text, in all processes."""
        self.module.eval()
        if self.settings.parallel == "fsdp":  # no process can compute without the others
            sums = self.task.evaluate(0, 1)
        else:
            sums = self.processes.add_up(self.task.evaluate(*self.processes[:2]))
        self.module.train()
        return summarise(sums)

    def _cast_products(self) -> AbstractContextManager[Any]:
        dtype = DTYPES.get(self.settings.precision)
        if dtype is None:
            return nullcontext()
        return torch.autocast(self.processes.device.type, dtype)


def weighted_mean(losses: Losses, weights: Mapping[str, float]) -> Tensor:
    means = [
        weights[name] * nll / max(losses.n_targets[name], 1) for name, nll in losses.nll.items()
    ]
    return torch.stack(means).sum()
