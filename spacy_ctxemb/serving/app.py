"""The application: its paths, and what stands before them."""

from collections.abc import Callable
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import PlainTextResponse
from fastapi.security import HTTPBearer
from spacy.language import Language

from .. import __version__
from . import bodies
from .gate import Gate
from .refusals import add_handlers
from .service import Service
from .settings import Settings


def build_app(nlp: Language, settings: Settings | None = None) -> FastAPI:
    """An ASGI application that answers with what a pipeline makes of texts.

    nlp: from now on the thread of the application uses it, and nothing else may meanwhile.
    settings: None for the defaults.

    Raises E725 for a pipeline whose texts have no vectors of their own, E803 for one that fails,
    ImportError E708 without FastAPI.

        app = spacy_ctxemb.serving.build_app(nlp)
        uvicorn.run(app)
    """
    settings = settings or Settings()
    service = Service(nlp, settings)
    app = FastAPI(
        title=settings.name,
        version=__version__,
        lifespan=service.live,
        dependencies=[Depends(HTTPBearer(auto_error=False))] if settings.api_keys else [],
    )
    app.state.service = service
    add_handlers(app)
    add_paths(app, service)
    paths = frozenset(getattr(route, "path", "") for route in app.routes)
    app.add_middleware(Gate, service=service, paths=paths)
    if settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["Retry-After"],
        )
    return app


def add_paths(app: FastAPI, service: Service) -> None:
    statuses = (401, 408, 413, 422, 500, 503, 504)
    errors: Any = {status: {"model": bodies.ErrorAnswer} for status in statuses}
    posts: dict[str, Callable[..., Any]] = {
        "/v1/docs": service.docs,
        "/v1/embeddings": service.embeddings,
        "/v1/tokens": service.tokens,
        "/embed": service.embed,
    }
    for path, answer in posts.items():
        app.post(path, responses=errors)(answer)
    app.get("/v1/models", responses={401: errors[401]})(service.models)
    plain: Any = {"response_class": PlainTextResponse, "responses": {401: errors[401]}}
    app.get("/metrics", **plain)(service.show_metrics)
    for path, answer in (("/health", service.health), ("/ready", service.ready)):
        app.get(path, responses={503: errors[503]})(answer)
        app.head(path, include_in_schema=False)(answer)
