"""Settings of lists that are also put into a folder or bucket, as files that any web server or CDN serves."""

from __future__ import annotations

from pathlib import PurePath
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from tipline.outputs.render import EXTENSIONS
from tipline.outputs.render.dialect import Format
from tipline.sources.fetch_objects import is_object

Packing = Literal["gz", "zst"]


class PublishTarget(BaseModel):
    """A folder or bucket, and what is put there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    to: str = Field(description="A folder by its absolute path, or s3://, az:// or gs:// with bucket and folder.")
    formats: list[Format] = Field(
        default=["plain"],
        min_length=1,
        description="The dialects, as v= of a list's address names them.",
    )
    tr: bool = Field(default=False, description="Write address ranges as minimal CIDRs.")
    compress: list[Packing] = Field(default_factory=list, description="Compressed files beside each: gz, zst.")
    storage: dict[str, SecretStr] = Field(
        default_factory=dict, description="Options of the object store, as in a source's `storage`."
    )
    mode: str = Field(
        default="0644", pattern=r"^0?[0-7]{3}$", description="Permissions of files in a folder, in quotes."
    )

    @field_validator("to")
    @classmethod
    def _folder_or_bucket(cls, text: str) -> str:
        if is_object(text):
            if not text.partition("://")[2].strip("/"):
                raise ValueError("the bucket is missing")
        elif "://" in text or not PurePath(text).is_absolute() or ".." in PurePath(text).parts:
            raise ValueError("write an absolute path without .., or s3://, az:// or gs:// with a bucket")
        return text.rstrip("/")

    def file_name(self, output: str, form: Format) -> str:
        """The name of the file of an output in a format."""
        middle = "" if form in {"plain", "csv", "json"} else f".{form}"
        return f"{output}{middle}.{EXTENSIONS[form]}"
