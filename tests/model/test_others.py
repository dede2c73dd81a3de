from __future__ import annotations

import pytest

from tipline.model import normalise_one


@pytest.mark.parametrize(
    ("text", "word", "value"),
    [
        ("Joe.Doe@Evil[.]COM", "email", "Joe.Doe@evil.com"),
        ("mailto:a@b.com", "email", "a@b.com"),
        ("a@münchen.de", "email", "a@xn--mnchen-3ya.de"),
        ("c:\\windows\\x.exe", "filepath", "c:\\windows\\x.exe"),
        ("Windows\\\\System32\\\\a.dll", "FilePath", "Windows\\System32\\a.dll"),
        ("\\\\server\\share\\a.exe", "file-path", "\\\\server\\share\\a.exe"),
        ("\\\\\\\\server\\\\share", "file-path", "\\\\server\\share"),
        ("/tmp/.x", "file-path", "/tmp/.x"),
        ("%TEMP%\\a b.exe", "file-path", "%TEMP%\\a b.exe"),
        ("a.exe\xa0", "filename", "a.exe"),
        ("evil[.]exe", "filename", "evil[.]exe"),
        ("hklm\\Software\\Run", "regkey", "HKEY_LOCAL_MACHINE\\Software\\Run"),
        ("HKCU:\\Software\\\\Run\\", "registry", "HKEY_CURRENT_USER\\Software\\Run"),
        ("HKEY_USERS\\S-1", "registry-key", "HKEY_USERS\\S-1"),
        ("cmd.exe\xa0/c  echo [Convert]::x", "CommandLine", "cmd.exe /c echo [Convert]::x"),
        ("powershell -c [char] 65", "command-line", "powershell -c [char] 65"),
        (" Global\\x ", "mutex", "Global\\x"),
        ("Mozilla/5.0 (x; y)", "useragent", "Mozilla/5.0 (x; y)"),
        ("as 64500", "asn", "AS64500"),
        ("64500", "AS", "AS64500"),
        ("cve-2021-44228", "vulnerability", "CVE-2021-44228"),
    ],
)
def test_canonical_form(text: str, word: str, value: str) -> None:
    assert normalise_one(text, word).value == value


@pytest.mark.parametrize(
    ("text", "word", "reason"),
    [
        ("a b@c.com", "email", "bad-email"),
        ("@c.com", "email", "bad-email"),
        ("a@b@c.com", "email", "bad-email"),
        ("a@localhost", "email", "unknown-tld"),
        ('c:\\a.exe "x"', "file-path", "not-a-file-path"),
        ("c:\\a.exe /c x", "file-path", "not-a-file-path"),
        ("c:\\*.exe", "file-path", "not-a-file-path"),
        ("a.exe", "file-path", "not-a-file-path"),
        ("http://a.com/x", "file-path", "not-a-file-path"),
        ("c:\\a.exe", "file-name", "not-a-file-name"),
        ("Software\\Run", "registry-key", "bad-registry-key"),
        ("HKLM\\\\", "registry-key", "bad-registry-key"),
        ("schtasks /tr [File] /sc", "command-line", "placeholder"),
        ("a\x01b", "mutex", "bad-text"),
        ("AS0", "asn", "bad-asn"),
        ("AS4294967296", "asn", "bad-asn"),
        ("CVE-21-1", "cve", "bad-cve"),
    ],
)
def test_refused(text: str, word: str, reason: str) -> None:
    assert normalise_one(text, word).drop == reason
