"""Where Microsoft's services live, cloud by cloud; every address can be set on its own.

Facts: Microsoft's pages on Defender for US Government customers (`gov.md`), the page of the Sentinel upload
API (`stix-objects-api.md`) and the connector templates of Azure/Azure-Sentinel. Where the two disagree on the
path of the upload route for government clouds, the template's spelling is kept, since that one is deployed.
A Defender scope outside the commercial cloud is an inference: Microsoft documents the hosts only.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal
from urllib.parse import urlsplit

from tipline.errors import ConfigError

Cloud = Literal["commercial", "gcc", "gcc-high", "dod", "china"]

UPLOAD_PATH = "/workspaces/{workspace_id}/threat-intelligence-stix-objects:upload"
UPLOAD_PATH_GOV = "/workspaces/{workspace_id}/threatintelligence-stix-objects:upload"
UPLOAD_API_VERSION = "2024-02-01-preview"
ARM_API_VERSION = "2025-07-01-preview"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The addresses and scopes of one cloud; URLs carry no trailing slash.

    Args:
        login_url: authority of Microsoft Entra, without the tenant.
        defender_url: base of the Defender API; empty where the cloud has none.
        defender_scope: what a token for it is asked for.
        sentinel_url: host of Sentinel's upload API.
        arm_url: host of Azure Resource Manager.
        arm_scope: scope of both Sentinel APIs (upload and ARM).
        graph_scope: only asked for to recognise the retired permission.
        upload_path: path of the upload route, with `{workspace_id}`.
        upload_api_version: its `api-version`; empty leaves the parameter out.
        upload_array: name of the array of objects in the upload body.
        arm_api_version: `api-version` of the ARM calls.
        default_login: whether `login_url` is Microsoft's own (then instance discovery stays on).
    """

    login_url: str
    defender_url: str
    defender_scope: str
    sentinel_url: str
    arm_url: str
    arm_scope: str
    graph_scope: str
    upload_path: str = UPLOAD_PATH
    upload_api_version: str = UPLOAD_API_VERSION
    upload_array: str = "stixobjects"
    arm_api_version: str = ARM_API_VERSION
    default_login: bool = True

    def upload_url(self, workspace_id: str) -> str:
        """The whole address that objects of a workspace (its GUID) are uploaded to."""
        query = f"?api-version={self.upload_api_version}" if self.upload_api_version else ""
        return f"{self.sentinel_url}{self.upload_path.format(workspace_id=workspace_id)}{query}"


COMMERCIAL = Endpoints(
    login_url="https://login.microsoftonline.com",
    defender_url="https://api.securitycenter.microsoft.com",
    defender_scope="https://api.securitycenter.microsoft.com/.default",
    sentinel_url="https://api.ti.sentinel.azure.com",
    arm_url="https://management.azure.com",
    arm_scope="https://management.azure.com/.default",
    graph_scope="https://graph.microsoft.com/.default",
)
GCC_HIGH = Endpoints(
    login_url="https://login.microsoftonline.us",
    defender_url="https://api-gov.securitycenter.microsoft.us",
    defender_scope="https://api-gov.securitycenter.microsoft.us/.default",
    sentinel_url="https://api.ti.sentinel.azure.us",
    arm_url="https://management.usgovcloudapi.net",
    arm_scope="https://management.usgovcloudapi.net/.default",
    graph_scope="https://graph.microsoft.us/.default",
    upload_path=UPLOAD_PATH_GOV,
)
CLOUDS: dict[Cloud, Endpoints] = {
    "commercial": COMMERCIAL,
    "gcc": replace(
        COMMERCIAL,
        defender_url="https://api-gcc.securitycenter.microsoft.us",
        defender_scope="https://api-gcc.securitycenter.microsoft.us/.default",
    ),
    "gcc-high": GCC_HIGH,
    "dod": replace(GCC_HIGH, graph_scope="https://dod-graph.microsoft.us/.default"),
    "china": Endpoints(
        login_url="https://login.partner.microsoftonline.cn",
        defender_url="",
        defender_scope="",
        sentinel_url="https://api.ti.sentinel.azure.cn",
        arm_url="https://management.chinacloudapi.cn",
        arm_scope="https://management.chinacloudapi.cn/.default",
        graph_scope="https://microsoftgraph.chinacloudapi.cn/.default",
    ),
}

# The retired upload routes: some tenants and some emulators still answer them.
LEGACY_UPLOAD_V2 = {
    "sentinel_url": "https://sentinelus.azure-api.net",
    "upload_path": "/workspaces/{workspace_id}/threatintelligenceindicators:upload",
    "upload_api_version": "2022-07-01",
    "upload_array": "indicators",
}
LEGACY_UPLOAD_V1 = {
    "sentinel_url": "https://sentinelus.azure-api.net",
    "upload_path": "/{workspace_id}/threatintelligence:upload-indicators",
    "upload_api_version": "2022-07-01",
    "upload_array": "value",
}
OVERRIDES = frozenset(f.name for f in fields(Endpoints)) - {"default_login"}


def endpoints(cloud: Cloud = "commercial", **overrides: str | None) -> Endpoints:
    """The endpoints of a cloud, with any of them replaced (None keeps the cloud's own).

    Raises:
        ConfigError: an override has no such name, or is not an https address.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    for name, value in given.items():
        if name not in OVERRIDES:
            raise ConfigError(f"there is no endpoint {name!r}", fix=f"one of {', '.join(sorted(OVERRIDES))}")
        if name.endswith("_url"):
            given[name] = checked_url(name, value)
    base = CLOUDS[cloud]
    return replace(base, **given, default_login=given.get("login_url", base.login_url) == base.login_url)


def checked_url(name: str, value: str) -> str:
    """The address without its trailing slash.

    Raises:
        ConfigError: it is not https. Tokens and indicators never travel in the clear.
    """
    parts = urlsplit(value)
    if parts.scheme != "https" or not parts.hostname:
        raise ConfigError(f"{name} {value!r} is not an https address", fix="write it as https://host")
    return value.rstrip("/")
