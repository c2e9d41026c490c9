"""PyTorch as it is when nobody has switched anything on."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial, wraps
from threading import get_ident
from types import FunctionType
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

import torch

from .fork_lock import LOCK

P = ParamSpec("P")
T = TypeVar("T")

#: What torch.compile uses to look at each function that is called. torch.compiler would do, but it
#: takes a second to import.
FRAMES = torch._C._dynamo.eval_frame


@contextmanager
def ordinary_torch() -> Iterator[None]:
    """Inside, PyTorch computes, builds and loads as in a fresh process.

    Outside, the user may have changed what changes numbers or types (torch.autocast, the default
    dtype and device, the precision of products, a choice of attention kernels), or what makes
    tensors that cannot be trained or stored (torch.inference_mode, FakeTensorMode, torch.func).
    What keeps numbers the same stays as it is: no_grad, deterministic algorithms,
    threads, oneDNN turned off, anomaly detection. All is as before afterwards.

    It takes some microseconds.
    """
    with ExitStack() as stack:
        for is_on, leave in SWITCHES:
            if is_on():
                stack.enter_context(leave())
        yield


def in_ordinary_torch(function: Callable[P, T]) -> Callable[P, T]:
    """Run a function in `ordinary_torch`. Where the user's code is compiled, this one is not."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with ordinary_torch():
            return function(*args, **kwargs)

    run._torchdynamo_disable = True  # type: ignore[attr-defined] # as torch.compiler.disable does
    if hasattr(FRAMES, "set_code_exec_strategy"):  # PyTorch 2.7
        skip = FRAMES._FrameAction.SKIP
        strategy = FRAMES._FrameExecStrategy(skip, skip)
        FRAMES.set_code_exec_strategy(cast(FunctionType, run).__code__, strategy)
    return run


@contextmanager
def without_autocast() -> Iterator[None]:
    """Turn autocast off on all devices, and forget copies of weights that it has made: training
    changes weights while a block of the user's goes on."""
    torch.clear_autocast_cache()
    with ExitStack() as stack:
        for device in AUTOCAST_DEVICES:
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        yield


def without_function_modes() -> ExitStack:
    """Take off what stands between calls and PyTorch; a default device is such a mode."""
    stack = ExitStack()
    for _ in range(torch._C._len_torch_function_stack()):
        mode = torch._C._pop_torch_function_stack()
        stack.callback(torch._C._push_on_torch_function_stack, mode)
    return stack


def without_fake_tensors() -> ExitStack:
    """Make tensors that have values."""
    stack = ExitStack()
    stack.callback(torch._C._set_dispatch_mode, cast(Any, torch._C._unset_dispatch_mode(FAKE)))
    return stack


def without_transforms() -> AbstractContextManager[Any]:
    """Leave torch.func.grad, vmap and their like."""
    from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

    return temporarily_clear_interpreter_stack()


class Setting(NamedTuple):
    """A setting of the whole process. ordinary: the values under which vectors are right, the
    first of them to be set. trace: what else changes where somebody sets it."""

    ordinary: tuple[Any, ...]
    read: Callable[[], Any]
    write: Callable[[Any], Any]
    trace: Callable[[], Any] = lambda: None

    def look(self) -> tuple[Any, Any]:
        """What tells whether somebody has set it meanwhile."""
        return self.read(), self.trace()


class ProcessSettings:
    """Settings that threads share: the first one inside sets them, the last one restores them,
    but for those that somebody else has set meanwhile."""

    def __init__(self, settings: list[Setting]) -> None:
        self.settings = settings
        self.before: dict[int, Any] = {}
        self.seen: dict[int, tuple[Any, Any]] = {}  # once they were set here
        self.inside: Counter[int] = Counter()

    def are_changed(self) -> bool:
        """Whether one of them has to be set, or another thread relies on it."""
        return bool(self.inside) or any(x.read() not in x.ordinary for x in self.settings)

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Inside, all have an ordinary value."""
        thread = get_ident()
        with LOCK:
            self.drop_overwritten()
            for i, setting in enumerate(self.settings):
                found = setting.read()
                if found not in setting.ordinary:
                    self.before[i] = found
                    setting.write(setting.ordinary[0])
            for i in self.before.keys() - self.seen.keys():
                self.seen[i] = self.settings[i].look()
            self.inside[thread] += 1
        try:
            yield
        finally:
            with LOCK:
                self.inside[thread] -= 1
                self.leave()

    def leave(self) -> None:
        """Set what was there before, once the last thread has left."""
        if not +self.inside:
            self.drop_overwritten()
            for i, value in self.before.items():
                self.settings[i].write(value)
            self.before.clear()
            self.seen.clear()
            self.inside.clear()

    def drop_overwritten(self) -> None:
        """Forget what was there before somebody else has set it."""
        for i in [i for i, seen in self.seen.items() if self.settings[i].look() != seen]:
            del self.before[i], self.seen[i]

    def forget_others(self) -> None:
        """In a forked process there is no thread but the one that forked."""
        self.inside = Counter({get_ident(): self.inside[get_ident()]})
        self.leave()


def precision_of_products(backend: str) -> Setting:
    """Of products of fp32 factors, which PyTorch can round to TF32 or bf16."""

    def write(value: str) -> None:
        torch._C._set_fp32_precision_setter(backend, "matmul", "none")
        if torch._C._get_fp32_precision_getter(backend, "matmul") != value:  # as of all backends
            torch._C._set_fp32_precision_setter(backend, "matmul", value)

    read = partial(torch._C._get_fp32_precision_getter, backend, "matmul")
    return Setting(("ieee", "none"), read, write, trace_precision)


def trace_precision() -> str | None:
    """What torch.set_float32_matmul_precision has set, together with the precision of each backend:
    it refuses to tell where that is another one. None where it refuses."""
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return None


def list_settings() -> list[Setting]:
    """Those of the whole process that change vectors."""
    settings = [
        Setting((torch.float32,), torch.get_default_dtype, torch.set_default_dtype),
        Setting((True,), torch._C._get_math_sdp_enabled, torch._C._set_sdp_use_math),
    ]
    if hasattr(torch._C, "_get_fp32_precision_getter"):  # PyTorch 2.9
        return [*settings, *map(precision_of_products, ("mkldnn", "cuda"))]
    read, write = torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
    return [*settings, Setting(("highest",), read, write)]


FAKE = torch._C._TorchDispatchModeKey.FAKE
AUTOCAST_DEVICES = ("cpu", "cuda", "mps", "xpu")
PROCESS = ProcessSettings(list_settings())

#: Whether something is switched on, and how to leave it.
SWITCHES: list[tuple[Callable[[], Any], Callable[[], AbstractContextManager[Any]]]] = [
    (torch.is_inference_mode_enabled, partial(torch.inference_mode, False)),
    (torch._C._is_any_autocast_enabled, without_autocast),
    (torch._C._len_torch_function_stack, without_function_modes),
    (partial(torch._C._get_dispatch_mode, FAKE), without_fake_tensors),
    (lambda: torch._C._functorch.peek_interpreter_stack(), without_transforms),
    (PROCESS.are_changed, PROCESS.restored),
]

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=PROCESS.forget_others)
