"""Microsoft's side: sign-in, and clients for Defender for Endpoint and Sentinel (no database, no engine)."""

from __future__ import annotations
