"""The account of one execution: read = accepted + duplicate + dropped(reason); it always balances."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

MAX_SAMPLES = 5
SAMPLE_LENGTH = 200


@dataclass
class Ledger:
    """Counts of one execution of a node, with a few samples of what was dropped."""

    read: int = 0
    accepted: int = 0
    duplicate: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    samples: list[dict[str, str]] = field(default_factory=list)

    def drop(self, reason: str, count: int, values: list[str] | None = None) -> None:
        """Count dropped records of one reason and keep some of their values."""
        code, _, detail = reason.partition(":")
        self.dropped[code] += count
        kept = sum(sample["reason"] == code for sample in self.samples)
        for value in (values or [])[: max(0, MAX_SAMPLES - kept)]:
            sample = {"reason": code, "value": value[:SAMPLE_LENGTH]}
            if detail:
                sample["detail"] = detail.strip()[:SAMPLE_LENGTH]
            self.samples.append(sample)

    @property
    def balanced(self) -> bool:
        """Whether every record is accounted for."""
        return self.read == self.accepted + self.duplicate + sum(self.dropped.values())

    def as_dict(self) -> dict[str, Any]:
        """For runs and `--json`."""
        return {
            "read": self.read,
            "accepted": self.accepted,
            "duplicate": self.duplicate,
            "dropped": dict(sorted(self.dropped.items())),
            "samples": self.samples,
        }
