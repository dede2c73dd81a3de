"""What operations on deliveries share: which outputs the asker delivers, and how to get a delivery going."""

from __future__ import annotations

from tipline.engine.operation import Base
from tipline.outputs.delivery import Delivered


class Delivering(Base):
    """The delivered outputs of who asks."""

    def _delivered(self, output: str | None) -> list[str]:
        """A delivered output of the asker's, or all of them.

        Raises:
            RequestError: it is none.
        """
        outputs = self.engine.graph.outputs
        known = self._owned(name for name, kind in outputs.items() if isinstance(kind, Delivered))
        if output is not None:
            self._known(output, known, "delivered output")
        return known if output is None else [output]

    def _deliver(self, outputs: list[str]) -> None:
        """Get deliveries going: by the server's own threads, or here and now."""
        if self.scheduler.alive:
            self.scheduler.deliveries.wake(outputs)
        else:
            self.scheduler.deliveries.drain(outputs)
