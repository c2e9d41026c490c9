"""What is switched on in PyTorch changes neither vectors nor what is kept, loaded or trained."""

import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from spacy.language import Language
from thinc.api import Adam, fix_random_seed
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from spacy_ctxemb.cache.feature_cache import build_feature_cache
from spacy_ctxemb.thinc_model.embedder_shim import find_shims
from spacy_ctxemb.torch_state import PROCESS, in_ordinary_torch, ordinary_torch

from .pipelines import BILM, NER_DATA, TRANSFORMER, examples, vectors, with_ner

TEXTS = ["I sat on the bank of the river.", "", "a  \n b", "river bank " * 40]


@contextmanager
def changed(read: Callable[[], Any], write: Callable[[Any], Any], value: object) -> Iterator[None]:
    before = read()
    write(value)
    try:
        yield
    finally:
        write(before)


def default_dtype(dtype: torch.dtype) -> AbstractContextManager[None]:
    return changed(torch.get_default_dtype, torch.set_default_dtype, dtype)


def precision(value: str) -> AbstractContextManager[None]:
    return changed(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, value)


def default_device(device: str) -> AbstractContextManager[None]:
    return changed(lambda: None, torch.set_default_device, device)


def deterministic() -> AbstractContextManager[None]:
    return changed(
        torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms, True
    )


def swapped() -> AbstractContextManager[None]:
    future = torch.__future__
    read, write = (getattr(future, f"{x}_swap_module_params_on_conversion") for x in ("get", "set"))
    return changed(read, write, True)


def fake() -> AbstractContextManager[Any]:
    from torch._subclasses.fake_tensor import FakeTensorMode

    return FakeTensorMode()


class Halved(TorchFunctionMode):
    """Halves whatever a function makes in floats."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        is_tensor = isinstance(result, torch.Tensor) and result.is_floating_point()
        return result / 2 if is_tensor else result


SWITCHES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "autocast in bf16": lambda: torch.autocast("cpu", torch.bfloat16),
    "autocast in fp16": lambda: torch.autocast("cpu", torch.float16),
    "default dtype fp64": lambda: default_dtype(torch.float64),
    "default dtype bf16": lambda: default_dtype(torch.bfloat16),
    "default device": lambda: default_device("meta"),
    "device": lambda: torch.device("meta"),
    "inference mode": torch.inference_mode,
    "no grad": torch.no_grad,
    "grad off": lambda: changed(torch.is_grad_enabled, torch.set_grad_enabled, False),
    "deterministic": deterministic,
    "without oneDNN": lambda: changed(
        torch._C._get_mkldnn_enabled, torch._C._set_mkldnn_enabled, False
    ),
    "threads": lambda: changed(torch.get_num_threads, torch.set_num_threads, 2),
    "medium products": lambda: precision("medium"),
    "anomaly": lambda: torch.autograd.detect_anomaly(),
    "forward gradients": torch.autograd.forward_ad.dual_level,
    "cuDNN's attention": lambda: sdpa_kernel(SDPBackend.CUDNN_ATTENTION),
    "function mode": Halved,
    "fake tensors": fake,
    "swapped parameters": swapped,
    "saved tensors": torch.autograd.graph.save_on_cpu,
}

pytestmark = [
    pytest.mark.filterwarnings("ignore:Anomaly Detection"),
    pytest.mark.filterwarnings("ignore:`torch.jit"),  # of PyTorch's own, on import
]

#: PyTorch adds some of these while it is imported.
backends: Any = torch.backends

#: Those that did harm, each in a way of its own.
HARMFUL = (
    *("autocast in bf16", "default dtype fp64", "default device", "inference mode"),
    *("cuDNN's attention", "function mode", "fake tensors"),
)

each_switch = pytest.mark.parametrize(
    "switch",
    [
        pytest.param(name, marks=() if name in HARMFUL else pytest.mark.slow, id=name)
        for name in SWITCHES
    ],
)


def train(nlp: Language) -> list[torch.Tensor]:
    """A few steps. Returns the parameters of `ctxemb`."""
    fix_random_seed(0)
    optimizer = Adam(0.01)
    for _ in range(3):
        nlp.update(examples(nlp, NER_DATA), sgd=optimizer, drop=0.0)
    return read_parameters(nlp)


def get_pipe(nlp: Language) -> Any:
    return nlp.get_pipe("ctxemb")


def read_parameters(nlp: Language) -> list[torch.Tensor]:
    (shim,) = find_shims(get_pipe(nlp).model)
    return [parameter for _, parameter in shim.named_parameters()]


class Expected:
    """A stored pipeline, its vectors, and its parameters after some training."""

    def __init__(self, model: dict[str, Any], path: Path) -> None:
        self.path = path
        self.model = model
        with_ner(model).to_disk(path)
        self.nlp = nlp = self.load()
        self.vectors = vectors(nlp, TEXTS)
        before = [parameter.detach().clone() for parameter in read_parameters(nlp)]
        self.trained = [parameter.detach().clone() for parameter in train(nlp)]
        assert any((x != y).any() for x, y in zip(before, self.trained, strict=True))

    def load(self) -> Language:
        return spacy.load(self.path)

    def reset(self) -> Language:
        """The pipeline as it was stored."""
        return self.nlp.from_disk(self.path)

    def check(self, found: list[Any]) -> None:
        for one, expected in zip(found, self.vectors, strict=True):
            assert one.dtype == np.float32
            np.testing.assert_allclose(one, expected, rtol=0, atol=1e-5)

    def check_training(self, found: list[torch.Tensor]) -> None:
        for one, expected in zip(found, self.trained, strict=True):
            assert one.dtype == torch.float32 and not one.is_inference()
            torch.testing.assert_close(one.detach(), expected, rtol=0, atol=1e-3)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Expected:
    return Expected(BILM, tmp_path_factory.mktemp("bilm"))


@pytest.fixture(scope="module")
def transformer(tmp_path_factory: pytest.TempPathFactory) -> Expected:
    return Expected(TRANSFORMER, tmp_path_factory.mktemp("transformer"))


@each_switch
def test_vectors_are_the_same_inside_and_afterwards(stored: Expected, switch: str) -> None:
    nlp = stored.reset()
    with SWITCHES[switch]():
        stored.check(vectors(nlp, TEXTS))
    stored.check(vectors(nlp, TEXTS))
    stored.check_training(train(nlp))


@each_switch
def test_a_transformers_vectors_are_the_same(transformer: Expected, switch: str) -> None:
    test_vectors_are_the_same_inside_and_afterwards(transformer, switch)


@each_switch
def test_what_was_loaded_or_copied_inside_can_be_trained(stored: Expected, switch: str) -> None:
    nlp = stored.reset()
    with SWITCHES[switch]():
        loaded = stored.load()
        nlp.from_bytes(nlp.to_bytes())
        copied = get_pipe(nlp).model.copy()
    stored.check(vectors(loaded, TEXTS))
    stored.check_training(train(loaded))
    stored.check_training(train(nlp))
    (shim,) = find_shims(copied)
    assert not any(parameter.is_inference() for parameter in shim.module.parameters())


@pytest.mark.parametrize("switch", ["autocast in bf16", "default dtype fp64", "inference mode"])
def test_what_was_unpickled_inside_can_be_trained(stored: Expected, switch: str) -> None:
    data = pickle.dumps(stored.load())
    with SWITCHES[switch]():
        nlp = pickle.loads(data)
    stored.check(vectors(nlp, TEXTS))
    stored.check_training(train(nlp))


@each_switch
def test_what_was_built_and_saved_inside_is_ordinary(
    stored: Expected, switch: str, tmp_path: Path
) -> None:
    with SWITCHES[switch]():
        with_ner(stored.model).to_disk(tmp_path)
    nlp = spacy.load(tmp_path)
    stored.check(vectors(nlp, TEXTS))
    stored.check_training(train(nlp))


@each_switch
def test_training_inside_is_the_same(stored: Expected, switch: str) -> None:
    if switch in ("function mode", "fake tensors"):
        pytest.skip("it changes what the optimizer of spaCy makes")
    nlp = stored.reset()
    with SWITCHES[switch]():
        train(nlp)
    stored.check_training(read_parameters(nlp))


@each_switch
def test_caches_hold_nothing_wrong(stored: Expected, switch: str, tmp_path: Path) -> None:
    nlp = stored.reset()
    pipe = get_pipe(nlp)
    pipe.cache = build_feature_cache(str(tmp_path))
    with SWITCHES[switch]():
        vectors(nlp, TEXTS)
    hits = pipe.counts["cache_hits"]
    stored.check(vectors(nlp, TEXTS))
    pipe.cache = None
    assert pipe.counts["cache_hits"] - hits == len(TEXTS)


def test_precision_of_products_is_that_of_fp32() -> None:
    if not hasattr(torch._C, "_get_fp32_precision_getter"):
        pytest.skip("PyTorch is too old to tell")
    with precision("medium"):
        before = backends.mkldnn.matmul.fp32_precision
        with ordinary_torch():
            assert backends.mkldnn.matmul.fp32_precision == "ieee"
        assert backends.mkldnn.matmul.fp32_precision == before == "bf16"


def test_a_precision_of_all_backends_stays_one_of_all() -> None:
    if not hasattr(torch._C, "_get_fp32_precision_getter"):
        pytest.skip("PyTorch is too old to tell")
    matmul = backends.mkldnn.matmul
    with changed(
        lambda: matmul.fp32_precision, lambda x: setattr(matmul, "fp32_precision", x), "none"
    ):
        backends.fp32_precision = "tf32"
        try:
            with ordinary_torch():
                assert matmul.fp32_precision == "ieee"
        finally:
            backends.fp32_precision = "none"
        assert matmul.fp32_precision == "none"


@pytest.mark.parametrize("before", ["highest", "high", "medium"])
@pytest.mark.parametrize("after", ["highest", "high", "medium"])
def test_a_precision_set_meanwhile_stays(before: str, after: str) -> None:
    """It never is one of which PyTorch says that two ways to set it were mixed."""
    n_settings = len(PROCESS.settings)
    with precision(before):
        with ordinary_torch():
            torch.set_float32_matmul_precision(after)
            with ordinary_torch():
                if n_settings > 3:
                    assert backends.mkldnn.matmul.fp32_precision == "ieee"
        assert torch.get_float32_matmul_precision() == after
        if n_settings > 3 and after != before:
            expected = {"highest": "ieee", "high": "tf32", "medium": "bf16"}[after]
            assert backends.mkldnn.matmul.fp32_precision == expected
    assert torch.get_float32_matmul_precision() == "highest"


def test_a_dtype_set_meanwhile_stays() -> None:
    with default_dtype(torch.float64):
        with ordinary_torch():
            torch.set_default_dtype(torch.bfloat16)
        assert torch.get_default_dtype() == torch.bfloat16


def test_weights_stored_in_another_dtype_are_read_as_fp32(stored: Expected, tmp_path: Path) -> None:
    nlp = stored.load()
    (shim,) = find_shims(get_pipe(nlp).model)
    shim.module.double()
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    stored.check(vectors(again, TEXTS))
    stored.check_training(train(again))


def test_threads_share_the_settings_of_the_process() -> None:
    """The default dtype is one for all threads: it is as before once the last one has left."""
    barrier, wrong = threading.Barrier(4), []

    @in_ordinary_torch
    def compute(seconds: float) -> None:
        time.sleep(seconds)
        if torch.ones(1).dtype != torch.float32:
            wrong.append(seconds)

    def run(i: int) -> None:
        barrier.wait()
        for j in range(20):
            compute((i + j) % 4 * 1e-3)

    with default_dtype(torch.float64):
        threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
        assert torch.get_default_dtype() == torch.float64


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_has_the_settings_of_the_user() -> None:
    """A thread that is inside is missing in the child, and restores nothing there."""
    inside, leave = threading.Event(), threading.Event()

    @in_ordinary_torch
    def wait() -> None:
        inside.set()
        leave.wait()

    with default_dtype(torch.float64):
        thread = threading.Thread(target=wait)
        thread.start()
        inside.wait()
        child = os.fork()
        if not child:
            os._exit(0 if torch.get_default_dtype() == torch.float64 else 1)
        _, status = os.waitpid(child, 0)
        leave.set()
        thread.join()
        assert status == 0
        assert torch.get_default_dtype() == torch.float64


def test_functions_of_torch_func_change_nothing(stored: Expected) -> None:
    nlp, found = stored.reset(), []

    def square(x: torch.Tensor) -> torch.Tensor:
        found.append(vectors(nlp, TEXTS))
        return (x**2).sum()

    torch.func.grad(square)(torch.ones(3))
    torch.vmap(square)(torch.ones(2, 3))
    torch.func.jvp(square, (torch.ones(3),), (torch.ones(3),))
    for one in found:
        stored.check(one)
    stored.check_training(train(nlp))


@pytest.mark.slow
def test_compiled_code_of_the_user_changes_nothing(stored: Expected) -> None:
    nlp = stored.reset()

    def run(x: torch.Tensor) -> tuple[torch.Tensor, list[Any]]:
        return x * 2, [nlp(text).tensor for text in TEXTS]

    compiled = torch.compile(run, backend="eager")
    for _ in range(2):
        stored.check(compiled(torch.ones(3))[1])
    stored.check_training(train(nlp))


def test_it_takes_little_time() -> None:
    """Some microseconds; each call of the encoder takes a thousand at least."""

    @in_ordinary_torch
    def nothing() -> None: ...

    times = []
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(200):
            nothing()
        times.append((time.perf_counter() - start) / 200)
    assert min(times) < 50e-6
