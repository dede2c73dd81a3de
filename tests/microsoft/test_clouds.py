from __future__ import annotations

import pytest

from tipline.errors import ConfigError
from tipline.microsoft.clouds import CLOUDS, LEGACY_UPLOAD_V1, LEGACY_UPLOAD_V2, endpoints


def test_the_commercial_upload_address_is_the_documented_one():
    assert endpoints().upload_url("guid") == (
        "https://api.ti.sentinel.azure.com/workspaces/guid/threat-intelligence-stix-objects:upload"
        "?api-version=2024-02-01-preview"
    )


@pytest.mark.parametrize(
    ("cloud", "login", "defender", "upload", "arm_scope"),
    [
        (
            "gcc",
            "https://login.microsoftonline.com",
            "https://api-gcc.securitycenter.microsoft.us",
            "https://api.ti.sentinel.azure.com/workspaces/w/threat-intelligence-stix-objects:upload",
            "https://management.azure.com/.default",
        ),
        (
            "gcc-high",
            "https://login.microsoftonline.us",
            "https://api-gov.securitycenter.microsoft.us",
            "https://api.ti.sentinel.azure.us/workspaces/w/threatintelligence-stix-objects:upload",
            "https://management.usgovcloudapi.net/.default",
        ),
        (
            "dod",
            "https://login.microsoftonline.us",
            "https://api-gov.securitycenter.microsoft.us",
            "https://api.ti.sentinel.azure.us/workspaces/w/threatintelligence-stix-objects:upload",
            "https://management.usgovcloudapi.net/.default",
        ),
        (
            "china",
            "https://login.partner.microsoftonline.cn",
            "",
            "https://api.ti.sentinel.azure.cn/workspaces/w/threat-intelligence-stix-objects:upload",
            "https://management.chinacloudapi.cn/.default",
        ),
    ],
)
def test_national_clouds(cloud, login, defender, upload, arm_scope):
    found = endpoints(cloud)
    assert (found.login_url, found.defender_url, found.arm_scope) == (login, defender, arm_scope)
    assert found.upload_url("w").startswith(upload)


@pytest.mark.parametrize("cloud", CLOUDS)
def test_every_endpoint_can_be_overridden(cloud):
    found = endpoints(cloud, login_url="https://localhost:1/", upload_path="/x/{workspace_id}")
    assert found.login_url == "https://localhost:1"
    assert not found.default_login
    assert "/x/w?" in found.upload_url("w")
    assert found.arm_url == endpoints(cloud).arm_url


@pytest.mark.parametrize(
    ("preset", "path", "array"),
    [
        (LEGACY_UPLOAD_V1, "/w/threatintelligence:upload-indicators", "value"),
        (LEGACY_UPLOAD_V2, "/workspaces/w/threatintelligenceindicators:upload", "indicators"),
    ],
)
def test_the_retired_upload_routes_are_presets(preset, path, array):
    found = endpoints(**preset)
    assert found.upload_url("w") == f"https://sentinelus.azure-api.net{path}?api-version=2022-07-01"
    assert found.upload_array == array


def test_nothing_travels_in_the_clear():
    with pytest.raises(ConfigError, match="https"):
        endpoints(defender_url="http://api.test")


def test_an_unknown_override_is_refused():
    with pytest.raises(ConfigError, match="login_url"):
        endpoints(login="https://x")
