from __future__ import annotations

import pytest

from tipline.errors import FormatError
from tipline.formats.rss import articles

RSS = b"""<?xml version="1.0"?><rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/"><channel>
<title>blog</title><item><title>One &amp; only</title><link>https://blog.test-lab.com/1</link><guid>g-1</guid>
<pubDate>Sun, 24 Nov 2024 10:00:00 GMT</pubDate><description>short</description>
<content:encoded><![CDATA[<p>C2: <b>evil[.]com</b></p>]]></content:encoded></item></channel></rss>"""
ATOM = b"""<feed xmlns="http://www.w3.org/2005/Atom"><title>blog</title>
<entry><id>tag:1</id><title type="html">&lt;b&gt;T&lt;/b&gt;</title>
<link rel="self" href="https://blog.test-lab.com/self"/><link href="https://blog.test-lab.com/a"/>
<updated>2024-11-24T10:00:00Z</updated>
<content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>one</p><p>evil[.]com</p></div></content></entry></feed>"""
RDF = b"""<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/">
<item rdf:about="https://blog.test-lab.com/r"><title>R</title><link>https://blog.test-lab.com/r</link><description>x</description></item></rdf:RDF>"""


def test_rss() -> None:
    (article,) = articles(RSS, "feed")
    assert (article.id, article.link, article.title) == ("g-1", "https://blog.test-lab.com/1", "One & only")
    assert article.text == "C2: evil[.]com"
    assert article.published == "Sun, 24 Nov 2024 10:00:00 GMT"


def test_atom() -> None:
    (article,) = articles(ATOM, "feed")
    assert (article.id, article.link, article.title) == ("tag:1", "https://blog.test-lab.com/a", "T")
    assert article.text.split() == ["one", "evil[.]com"]
    assert article.published == "2024-11-24T10:00:00Z"


def test_rdf() -> None:
    (article,) = articles(RDF, "feed")
    assert (article.id, article.text) == ("https://blog.test-lab.com/r", "x")


def test_entities_and_document_types_are_not_followed(tmp_path_factory: pytest.TempPathFactory) -> None:
    secret = tmp_path_factory.mktemp("secret") / "secret.txt"
    secret.write_text("top-secret", encoding="utf-8")
    bomb = (
        b'<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;"><!ENTITY f SYSTEM "file://%s">]>'
        % str(secret).encode()
    )
    (article,) = articles(
        bomb + b"<rss><channel><item><guid>1</guid><title>&b;&f;x</title></item></channel></rss>", "feed"
    )
    assert "aaaa" not in article.title
    assert "top-secret" not in article.title


def test_a_damaged_feed_gives_what_can_be_read() -> None:
    assert next(articles(RSS.replace(b"</channel></rss>", b"<item><guid>cut"), "feed")).id == "g-1"


@pytest.mark.parametrize("body", [b"", b"text", b"<html><body/></html>", b"\x00\x01"])
def test_what_is_no_feed_says_so(body: bytes) -> None:
    with pytest.raises(FormatError, match="no RSS or Atom feed"):
        list(articles(body, "feed"))


def test_tags_that_are_no_names() -> None:
    body = b"<rss:<channel><item><<\xc2\xa0nk>\xa3\xa3h<rss><channel><item><<\xc2\xa0nk>\xa3\xa3hannanne\xc5l></"
    with pytest.raises(FormatError, match="no RSS or Atom feed"):
        list(articles(body, "feed"))
