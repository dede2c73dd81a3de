"""How the confidence of several claims becomes one."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.support import Given, Time, aggregate, configuration, plain, published, source
from tipline.engine.core import Engine


@pytest.mark.parametrize(
    ("way", "merged"),
    [
        ("max", 90),
        ("mean", 50),
        ("noisy-or", 95),  # 1 - (1 - 0.9) * (1 - 0.4) * (1 - 0.2)
        ("weighted", 36),  # (90 * 10 + 40 * 80 + 20 * 50) / (10 + 80 + 50)
    ],
)
def test_several_claims(tmp_path: Path, way: str, merged: int) -> None:
    nodes = [source("a", reliability=10), source("b", reliability=80), source("c")]
    inner = aggregate("inner", ["a", "b", "c"], confidence=way)
    with Engine(configuration(tmp_path, *nodes, inner, plain("out", "inner")), in_memory=True, clock=Time()) as engine:
        for name, confidence in {"a": 90, "b": 40, "c": 20}.items():
            node = engine.graph.sources[name]
            assert isinstance(node, Given)
            node.rows = [{"value": "a.com", "confidence": str(confidence)}]
            assert engine.poll(name).state == "ok"
        engine.evaluate()
        assert published(engine, "out")["a.com"]["confidence"] == merged
