"""The stand-in's state in SQLite, and views with Microsoft's table names and columns."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from tipline.errors import StoreError, TiplineError

from .times import stamp

VERSION = 1
_STEPS = 5_000_000  # virtual-machine steps after which a reader's query is stopped

_SCHEMA = """
CREATE TABLE tenants (tenant_id TEXT PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE apps (
  tenant_id TEXT NOT NULL, client_id TEXT NOT NULL, name TEXT NOT NULL, roles TEXT NOT NULL,
  enabled INTEGER NOT NULL, consented INTEGER NOT NULL, device_groups TEXT,
  PRIMARY KEY (tenant_id, client_id));
CREATE TABLE secrets (
  tenant_id TEXT NOT NULL, client_id TEXT NOT NULL, salt BLOB NOT NULL, digest BLOB NOT NULL, expires TEXT);
CREATE TABLE keys (
  tenant_id TEXT NOT NULL, client_id TEXT NOT NULL, public_pem TEXT NOT NULL, issuer TEXT, subject TEXT);
CREATE TABLE workspaces (
  workspace_id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, subscription_id TEXT NOT NULL,
  resource_group TEXT NOT NULL, name TEXT NOT NULL);
CREATE TABLE grants (
  workspace_id TEXT NOT NULL, client_id TEXT NOT NULL, granted_at TEXT NOT NULL,
  PRIMARY KEY (workspace_id, client_id));
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE defender_indicators (
  id INTEGER PRIMARY KEY, tenant_id TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, type TEXT NOT NULL,
  action TEXT NOT NULL, created_by TEXT NOT NULL, created_at TEXT NOT NULL, expires_at TEXT,
  doc TEXT NOT NULL);
CREATE INDEX defender_key ON defender_indicators (tenant_id, key);
CREATE INDEX defender_value ON defender_indicators (value);
CREATE TABLE sentinel_objects (
  workspace_id TEXT NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL, source TEXT NOT NULL,
  stix_id TEXT NOT NULL,
  stix_type TEXT NOT NULL, modified TEXT NOT NULL, valid_until TEXT, revoked INTEGER NOT NULL,
  deleted INTEGER NOT NULL, data TEXT NOT NULL, first_ingested TEXT NOT NULL, last_ingested TEXT NOT NULL,
  published TEXT NOT NULL, method TEXT NOT NULL, actor TEXT NOT NULL, etag INTEGER NOT NULL,
  PRIMARY KEY (workspace_id, id));
CREATE INDEX sentinel_stix ON sentinel_objects (workspace_id, stix_id);
CREATE INDEX sentinel_name ON sentinel_objects (workspace_id, name);
CREATE TABLE sentinel_rows (
  seq INTEGER PRIMARY KEY, part INTEGER NOT NULL, stix_type TEXT NOT NULL, id TEXT NOT NULL,
  time_generated TEXT NOT NULL, visible_at TEXT NOT NULL, source_system TEXT NOT NULL, source TEXT NOT NULL,
  created TEXT, modified TEXT, valid_from TEXT, valid_until TEXT, confidence INTEGER,
  revoked INTEGER NOT NULL,
  deleted INTEGER NOT NULL, pattern TEXT, observable_key TEXT NOT NULL, observable_value TEXT NOT NULL,
  tags TEXT NOT NULL, method TEXT NOT NULL, data TEXT NOT NULL, additional TEXT NOT NULL,
  legacy TEXT NOT NULL,
  tenant_id TEXT NOT NULL, workspace_id TEXT NOT NULL);
CREATE TRIGGER rows_stay BEFORE UPDATE ON sentinel_rows BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER rows_last BEFORE DELETE ON sentinel_rows BEGIN SELECT RAISE(ABORT, 'append-only'); END;
"""

# Came later: made in kept state too.
_LATER = """CREATE TABLE IF NOT EXISTS graph_indicators (
  id TEXT PRIMARY KEY, client_id TEXT NOT NULL, external_id TEXT, product TEXT NOT NULL, expires_at TEXT,
  doc TEXT NOT NULL)"""

_ACTIVE = "(NOT revoked AND NOT deleted AND (valid_until IS NULL OR sandbox_now() < valid_until))"
_VISIBLE = "visible_at <= sandbox_now()"
_STANDARD = {
    "_ResourceId": "''", "_SubscriptionId": "''", "_BilledSize": "CAST(length(data) AS REAL)",
    "_IsBillable": "'True'",
}  # fmt: skip

_INDICATORS = {
    "TimeGenerated": "time_generated", "Id": "id", "SourceSystem": "source_system", "Created": "created",
    "Modified": "modified", "ValidFrom": "valid_from", "ValidUntil": "valid_until",
    "Confidence": "confidence",
    "IsActive": _ACTIVE, "IsDeleted": "deleted", "Revoked": "revoked", "Pattern": "pattern",
    "ObservableKey": "observable_key", "ObservableValue": "observable_value", "Tags": "tags",
    "LastUpdateMethod": "method", "Data": "data", "AdditionalFields": "additional",
    "AzureTenantId": "tenant_id",
    "WorkspaceId": "workspace_id", "TenantId": "workspace_id", "Type": "'ThreatIntelIndicators'", **_STANDARD,
}  # fmt: skip

_OBJECTS = {
    "TimeGenerated": "time_generated", "Id": "id", "StixType": "stix_type", "Data": "data",
    "AdditionalFields": "additional", "IsDeleted": "deleted", "LastUpdateMethod": "method",
    "SourceSystem": "source_system", "AzureTenantId": "tenant_id", "WorkspaceId": "workspace_id",
    "TenantId": "workspace_id", "Type": "'ThreatIntelObjects'", **_STANDARD,
}  # fmt: skip

_LEGACY_COLUMNS = (
    "Action", "Active", "ActivityGroupNames", "AdditionalInformation", "ConfidenceScore", "Description",
    "DiamondModel", "DomainName", "EmailEncoding", "EmailLanguage", "EmailRecipient",
    "EmailSenderAddress", "EmailSenderName", "EmailSourceDomain", "EmailSourceIpAddress",
    "EmailSubject", "EmailXMailer", "ExpirationDateTime", "ExternalIndicatorId", "FileCompileDateTime",
    "FileCreatedDateTime", "FileHashType", "FileHashValue", "FileMutexName", "FileName", "FilePacker",
    "FilePath", "FileSize", "FileType", "IndicatorId", "IndicatorProvider", "KillChainActions",
    "KillChainC2", "KillChainDelivery", "KillChainExploitation", "KillChainReconnaissance",
    "KillChainWeaponization", "KnownFalsePositives", "MalwareNames", "NetworkCidrBlock",
    "NetworkDestinationAsn", "NetworkDestinationCidrBlock", "NetworkDestinationIP",
    "NetworkDestinationPort", "NetworkIP", "NetworkPort", "NetworkProtocol", "NetworkSourceAsn",
    "NetworkSourceCidrBlock", "NetworkSourceIP", "NetworkSourcePort", "PassiveOnly", "SourceSystem",
    "Tags", "TenantId", "ThreatSeverity", "ThreatType", "TimeGenerated", "TrafficLightProtocolLevel",
    "Type", "Url", "UserAgent", "_BilledSize", "_IsBillable",
)  # fmt: skip
#: legacy columns that are filled from the observables of a pattern (section 5.3)
LEGACY_OBSERVABLES = (
    "DomainName", "EmailSenderAddress", "FileHashType", "FileHashValue", "FileName", "NetworkDestinationIP",
    "NetworkIP", "NetworkSourceIP", "Url", "UserAgent",
)  # fmt: skip
_LEGACY = {
    "Action": "'alert'", "Active": _ACTIVE, "ConfidenceScore": "CAST(confidence AS REAL)",
    "Description": "json_extract(data, '$.description')", "ExpirationDateTime": "valid_until",
    "ExternalIndicatorId": "json_extract(data, '$.id')", "IndicatorProvider": "source", "IndicatorId": "id",
    "PassiveOnly": "0", "SourceSystem": "source_system", "Tags": "tags", "TenantId": "workspace_id",
    "ThreatSeverity": "json_extract(data, '$.extensions.\"sentinel-ext\".severity')",
    "ThreatType": "json_extract(data, '$.indicator_types[0]')", "TimeGenerated": "time_generated",
    "TrafficLightProtocolLevel": "json_extract(additional, '$.TLPLevel')",
    "Type": "'ThreatIntelligenceIndicator'", "_BilledSize": _STANDARD["_BilledSize"], "_IsBillable": "'True'",
    **{name: f"json_extract(legacy, '$.{name}')" for name in LEGACY_OBSERVABLES},
    **dict.fromkeys((name for name in _LEGACY_COLUMNS if name.startswith("KillChain")), "0"),
}  # fmt: skip
_BOOLEANS = {"IsActive", "IsDeleted", "Revoked", "Active", "PassiveOnly"}
_BOOLEANS |= {name for name in _LEGACY_COLUMNS if name.startswith("KillChain")}

_DEFENDER = {
    "Id": "CAST(id AS TEXT)", "IndicatorType": "type", "IndicatorValue": "value", "Action": "action",
    "CreatedBy": "created_by", "ExternalId": "json_extract(doc, '$.externalId')",
    "ExpirationTime": "expires_at",
    "AzureTenantId": "tenant_id", "Data": "doc",
}  # fmt: skip
#: what a reader may select from; the last one is no table of Microsoft's, only a help for tests
VIEWS = ("ThreatIntelIndicators", "ThreatIntelObjects", "ThreatIntelligenceIndicator", "DefenderIndicators")


class QueryError(TiplineError):
    """A reader's SQL is refused or wrong."""

    code = "query"


def _view(name: str, columns: dict[str, str], table: str, condition: str) -> str:
    shown = ", ".join(f'{sql} AS "{column}"' for column, sql in columns.items())
    return f'CREATE VIEW "{name}" AS SELECT {shown} FROM {table} WHERE {condition};'


def _views() -> str:
    legacy = {name: _LEGACY.get(name, "NULL") for name in _LEGACY_COLUMNS}
    once = f"part = 0 AND stix_type = 'indicator' AND {_VISIBLE} AND sandbox_switch('legacy_table') = 'filled'"
    shown = "(source_system <> 'LogARepublisher' OR sandbox_switch('republish_legacy') = 'included')"
    return "\n".join((
        _view(VIEWS[0], _INDICATORS, "sentinel_rows", f"stix_type = 'indicator' AND {_VISIBLE}"),
        _view(VIEWS[1], _OBJECTS, "sentinel_rows", f"stix_type <> 'indicator' AND {_VISIBLE}"),
        _view(VIEWS[2], legacy, "sentinel_rows", f"{once} AND {shown}"),
        _view(VIEWS[3], _DEFENDER, "defender_indicators", "ifnull(expires_at, '9999') > sandbox_now()"),
    ))  # fmt: skip


def _allowed(action: int, first: str | None, _second: str | None, _db: str | None, via: str | None) -> int:
    """SQLite's authorizer for readers: SELECT over the views only."""
    reads_view = action == sqlite3.SQLITE_READ and (
        first in VIEWS or via in VIEWS or first in ("json_each", "json_tree")
    )
    plain = action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE)
    return sqlite3.SQLITE_OK if reads_view or plain else sqlite3.SQLITE_DENY


class Store:
    """One SQLite connection behind one lock; every call of the stand-in is one transaction.

    Args:
        file: the database file, or `:memory:`.
        clock: the stand-in's present; the views compute IsActive and visibility from it.
        switch: looks up a behaviour by name, for the views.

    Raises:
        StoreError: the file is of a newer version.
    """

    def __init__(self, file: str, clock: Callable[[], datetime], switch: Callable[[str], str]) -> None:
        self.lock = threading.RLock()
        self._clock = clock
        self._as_of = stamp(clock())
        self.db = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        self.db.row_factory = sqlite3.Row
        self.db.create_function("sandbox_now", 0, lambda: self._as_of)
        self.db.create_function("sandbox_switch", 1, switch)
        try:
            self._open(file)
        except (StoreError, sqlite3.Error):
            self.db.close()
            raise

    def _open(self, file: str) -> None:
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = NORMAL")
        version = self.db.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise StoreError("the sandbox's state is of a newer version", where=file, fix="use a newer tipline")
        if version == 0:
            # One script, one transaction: a process killed here leaves an empty file, not half a schema.
            self.db.executescript(f"BEGIN; {_SCHEMA} {_views()} PRAGMA user_version = {VERSION}; COMMIT;")
        self.db.execute(_LATER)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Hold the lock; commit at the end, roll back on an exception; the outermost call decides."""
        with self.lock:
            if self.db.in_transaction:
                yield self.db
                return
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield self.db
            except BaseException:
                self.db.execute("ROLLBACK")
                raise
            self.db.execute("COMMIT")

    def next_number(self, counter: str, first: int = 1) -> int:
        """The next number of a counter; never the same twice."""
        row = self.db.execute(
            "INSERT INTO counters VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value",
            (counter, first),
        ).fetchone()
        return int(row[0])

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Run one SELECT over the views; times are text, booleans are bool, dynamic columns are JSON text.

        Raises:
            QueryError: anything but a SELECT over the views, wrong SQL, or a query that runs too long.
        """
        with self.lock:
            self._as_of = stamp(self._clock())
            self.db.set_authorizer(_allowed)
            self.db.set_progress_handler(lambda: 1, _STEPS)
            try:
                rows = self.db.execute(sql).fetchall()
            except (sqlite3.Error, sqlite3.Warning) as error:
                raise QueryError(str(error), where="query", fix=f"one SELECT over {', '.join(VIEWS)}") from error
            finally:
                self.db.set_progress_handler(None, 0)
                self.db.set_authorizer(None)
        return [{name: _shown(name, value) for name, value in dict(row).items()} for row in rows]

    def close(self) -> None:
        """Close the file."""
        with self.lock:
            self.db.close()


def _shown(name: str, value: Any) -> Any:
    return bool(value) if name in _BOOLEANS and value is not None else value
