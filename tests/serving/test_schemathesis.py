"""What schemathesis makes of the OpenAPI page: thousands of requests, right and wrong."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from ..search.index_of_few import build_pipeline
from .running import running

pytestmark = pytest.mark.slow

#: Of each path.
N_EXAMPLES = 40

#: What the pipeline and the settings do not allow, which the page cannot say.
LIMITS = ("E812", "E818")

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
from schemathesis.specs.openapi.checks import positive_data_acceptance  # noqa: E402


def test_every_answer_is_as_the_page_says() -> None:
    with running(build_pipeline(), timeout=20.0, max_texts=8) as server:
        schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{server.port}/openapi.json")
        for found in schema.get_all_operations():
            operation = found.ok()

            @settings(max_examples=N_EXAMPLES, deadline=None, suppress_health_check=[*HealthCheck])
            @given(case=operation.as_strategy())
            def ask(case: Any) -> None:
                response = case.call()
                is_limit = response.status_code == 422 and code_of(response) in LIMITS
                excluded = [positive_data_acceptance] * is_limit
                case.validate_response(response, excluded_checks=excluded)

            ask()


def code_of(response: Any) -> Any:
    return response.json()["error"]["code"]
