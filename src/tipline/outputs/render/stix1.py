"""STIX 1.1.1 packages: an indicator with one CybOX 2.1 object each, in XML, made by the database.

Facts: the schemas of STIX 1.1.1 and CybOX 2.1 (order of elements, vocabularies); what MineMeld wrote
(`minemeld-core` 0.9.70, `taxii.DataFeed`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from xml.sax.saxutils import escape

from tipline.model.types import TYPES
from tipline.outputs.render.dialect import Dialect, Layout
from tipline.outputs.render.fields import iso
from tipline.outputs.render.spec import HASHES, HEX, Context, Spec, level

_LONGEST = 4096
_SPACES = {
    "stix": "http://stix.mitre.org/stix-1",
    "stixCommon": "http://stix.mitre.org/common-1",
    "stixVocabs": "http://stix.mitre.org/default_vocabularies-1",
    "indicator": "http://stix.mitre.org/Indicator-2",
    "marking": "http://data-marking.mitre.org/Marking-1",
    "tlpMarking": "http://data-marking.mitre.org/extensions/MarkingStructure#TLP-1",
    "cybox": "http://cybox.mitre.org/cybox-2",
    "cyboxCommon": "http://cybox.mitre.org/common-2",
    "AddressObj": "http://cybox.mitre.org/objects#AddressObject-2",
    "DomainNameObj": "http://cybox.mitre.org/objects#DomainNameObject-1",
    "URIObj": "http://cybox.mitre.org/objects#URIObject-2",
    "FileObj": "http://cybox.mitre.org/objects#FileObject-2",
    "MutexObj": "http://cybox.mitre.org/objects#MutexObject-2",
    "xsi": "http://www.w3.org/2001/XMLSchema-instance",
    "tipline": "urn:tipline",
}
_HASH_TYPES = {"md5": "MD5", "sha1": "SHA1", "sha256": "SHA256", "sha512": "SHA512"}
_TLPS = ("WHITE", "GREEN", "AMBER", "AMBER", "RED")
# Type: what STIX calls such a list (its vocabulary has no others), the object's attributes, before and after the value.
_CONTROLLED = "../../../descendant-or-self::node() | ../../../descendant-or-self::node()/@*"
_ADDRESS = "IP Watchlist"
_OBJECTS = {
    "ipv4": (_ADDRESS, 'AddressObj:AddressObjectType" category="CATEGORY', "AddressObj:Address_Value"),
    "ipv6": (_ADDRESS, 'AddressObj:AddressObjectType" category="CATEGORY', "AddressObj:Address_Value"),
    "email": ("Malicious E-mail", 'AddressObj:AddressObjectType" category="e-mail', "AddressObj:Address_Value"),
    "domain": ("Domain Watchlist", 'DomainNameObj:DomainNameObjectType" type="FQDN', "DomainNameObj:Value"),
    "url": ("URL Watchlist", 'URIObj:URIObjectType" type="URL', "URIObj:Value"),
    "file-name": ("Malware Artifacts", "FileObj:FileObjectType", "FileObj:File_Name"),
    "file-path": ("Malware Artifacts", "FileObj:FileObjectType", "FileObj:Full_Path"),
    "mutex": ("Malware Artifacts", "MutexObj:MutexObjectType", "MutexObj:Name"),
    **dict.fromkeys(HASHES, ("File Hash Watchlist", "FileObj:FileObjectType", "")),
}
TYPES_1 = tuple(name for name in TYPES if name in _OBJECTS)


def xml(text: str) -> str:
    """SQL: a text as XML holds it; characters that no XML can hold go."""
    kept = rf"regexp_replace({text}, '[\x00-\x08\x0b\x0c\x0e-\x1f\x{{fffe}}\x{{ffff}}]', '', 'g')"
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        kept = f"replace({kept}, '{character}', '{entity}')"
    return kept


def element(type_: str, identity: str, moment: str, start: str, end: str) -> str:
    """SQL: an indicator's element for a row of a type; null if its value cannot be written.

    Args:
        type_: of the rows.
        identity: SQL of what the identifiers end in.
        moment: SQL of the timestamp.
        start: SQL of when it became valid.
        end: SQL of when it ends; null: never.
    """
    watchlist, object_type, name = _OBJECTS[type_]
    category = f"if(contains(value, '/'), 'cidr', '{type_}-addr')"
    attributes = f"'{object_type}'".replace("CATEGORY", f"' || {category} || '")
    tlps = " ".join(f"WHEN {number} THEN '{word}'" for number, word in enumerate(_TLPS))
    head = (
        f"'<stix:Indicator id=\"tipline:indicator-', {identity}, '\" timestamp=\"', {iso(moment)},"
        f" '\" xsi:type=\"indicator:IndicatorType\"><indicator:Title>', {xml('value')}, '</indicator:Title>',"
        f" '<indicator:Type xsi:type=\"stixVocabs:IndicatorTypeVocab-1.1\">{watchlist}</indicator:Type>',"
        f" '<indicator:Description>' || {xml('description')} || '</indicator:Description>',"
        f" '<indicator:Valid_Time_Position><indicator:Start_Time>', {iso(start)}, '</indicator:Start_Time>',"
        f" '<indicator:End_Time>' || {iso(end)} || '</indicator:End_Time>'"
    )
    thing = (
        f"'</indicator:Valid_Time_Position><indicator:Observable id=\"tipline:observable-', {identity},"
        f" '\"><cybox:Object id=\"tipline:object-', {identity}, '\"><cybox:Properties xsi:type=\"', {attributes},"
        f" '\">', {_property(type_, name)}, '</cybox:Properties></cybox:Object></indicator:Observable>'"
    )
    handling = (
        f"'<indicator:Handling><marking:Marking><marking:Controlled_Structure>{_CONTROLLED}"
        '</marking:Controlled_Structure><marking:Marking_Structure xsi:type="tlpMarking:TLPMarkingStructureType"'
        f" color=\"' || CASE tlp {tlps} END || '\"/></marking:Marking></indicator:Handling>'"
    )
    trust = (
        "'<indicator:Confidence><stixCommon:Value xsi:type=\"stixVocabs:HighMediumLowVocab-1.0\">' ||"
        f" CASE WHEN confidence IS NOT NULL THEN {level('High', 'Medium', 'Low')} END ||"
        " '</stixCommon:Value></indicator:Confidence>'"
    )
    parts = [head, thing, handling, trust, "'</stix:Indicator>'", "chr(10)"]
    fits = f"length(value) <= {_LONGEST} AND NOT regexp_matches(value, '[\\x00-\\x1f]|##comma##')"
    if type_ in _HASH_TYPES:
        fits = f"regexp_full_match(value, '{HEX}')"
    return f"CASE WHEN {fits} THEN concat({', '.join(parts)}) END"


def _property(type_: str, name: str) -> str:
    """SQL: the element that holds the value."""
    if type_ in _HASH_TYPES:
        return (
            '\'<FileObj:Hashes><cyboxCommon:Hash><cyboxCommon:Type condition="Equals">'
            f'{_HASH_TYPES[type_]}</cyboxCommon:Type><cyboxCommon:Simple_Hash_Value condition="Equals">\','
            " value, '</cyboxCommon:Simple_Hash_Value></cyboxCommon:Hash></FileObj:Hashes>'"
        )
    return f"'<{name} condition=\"Equals\">', {xml('value')}, '</{name}>'"


def package(identity: str, moment: datetime, title: str, description: str = "") -> tuple[str, str]:
    """What stands before and after the indicators of a package.

    Args:
        identity: what its identifier ends in.
        moment: naive UTC.
        title: of its header.
        description: of its header.
    """
    spaces = " ".join(f'xmlns:{prefix}="{space}"' for prefix, space in _SPACES.items())
    stamp = moment.replace(tzinfo=UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    more = f"<stix:Description>{_clean(description)}</stix:Description>" if description else ""
    head = (
        f'<stix:STIX_Package {spaces} id="tipline:package-{_clean(identity)}" version="1.1.1" timestamp="{stamp}">'
        f"<stix:STIX_Header><stix:Title>{_clean(title)}</stix:Title>{more}</stix:STIX_Header>\n<stix:Indicators>\n"
    )
    return head, "</stix:Indicators>\n</stix:STIX_Package>\n"


def _clean(text: str) -> str:
    return escape("".join(c for c in text if c >= " " and c not in "\ufffe\uffff"), {'"': "&quot;"})


def line(_: Dialect, type_: str) -> str:
    """SQL: the indicator of a row."""
    return element(type_, "key::VARCHAR", "since", "since", "valid_until")


def frame(_: Dialect, context: Context) -> Layout:
    """The package around them; the schema wants at least one in its list, so that an empty one has no list."""
    head, tail = package(f"{context.name}-{context.seq}", context.changed, context.name)
    declared = '<?xml version="1.0" encoding="UTF-8"?>\n'
    empty = head.replace("<stix:Indicators>\n", "") + "</stix:STIX_Package>\n"
    return Layout((declared + head).encode(), tail.encode(), empty=(declared + empty).encode())


SPEC = Spec(
    "STIX 1.1.1 package",
    line,
    TYPES_1,
    frame,
    media="application/xml",
    extension="xml",
    shows=("confidence", "description", "since", "tlp", "valid_until"),
    cidrs=True,
    pages=None,
    limits="no tags; TLP amber+strict is amber; confidence in three words",
)
