"""`python -m tipline.formats.freetext_pdf FILE SECONDS BYTES`: a PDF's text on standard output, within limits."""

from __future__ import annotations

import contextlib
import logging
import resource
import sys

from pypdf import PdfReader
from pypdf.errors import PyPdfError


def main(path: str, seconds: int, memory: int) -> int:
    """Write the text of each page; what cannot be read of one page does not stop the others."""
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    try:
        reader = PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            sys.stderr.write("it is encrypted\n")
            return 1
        pages = list(reader.pages)
    except Exception as error:  # noqa: BLE001 - a damaged file raises anything; the parent says it in words
        sys.stderr.write(f"it is damaged ({type(error).__name__})\n")
        return 1
    failed = 0
    for page in pages:
        text = None
        with contextlib.suppress(
            PyPdfError, ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError
        ):
            text = page.extract_text()
        failed += text is None
        sys.stdout.buffer.write((text or "").encode("utf-8", "replace") + b"\n")
    if pages and failed == len(pages):
        sys.stderr.write("no page of it can be read\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
