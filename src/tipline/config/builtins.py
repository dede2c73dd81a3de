"""The sources that every configuration has without saying so: what teams allow by hand, and what is never blocked."""

from __future__ import annotations

from tipline.config.schema import Configuration
from tipline.sources.local import Local, LocalSettings
from tipline.sources.packaged import NeverBlock, PackagedSettings


def add_builtins(configuration: Configuration) -> None:
    """Add the built-in sources and mark them as allow-lists."""
    teams = {node.settings.team for node in configuration.nodes().values()} | {"default"}
    names = []
    for team in sorted(teams):
        name = configuration.team_allow(team)
        configuration.sources[name] = Local(
            name, LocalSettings(kind="local", team=team, note="Allowed by hand with `tipline allow`.")
        )
        names.append(name)
    own = PackagedSettings(kind="never-block", distribution="all", own=configuration.settings.organisation)
    configuration.sources[configuration.never_block] = NeverBlock(configuration.never_block, own)
    configuration.allow_lists |= {*names, configuration.never_block}


def reserved(configuration: Configuration) -> set[str]:
    """Names that no node of the file may have."""
    teams = {*configuration.settings.teams, "default"}
    return {configuration.never_block, *(configuration.team_allow(team) for team in teams)}
