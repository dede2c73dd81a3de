"""Finding a TAXII collection from the address of a server, an API root, or the collection itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urljoin

from tipline.errors import FetchError, FormatError
from tipline.formats.stixsurvey import objects, text, texts
from tipline.sources.guardrails import mask_url
from tipline.sources.taxii_client import V20, Client, Collection, Dialect, Members, below

_Choice = tuple[str, Members, Dialect]


@dataclass
class Finder:
    """Finds a collection from the address of a server, API root, or collection.

    Args:
        client: for the server.
        wanted: id, title or alias; None: the only one that there is.
        dialects: in the order in which they are tried.
    """

    client: Client
    wanted: str | None
    dialects: tuple[Dialect, ...]
    _seen: list[str] = field(default_factory=list)

    def find(self) -> Collection:
        """The collection.

        Raises:
            FetchError: there is no such collection, or it may not be read.
        """
        url = self.client.url
        document, dialect = self._ask(url)
        if "can_read" in document and "id" in document:
            return self._readable(below(url, ""), document, dialect)
        if "collections" in document:
            found = self._choose(below(url, ""), document, dialect)
        elif "api_roots" in document or "default" in document:
            found = self._in_roots(document)
        elif "versions" in document or "max_content_length" in document:
            found = self._in_root(url)
        else:
            raise FormatError(
                "the answer is neither TAXII discovery nor an API root nor a collection",
                where=mask_url(url),
                fix="check the address; it often ends in /taxii2/",
            )
        if found is None:
            there = ", ".join(self._seen) or "none is to be seen with this sign-in"
            what = f"there is no collection {self.wanted!r}" if self.wanted else "there are several collections"
            raise FetchError(
                what if self._seen else "there is no collection to read",
                where=mask_url(url),
                fix=f"set `collection` to one of: {there}",
            )
        return self._readable(*found)

    def _ask(self, url: str) -> tuple[Members, Dialect]:
        """A document in the first dialect that the server understands."""
        first: FetchError | None = None
        for dialect in self.dialects:
            try:
                document, part = self.client.document(url, dialect.accept)
            except FetchError as error:
                if error.status not in (400, 404, 406, 415):
                    raise
                first = first or error
                continue
            return document, _spoken(part.headers.get("content-type", ""), dialect, self.dialects)
        raise first or FetchError("no version of TAXII to try", where=mask_url(url))

    def _in_roots(self, discovery: Members) -> _Choice | None:
        default = text(discovery.get("default"))
        roots = [*([default] if default else []), *texts(discovery.get("api_roots"))]
        problem: FetchError | FormatError | None = None
        for root in dict.fromkeys(roots):
            try:
                found = self._in_root(urljoin(self.client.url, root))
            except (FetchError, FormatError) as error:
                problem = problem or error
                continue
            if found is not None:
                return found
        if problem is not None and not self._seen:
            raise problem
        return None

    def _in_root(self, root: str) -> _Choice | None:
        url = below(root, "collections/")
        document, dialect = self._ask(url)
        return self._choose(url, document, dialect)

    def _choose(self, url: str, document: Members, dialect: Dialect) -> _Choice | None:
        offered = [each for each in objects(document.get("collections")) if text(each.get("id"))]
        self._seen += [f"{each.get('title')} ({each['id']})" for each in offered]
        wanted = (self.wanted or "").casefold()
        if self.wanted is None:
            chosen = [each for each in offered if each.get("can_read") is not False]
            chosen = chosen if len(chosen) == 1 else []
        else:
            chosen = [
                each
                for key in ("id", "alias", "title")
                for each in offered
                if str(each.get(key, "")).casefold() == wanted
            ]
        if not chosen:
            return None
        return below(url, f"{chosen[0]['id']}/"), chosen[0], dialect

    def _readable(self, url: str, described: Members, dialect: Dialect) -> Collection:
        title = str(described.get("title") or described["id"])
        if described.get("can_read") is False:
            raise FetchError(
                f"the collection {title!r} may not be read with this sign-in",
                where=mask_url(url),
                fix="ask its owner for the right to read",
            )
        return Collection(url, title, dialect)


def _spoken(media_type: str, asked: Dialect, allowed: tuple[Dialect, ...]) -> Dialect:
    """The dialect of an answer; what was asked for where the media type does not say."""
    told = media_type.replace(" ", "").lower()
    for dialect in allowed:
        if f"version={dialect.version}" in told:
            return dialect
    return V20 if "vnd.oasis" in told and V20 in allowed else asked
