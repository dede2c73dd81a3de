"""The pages: what people see in a browser, rendered here and alive without a build step.

How to add a page
-----------------
A group of pages is one module in `web/pages/` and one folder in `web/templates/`. The module is found by itself; it
has a `router`, and a `NAV` if it stands in the navigation:

    router = APIRouter()
    NAV = Nav("Deliveries", "/deliveries", key="d", order=60, icon="send")

    @router.get("/deliveries")
    def deliveries(page: Viewer, state: str = "", sort: str = "output") -> Response:
        view = {"deliveries": ...}              # plain data: this is also the page's JSON
        return page.show("deliveries/index.html", view, title="Deliveries")

`Viewer`, `Analyst`, `Editor` and `Admin` (from `web.page`) say who may; whoever is not signed in is sent to the
sign-in page and comes back. `page.operations` and `page.engine` do the work, `page.person` is who asks.
Every page answers `?format=json` and `Accept: application/json` with its view. Filters are query parameters, so that
an address can be shared; `page.url(name=value)` is this page's address with some of them changed.

A page that changes something is a POST with `page: Analyst` (or above) and `form: Form`; the cross-site check is done
before it runs. It ends with `page.done("What happened.", "/deliveries")`, or raises a `TiplineError`, which is shown;
`web.page.tried` gives what a form is to say instead.

A template extends `shell/base.html` and fills the block `main`. What stands inside `<div id="live"
data-live="node deliveries">` is fetched again when an event names one of these topics (`web.events` lists them).
Macros, all in `shell/macros.html`: `badge`, `number`, `moment`, `listing` (a `web.tables.Table`, sorted and cut by the
address, in a panel), `chart` (of `web.charts`), `segments` (of `web.spans`), `bar`, `account`, `empty`, `post_button`,
`search`, `choice`, `tag`, `tlp`. Lists that are too long for memory carry the place of their next page in the address
(`web.places`). What a node is set to, without its secrets, comes from `web.settings`.

The Content-Security-Policy forbids inline scripts and styles: no `style=`, no `on...=`, no `<script>` with a body.
Data for scripts goes into `data-` attributes by `|tojson` inside single quotes. Own scripts are modules in
`static/`, named in the block `scripts`. Values from feeds are only ever text: autoescape is on, and `|safe` is not
used.

Tests: `tests/web/` starts a real server and a real browser (`lab_page`; `page` with the stand-in for Microsoft's APIs
behind it); every page is listed in `tests/web/pages.py` or its module's `PAGES`, and is then checked by `looks.py` for
accessibility (light and dark), hostile values, policy violations and its JSON.
"""
