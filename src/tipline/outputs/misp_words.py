"""MISP's words for our types: the attribute type that is written, and its usual category."""

from __future__ import annotations

from tipline.model.types import TYPES

# The default categories of MISP's describeTypes; what is not named here is `Network activity`.
_CATEGORIES = {
    "Payload delivery": (
        "md5 sha1 sha224 sha256 sha384 sha512 sha512/224 sha512/256 sha3-224 sha3-256 sha3-384 sha3-512 ssdeep imphash"
        " impfuzzy pehash authentihash vhash tlsh telfhash cdhash filename email-src email-subject email-attachment"
        " mobile-application-id chrome-extension-id"
    ),
    "Persistence mechanism": "regkey",
    "Artifacts dropped": "mutex pdb windows-service-name named pipe",
    "External analysis": "vulnerability",
    "Financial fraud": "btc xmr dash iban bic bank-account-nr cc-number",
    "Payload installation": "yara sigma stix2-pattern pattern-in-file",
    "Social network": "email",
}
_BY_WORD = {word: category for category, words in _CATEGORIES.items() for word in words.split()}

#: Our types that MISP has an attribute for, to (attribute type, category).
WORDS = {
    name: (type_.misp[0], _BY_WORD.get(type_.misp[0], "Network activity"))
    for name, type_ in sorted(TYPES.items())
    if type_.misp
}
