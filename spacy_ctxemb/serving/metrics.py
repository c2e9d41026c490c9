"""What Prometheus may ask for."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

#: Texts of a batch.
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metrics:
    """Of one application. count_waiting: texts in the queue. timeout: seconds of a request."""

    def __init__(self, count_waiting: Callable[[], float], timeout: float) -> None:
        self.registry = of = CollectorRegistry()
        ProcessCollector(registry=of)
        self.requests = Counter(
            "ctxemb_requests", "Requests by path and status", ("path", "status"), registry=of
        )
        seconds = (*(x for x in Histogram.DEFAULT_BUCKETS if x < timeout), timeout)
        self.seconds = Histogram(
            "ctxemb_request_seconds",
            "Seconds of a request",
            ("path",),
            registry=of,
            buckets=seconds,
        )
        self.words = Counter("ctxemb_words", "Tokens of texts that were answered", registry=of)
        self.batch_texts = Histogram(
            "ctxemb_batch_texts", "Texts of a batch", buckets=SIZES, registry=of
        )
        self.batch_seconds = Histogram("ctxemb_batch_seconds", "Seconds of a batch", registry=of)
        waiting = Gauge("ctxemb_queue_texts", "Texts that wait", registry=of)
        waiting.set_function(count_waiting)

    def note_batch(self, n: int, seconds: float) -> None:
        self.batch_texts.observe(n)
        self.batch_seconds.observe(seconds)
