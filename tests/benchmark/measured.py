"""What a benchmark might have measured."""

from spacy_ctxemb.benchmark.measure import Measured, Setting


def make_measured(
    speeds: dict[tuple[str, int, int, int], float], *, load: float = 0.0, cpu: float = 1.0
) -> Measured:
    """speeds: words a second by precision, threads, size of batches and processes."""
    settings = [
        Setting(*setting, words=[speed - 1, speed, speed + 2], cpu=[cpu], latencies=[0.01, 0.02])
        for setting, speed in speeds.items()
    ]
    precisions = {setting.precision for setting in settings}
    cosines = {"fp32": 1.0, "bf16": 0.9998, "int8": 0.97}
    return Measured(
        least_cosine=0.99,
        n_cores=2,
        load=load,
        sections={"components.ctxemb.model": ["fp32", "bf16", "int8"]},
        has_cache=False,
        settings=settings,
        operations=1e6,
        limits={precision: {1: 1e9, 2: 2e9} for precision in precisions},
        cosines={name: value for name, value in cosines.items() if name in precisions},
        megabytes=dict.fromkeys(precisions, 300.0),
    )
