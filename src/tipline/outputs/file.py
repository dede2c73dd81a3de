"""Files: the same text as a list, written whole after each change for programs on this machine or a share."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Any, ClassVar

from pydantic import Field, field_validator, model_validator

from tipline.kinds import Names, NodeSettings
from tipline.outputs.base import Carries, Output, OutputSettings
from tipline.outputs.render import SPECS
from tipline.outputs.render.dialect import (
    FORMULAS_HELP,
    MAX_FIELDS,
    OPTIONS,
    Dialect,
    Format,
    Formulas,
    dialect,
    parse_field,
)
from tipline.outputs.render.fields import columns


class FileSettings(OutputSettings):
    """Settings of `file`."""

    path: str = Field(
        min_length=1,
        description="The file: a path inside the data directory, where folders are made, or an absolute one."
        " For a bucket take a list with `publish_to`.",
    )
    format: Format = Field(
        default="plain",
        description="The dialect: plain (one value a line), csv, json, or another of a list's.",
    )
    options: dict[str, str] = Field(
        default_factory=dict,
        description="The dialect's own options, as in a list's address, such as {t: domain}.",
    )
    fields: Names = Field(
        default_factory=list,
        max_length=MAX_FIELDS,
        description="csv and json: the fields, as field or field|column; none: the usual ones.",
    )
    tr: bool = Field(default=False, description="Write address ranges as minimal CIDRs.")
    header: bool = Field(default=True, description="csv: whether the first line names the columns.")
    formulas: Formulas = Field(
        default="escape",
        description=FORMULAS_HELP,
    )
    mode: str = Field(default="0644", pattern=r"^0?[0-7]{3}$", description="The file's permissions, octal, in quotes.")

    @field_validator("path")
    @classmethod
    def _names_a_file(cls, text: str) -> str:
        if "\0" in text or text.endswith("/") or PurePath(text).name in {"", ".", ".."}:
            raise ValueError("path must name a file")
        if ".." in PurePath(text).parts:
            raise ValueError("path must not contain ..; write the folder itself")
        return text

    @field_validator("fields")
    @classmethod
    def _are_fields(cls, texts: list[str]) -> list[str]:
        for text in texts:
            parse_field(text)
        return texts

    @model_validator(mode="before")
    @classmethod
    def _is_one_file(cls, data: Any) -> Any:
        if isinstance(data, dict) and "publish_to" in data:
            raise ValueError("a file is written to its path alone; publish_to is a setting of kind: list")
        return data

    @model_validator(mode="after")
    def _options_fit_the_format(self) -> FileSettings:
        known = OPTIONS.get(self.format, {})
        for name in self.options:
            if name not in known:
                raise ValueError(f"{self.format} has no option {name!r}; it has: {', '.join(known) or 'none'}")
        dialect(self.format, options=self.options.items())
        return self


class FileKind(Output):
    """Writes indicators to a file, in any dialect that a list has."""

    kind: ClassVar[str] = "file"
    Settings: ClassVar[type[NodeSettings]] = FileSettings
    settings: FileSettings
    carries: ClassVar[Carries] = Carries(
        types="all; a dialect those that its readers know",
        confidence="csv, json and some dialects",
        tlp="csv, json and some dialects; max_tlp filters",
        expiry="csv and json (`valid_until`)",
        removal="it is no longer in the file",
        limits="each dialect's own",
    )
    example: ClassVar[str] = """\
kind: file
inputs: inbound
path: lists/block.txt
tr: true
"""

    def shown(self) -> list[str]:
        """The columns that the file's fields read."""
        shows = SPECS[self.settings.format].shows
        fields = self.dialect().fields
        if shows is None and not fields:
            return super().shown()
        return sorted({"type", "value", *(shows or ()), *columns([field for field, _ in fields])})

    def dialect(self) -> Dialect:
        """How the file is written."""
        s = self.settings
        fields = tuple(parse_field(text) for text in s.fields)
        return dialect(s.format, fields, cidrs=s.tr, header=s.header, formulas=s.formulas, options=s.options.items())

    def path(self, data: Path) -> Path:
        """Where the file is, given the data directory."""
        return data / Path(self.settings.path).expanduser()

    def permissions(self) -> int:
        """The file's permission bits."""
        return int(self.settings.mode, 8)
