"""What schemathesis makes of the OpenAPI page: thousands of requests, right and wrong."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from ..search.index_of_few import build_pipeline
from .running import running

pytestmark = pytest.mark.slow

#: Of each path.
N_EXAMPLES = 40

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")


def test_every_answer_is_as_the_page_says() -> None:
    with running(build_pipeline(), timeout=20.0, max_texts=8) as server:
        schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{server.port}/openapi.json")
        for found in schema.get_all_operations():
            operation = found.ok()

            @settings(max_examples=N_EXAMPLES, deadline=None, suppress_health_check=[*HealthCheck])
            @given(case=operation.as_strategy())
            def ask(case: Any) -> None:
                case.call_and_validate()

            ask()
