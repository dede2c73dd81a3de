"""Options of the scripts that need no counterpart, and why; and the older names of those that do."""

from __future__ import annotations

#: Names that older branches and the sample script use.
OLD_NAMES = {
    "graph_auth": "ms_auth",
    "targetProduct": "ms_target_product",
    "action": "ms_action",
    "passiveOnly": "ms_passiveonly",
    "defaultConfidenceLevel": "default_confidence",
}

_LOGS = "not needed: tipline logs to standard error, and keeps an account of every run (`tipline runs`)"
_LIMITS = "not needed: the outputs keep to the API's limits by themselves"
#: Options and what is done instead; `not needed` begins those whose effect stays the same.
EXPLAINED = {
    "ms_api_version": "not needed: tipline speaks the present API",
    "ms_max_indicators_request": _LIMITS,
    "ms_max_requests_minute": _LIMITS,
    "ms_useragent": "not needed: requests say tipline",
    "misp_event_limit_per_page": "not needed: events are read a few at a time (page_size)",
    "misp_flatten_attributes": "not needed: attributes of objects are always read",
    "misp_remove_eventreports": "not needed: event reports are never read",
    "remove_pipe_from_misp_attribute": "of a composite value every part is sent: the hash, not only the file's name",
    "ms_check_if_exist_in_sentinel": "not needed: a receipt for each indicator says what is there",
    "timeframe_toids_change": "not needed: what is deleted, unpublished or no longer to_ids is withdrawn",
    "network_ignore_direction": "not needed: an address is matched in either direction",
    "log_file": _LOGS,
    "verbose_log": _LOGS,
    "write_parsed_indicators": "not needed: `tipline list` shows what is sent",
    "write_parsed_eventid": _LOGS,
    "write_post_json": _LOGS,
    "sentinel_write_response": "not needed: receipts keep what was refused, and why",
    "dry_run": "not needed: mode shadow writes nothing",
    "local_mode": "not needed: it told the Azure Function where it runs",
    "keyVaultName": "secrets come from ${file:...}, ${env:...} or ${secret:...}: put what the vault has there",
    "KVUri": "not needed: see keyVaultName",
}
