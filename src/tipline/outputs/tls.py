"""TLS towards far sides that are the operator's own: their authority, and a client certificate."""

from __future__ import annotations

import ssl
from pathlib import Path

from tipline.errors import ConfigError


def context(
    ca_file: Path | None = None, cert: Path | None = None, key: Path | None = None, *, verify: bool = True
) -> ssl.SSLContext:
    """What a connection is made with.

    Args:
        ca_file: PEM file of authorities to trust; None trusts the system's.
        cert: PEM file of a client certificate (and its key).
        key: PEM file of the key, if it stands apart.
        verify: whether the server's certificate is checked.

    Raises:
        ConfigError: a file cannot be used.
    """
    try:
        made = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
        if cert is not None:
            made.load_cert_chain(cert, key)
    except OSError as error:  # ssl.SSLError is one
        files = ", ".join(str(file) for file in (ca_file, cert, key) if file)
        raise ConfigError(
            f"the certificate files cannot be used: {error.strerror or error}",
            where=files,
            fix="check that these are PEM files that can be read, and that the key fits the certificate",
        ) from error
    if not verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made
