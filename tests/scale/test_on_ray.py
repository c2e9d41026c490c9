"""Partitions and datasets on Ray: two machines of one core each, as Ray plays them on one."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy

from spacy_ctxemb.scale import encode_dataset, on_ray
from spacy_ctxemb.scale.on_ray import choose_resources, run_on_ray
from spacy_ctxemb.scale.write_partition import PartitionWriter

from ..cli.command import run_well
from .texts import build_job, cut_texts, read_folder, write_inputs

ON_RAY = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_inputs(tmp_path_factory.mktemp("inputs"), 60)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    ray = pytest.importorskip("ray", reason="ray is not installed")
    cluster = start_cluster()
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def start_cluster() -> Any:
    """Ray gives its own processes 30 seconds to start, which a busy machine may not manage."""
    from ray.cluster_utils import Cluster

    for _ in range(4):
        try:
            cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
            cluster.add_node(num_cpus=1)
            return cluster
        except Exception as error:
            reason = error
    pytest.skip(f"Ray does not start: {reason}")


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with pytest.raises(ImportError, match=r"\[E708\].*spacy-ctxemb\[ray\]"):
        encode_dataset(None, "pipeline")


class TestOnRay:
    pytestmark = ON_RAY

    def test_a_dataset(self, cluster: Any, inputs: tuple[Path, Path]) -> None:
        import ray

        texts = ["The bank of the river.", "", "x" * 1_000_001, "One. Two."]
        rows: list[Any] = [{"key": i, "body": text} for i, text in enumerate(texts)]
        fields = {"text_field": "body", "id_field": "key"}
        ds = encode_dataset(ray.data.from_items(rows), inputs[0], "sent", n_actors=1, **fields)
        found = ds.take_all()
        good = sorted((x for x in found if x["error"] is None), key=lambda x: (x["id"], x["start"]))
        failed = {row["id"]: row["error"] for row in found if row["error"]}
        assert failed.keys() == {"2"} and "E706" in failed["2"]
        assert all(row["vector"] is None for row in found if row["error"])
        nlp = spacy.load(inputs[0])
        expected = [sent for i in (0, 1, 3) for sent in nlp(texts[i]).sents]
        assert [row["text"] for row in good] == [sent.text for sent in expected]
        np.testing.assert_allclose(
            [row["vector"] for row in good], [sent.vector for sent in expected], atol=1e-5
        )
        with pytest.raises(ValueError, match=r"\[E837\].*text"):
            encode_dataset(ray.data.from_items(rows), inputs[0])
        rows[0]["key"] = None
        with pytest.raises(Exception, match=r"\[E838\] 1 rows"):
            encode_dataset(ray.data.from_items(rows), inputs[0], n_actors=1, **fields).take_all()

    def test_the_defaults_leave_a_core(
        self, cluster: Any, inputs: tuple[Path, Path], tmp_path: Path
    ) -> None:
        """To what reads and writes the dataset, which else waits for ever."""
        import pyarrow as pa
        import pyarrow.parquet as pq
        import ray

        pq.write_table(
            pa.table({"id": ["a", "b"], "text": ["Otters.", None]}), tmp_path / "in.parquet"
        )
        ds = encode_dataset(ray.data.read_parquet(str(tmp_path / "in.parquet")), inputs[0])
        ds.write_parquet(str(tmp_path / "out"))
        assert pq.read_table(tmp_path / "out")["id"].to_pylist() == ["a", "b"]
        assert encode_dataset(ray.data.from_items([]), inputs[0]).take_all() == []
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 1.0})
            with pytest.raises(ValueError, match=r"\[E836\].*no CPU"):
                encode_dataset(ds, inputs[0])

    def test_the_command_writes_what_it_writes_without_ray(
        self, cluster: Any, inputs: tuple[Path, Path], tmp_path: Path
    ) -> None:
        command = ("encode", *inputs, "--rows-per-partition", "20")
        run_well(*command, tmp_path / "one")
        found = run_well(*command, tmp_path / "ray", "--ray", "--workers", "2")
        assert "Wrote 59 vectors of 60 texts" in found
        assert read_folder(tmp_path / "one") == read_folder(tmp_path / "ray")
        one, ray = ((tmp_path / x / "_manifest.json").read_text() for x in ("one", "ray"))
        assert one == ray

    def test_errors_come_back(
        self, cluster: Any, inputs: tuple[Path, Path], tmp_path: Path
    ) -> None:
        job = build_job(inputs[0], tmp_path / "out", files="another")
        (result, *_) = run_on_ray(None, 1, job, cut_texts(inputs[1], 30))
        assert "[E832]" in result.error
        with pytest.raises(ValueError, match=r"\[E836\].*no GPU"):
            list(run_on_ray(None, None, job._replace(gpu_id=0), cut_texts(inputs[1], 30)))

    def test_what_ends_each_actor_is_not_tried_for_ever(
        self, cluster: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import ray

        monkeypatch.setattr(on_ray, "RETRIES", 3)

        class Deadly:
            def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
                os._exit(1)

        ds = ray.data.from_items([{"id": 1}]).map(Deadly, **choose_resources(-1, 1, 1))
        with pytest.raises(ray.exceptions.RayError, match="died"):
            ds.take_all()

    def test_a_machine_that_dies(
        self, cluster: Any, inputs: tuple[Path, Path], tmp_path: Path
    ) -> None:
        """The last test here, since the machine is gone afterwards."""
        partitions = cut_texts(inputs[1], 2)
        writer = PartitionWriter(build_job(inputs[0], tmp_path / "one"), -1)
        expected = [writer.write(partition) for partition in partitions]
        results = run_on_ray(None, 2, build_job(inputs[0], tmp_path / "two"), partitions)
        found = [next(results), next(results)]
        cluster.remove_node(cluster.list_all_nodes()[1], allow_graceful=False)
        found += results
        assert sorted(found) == expected
        assert read_folder(tmp_path / "one") == read_folder(tmp_path / "two")
