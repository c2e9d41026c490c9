"""The files in docs/deploy: commands and paths in them exist, and times fit together."""

import json
import shlex

import pytest
import srsly

from spacy_ctxemb.serving import Settings

from ..docs.commands import check_command
from ..docs.pages import DOCS

pytest.importorskip("fastapi", reason="fastapi is not installed")


def test_the_image() -> None:
    lines = (DOCS / "deploy" / "Dockerfile").read_text(encoding="utf8").splitlines()
    (command,) = (line.removeprefix("CMD ") for line in lines if line.startswith("CMD "))
    check_command(json.loads(command))
    copied = [word for line in lines if line.startswith("COPY p") for word in shlex.split(line)]
    assert all((DOCS.parent / word).exists() for word in copied[1:-1])


def test_the_manifest() -> None:
    parts = (DOCS / "deploy" / "kubernetes.yaml").read_text(encoding="utf8").split("\n---\n")
    deployment, service = map(srsly.yaml_loads, parts)
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    words = [*container["command"], *container["args"]]
    check_command(words)
    probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("readiness", "liveness")}
    assert [probe["path"] for probe in probes.values()] == ["/ready", "/health"]
    port = container["ports"][0]["containerPort"]
    assert {probe["port"] for probe in probes.values()} == {port}
    assert service["spec"]["ports"][0]["targetPort"] == port
    drain = float(words[words.index("--drain") + 1])
    assert pod["terminationGracePeriodSeconds"] > drain + Settings().timeout + 2
    assert set(container["resources"]) == {"requests", "limits"}
