"""What the stand-in does, how well each behaviour is known, and the switches for what is guessed."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal, NamedTuple

from tipline.errors import ConfigError

Label = Literal["documented", "observed", "guess"]


class Fixed(NamedTuple):
    """A behaviour without a switch."""

    name: str
    label: Label
    source: str
    text: str


def _switch(label: Label, source: str, text: str, *options: str) -> Any:
    """A dataclass field whose first option is the default."""
    meta = {"label": label, "source": source, "text": text, "options": options}
    return field(default=options[0], metadata=meta)


def _number(label: Label, source: str, text: str, default: float) -> Any:
    return field(default=default, metadata={"label": label, "source": source, "text": text, "options": ()})


@dataclass
class Behaviour:
    """Switches of the stand-in; each field's metadata says how well the behaviour is known.

    Raises:
        ConfigError: an option that does not exist.
    """

    # sign-in
    token_version: str = _switch("documented", "S1: both accepted", "version of the tokens", "1.0", "2.0")
    ext_expires_in: str = _switch("documented", "D13", "ext_expires_in in token answers", "same", "zero")
    no_consent: str = _switch("guess", "E1", "an app without admin consent", "token-without-roles", "AADSTS65001")
    invalid_client_status: str = _switch("guess", "OAuth practice", "HTTP status of invalid_client", "401", "400")
    rbac_delay_seconds: float = _number("documented", "O1 README", "seconds until a workspace role works", 0.0)
    # Defender
    quota_import: str = _switch("guess", "none", "import beyond the capacity", "per-item", "whole-call")
    quota_code: str = field(
        default="InvalidInput",
        metadata={"label": "guess", "source": "none", "text": "error code at the capacity", "options": ()},
    )
    quota_text: str = field(
        default="The maximum number of indicators for this tenant has been reached.",
        metadata={"label": "guess", "source": "none", "text": "text at the capacity", "options": ()},
    )
    batch_delete_404: str = _switch(
        "guess", "D5 is silent", "BatchDelete with an unknown id", "nothing-deleted", "others-deleted"
    )
    import_empty: str = _switch("guess", "O1 accepts both", "an import without items", "accepted", "refused")
    import_failed_id: str = _switch("guess", "D2 is silent", "id of a failed item", "null", "empty", "omitted")
    failure_reason: str = _switch("guess", "D2", "shape of failureReason", "text", "code-and-text")
    field_case: str = _switch(
        "documented", "D7: names are case-sensitive", "code for a name in the wrong case",
        "MissingRequiredParameter", "InvalidRequestBody",
    )  # fmt: skip
    unknown_fields: str = _switch("guess", "none", "a field the entity does not have", "ignored", "refused")
    action_by_type: str = _switch("observed", "D8, D11; X1 is laxer", "action against type", "strict", "lax")
    retired_actions: str = _switch("guess", "D6", "Alert and AlertAndBlock", "refused", "accepted")
    md5: str = _switch("guess", "D1 accepts, O1 refuses", "FileMd5", "refused", "accepted")
    ipv6: str = _switch("documented", "D8", "IPv6 spelling", "eight-segments", "any")
    past_expiry: str = _switch("guess", "none", "expirationTime in the past", "refused", "accepted")
    audit_without_alert: str = _switch("documented", "D1", "Audit without generateAlert", "refused", "accepted")
    foreign_upsert: str = _switch("guess", "X1", "same key made by somebody else", "updates", "refused", "duplicates")
    foreign_delete: str = _switch("guess", "D3", "Ti.ReadWrite deletes another's indicator", "not-found", "forbidden")
    url_scheme: str = _switch("guess", "none", "a Url without http:// or https://", "required", "optional")
    unicode_domains: str = _switch("guess", "none", "domains beyond ASCII", "refused", "accepted")
    defender_refusal_body: str = _switch("documented", "D7", "body of Defender's 401", "error", "empty")
    # Sentinel
    none_valid: str = _switch(
        "guess", "S1: 200 when one or more", "an upload without one valid object", "refused", "accepted"
    )
    too_many_objects: str = _switch("guess", "S1 is silent", "status for over 100 objects", "400", "413")
    retry_after: str = _switch("guess", "S1 is silent", "Retry-After on Sentinel's 429", "absent", "present")
    restricted_source: str = _switch(
        "guess", "S1: restricted", "sourcesystem Microsoft Sentinel", "refused", "accepted"
    )
    other_types: str = _switch("guess", "S1", "STIX types beyond the five", "refused", "accepted")
    identical_upload: str = _switch("guess", "none", "the same object again", "appends", "ignored")
    stale_modified: str = _switch("guess", "STIX", "an older modified than stored", "ignored", "accepted")
    after_revocation: str = _switch("guess", "STIX", "an upload after revocation", "ignored", "accepted")
    api_version: str = _switch("guess", "S1", "an upload without api-version", "required", "optional")
    sentinel_refusal_body: str = _switch(
        "guess", "S1 is silent", "body of Sentinel's 401, 403, 404", "gateway", "arm", "empty"
    )
    row_delay_seconds: float = _number("observed", "S3", "seconds until a row is visible in the tables", 0.0)
    republish_days: float = _number("documented", "S4: 7 (was 12); 0 = off", "days between re-publications", 7.0)
    republish_legacy: str = _switch(
        "guess", "none", "re-publication in ThreatIntelligenceIndicator", "excluded", "included"
    )
    legacy_table: str = _switch(
        "documented", "S4: to stop 2025-07-31", "ThreatIntelligenceIndicator", "filled", "stopped"
    )
    # ARM
    arm_delete_missing: str = _switch("documented", "R1: 200 or 204", "DELETE of what is not there", "204", "404")
    arm_create_status: str = _switch("documented", "R1: 200 or 201", "createIndicator", "201", "200")
    arm_delete_uploaded: str = _switch(
        "guess", "R1; M1 saw `kept`", "DELETE of what was uploaded (kept: answers 200, goes on counting)",
        "deleted", "kept"
    )  # fmt: skip

    def __post_init__(self) -> None:
        for each in fields(self):
            self._check(each.name)

    def _check(self, name: str) -> None:
        known = {each.name: each for each in fields(self)}
        if name not in known:
            raise ConfigError(f"no behaviour {name!r}", where="sandbox", fix=f"one of {', '.join(known)}")
        value, options = getattr(self, name), known[name].metadata["options"]
        if options and value not in options:
            raise ConfigError(f"{name}: no option {value!r}", where="sandbox", fix=f"one of {', '.join(options)}")
        if isinstance(known[name].default, float) and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ConfigError(f"{name}: {value!r} is not a number", where="sandbox", fix="give a number")

    def change(self, **values: Any) -> None:
        """Switch behaviours while the stand-in runs; all or none.

        Raises:
            ConfigError: an unknown behaviour or option.
        """
        fresh = Behaviour(**{each.name: getattr(self, each.name) for each in fields(self)})
        for name, value in values.items():
            setattr(fresh, name, value)
            fresh._check(name)
        self.__dict__.update(fresh.__dict__)


FIXED: tuple[Fixed, ...] = (
    Fixed("discovery", "observed", "1.3 T", "TLS, both discovery paths, token endpoint"),
    Fixed("token_claims", "documented", "D13", "aud iss tid appid/azp roles exp"),
    Fixed("signin_errors", "documented", "E1", "AADSTS bodies for secrets, apps, tenants and scopes"),
    Fixed("assertion", "guess", "OAuth", "RS256/PS256 client assertions, aud = token endpoint"),
    Fixed(
        "federated_assertion",
        "guess",
        "OAuth",
        "workload identity: issuer, subject, api://AzureADTokenExchange",
    ),
    Fixed("defender_windows", "documented", "D1-D5", "sliding windows per app and route"),
    Fixed("defender_429", "documented", "D7", "TooManyRequests and Retry-After; early retries 429 again"),
    Fixed("import_500", "documented", "D2, D7", "over 500 items: MaximumBatchSizeExceeded"),
    Fixed("import_items", "documented", "D2", "one result an item, in the order of the request"),
    Fixed("capacity", "documented", "D8", "15,000 active indicators a tenant"),
    Fixed("required_fields", "documented", "D7", "MissingRequiredParameter"),
    Fixed("invalid_values", "documented", "D7, D8, D9", "Invalid* codes; internal IPs, CIDR, wildcards refused"),
    Fixed("length_limits", "guess", "O1, G1", "value 800, title 4000, description 100 characters (Limits)"),
    Fixed("upsert_key", "observed", "X1", "type, value, action and device groups; application is frozen"),
    Fixed("ids", "observed", "X1", "increasing decimal strings, never used again"),
    Fixed("ownership", "documented", "D3", "Ti.ReadWrite sees and deletes only its own"),
    Fixed("odata", "documented", "D3", "$filter subset, $top, $skip, nextLink; ODataError"),
    Fixed("delete", "documented", "D4, D5", "204, 404; batch 204, 400, 403, 404"),
    Fixed("expiry", "documented", "D3", "expired indicators leave the list"),
    Fixed("entity", "observed", "X1", "33 fields, up to 7 fractional digits, OData-Version 4.0"),
    Fixed("defender_500", "documented", "D7", "InternalServerError with an empty message"),
    Fixed("upload_200", "documented", "S1", "empty body, or errors[] by recordIndex"),
    Fixed("upload_429", "documented", "S1", "statusCode and message with the seconds"),
    Fixed("upload_500", "observed", "misp2sentinel #57", "statusCode, message, activityId"),
    Fixed("upload_404", "documented", "S1", "unknown workspace"),
    Fixed("stix_checks", "documented", "S1", "required properties, valid_until, confidence"),
    Fixed("idempotent", "documented", "R1, S4", "one object per (sourcesystem, id); one row set a change"),
    Fixed("pattern_rows", "documented", "S4", "one row a comparison; unparsable: one with empty key and value"),
    Fixed("in_rows", "guess", "none", "x IN (a, b) gives a row for each value; other operators none"),
    Fixed("is_active", "guess", "S1, inference", "not revoked, not deleted, before valid_until"),
    Fixed("republish", "documented", "S4", "rows with SourceSystem LogARepublisher"),
    Fixed(
        "arm",
        "documented",
        "R1",
        "create, get, put, delete, query, count, metrics, tags, nextLink, CloudError",
    ),
    Fixed("arm_names", "documented", "R1", "name = base64(source)---id; a PUT keeps its own name (guess)"),
    Fixed("legacy_upload", "documented", "S2", "V1 and V2 routes with their array names"),
    Fixed("objects_table", "documented", "S4", "objects other than indicators: ThreatIntelObjects"),
    Fixed("tlp2", "guess", "none", "TLP 2.0: clear is white, amber+strict is amber"),
    Fixed("last_update_method", "guess", "R1 shows File Import", "Upload API, ARM API, LogARepublisher"),
    Fixed("tags_column", "guess", "S1: labels shown as Tags", "the labels as a JSON array"),
)


def behaviours(current: Behaviour | None = None) -> list[dict[str, Any]]:
    """Every behaviour: name, label, source, text, options (empty: none or free), value."""
    shown = current or Behaviour()
    switches = [
        {"name": each.name, **each.metadata, "options": list(each.metadata["options"]),
         "value": getattr(shown, each.name)}
        for each in fields(shown)
    ]  # fmt: skip
    return switches + [{**each._asdict(), "options": [], "value": None} for each in FIXED]
