"""The classes of MineMeld's that our kinds stand for: scripts look at them before they write."""

from __future__ import annotations

_CLASSES = {
    ("source", "local"): "minemeld.ft.localdb.Miner",
    ("source", "lines"): "minemeld.ft.http.HttpFT",
    ("source", "csv"): "minemeld.ft.csv.CSVFT",
    ("source", "json"): "minemeld.ft.json.SimpleJSON",
    ("source", "taxii1"): "minemeld.ft.taxii.TaxiiClient",
    ("source", "taxii2"): "minemeld.ft.taxii2.Taxii2Client",
    ("source", "misp"): "mmmisp.Miner",
    ("processor", "aggregate"): "minemeld.ft.op.AggregateFT",
    ("processor", "ranges"): "minemeld.ft.ipop.AggregateIPv4FT",
    ("output", "list"): "minemeld.ft.redis.RedisSet",
    ("output", "taxii"): "minemeld.ft.taxii.DataFeed",
    ("output", "microsoft-defender"): "microsoft_wd_atp.OutputBatch",
    ("output", "microsoft-graph"): "microsoft_graph_secapi.Output",
}


def class_of(sort: str, kind: str) -> str:
    """The class of a kind; of what MineMeld had not, a name of ours such as `tipline.sources.rss`."""
    return _CLASSES.get((sort, kind)) or f"tipline.{sort}s.{kind}"
