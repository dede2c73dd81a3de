"""Who asks for something: whose nodes they see, which of these are theirs, and what the audit log says of them."""

from __future__ import annotations

from dataclasses import dataclass

from tipline.kinds import NodeSettings


@dataclass(frozen=True)
class Asker:
    """Who asks.

    Attributes:
        name: as it stands in the audit log.
        team: whose nodes are theirs.
        everywhere: whether every team's are.
        address: where they ask from.
    """

    name: str
    team: str = "default"
    everywhere: bool = False
    address: str = ""

    def owns(self, node: NodeSettings) -> bool:
        """Whether a node is theirs: its runs, holds and deliveries, and what is marked red there."""
        return self.everywhere or node.team == self.team

    def sees(self, node: NodeSettings) -> bool:
        """Whether they see a node and what it holds (of another team's: nothing that is marked red)."""
        return self.owns(node) or node.distribution != "team"


# Whoever runs commands on this machine, or the program itself.
LOCAL = Asker("", everywhere=True)
