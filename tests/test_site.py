"""The built documentation in a real browser, and its links.

`make docs` has to have been run, and Chromium has to be installed; without them the tests are
skipped. Screenshots go to the directory that SKMOE_SCREENSHOTS names.
"""

import functools
import html
import http.server
import json
import os
import re
import shutil
import subprocess
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

SITE = Path(__file__).resolve().parents[1] / "docs" / "_build" / "html"
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
PAGES = {
    "front": "index.html",
    "start": "getting_started.html",
    "tutorials": "tutorials.html",
    "tutorial": "distributions.html",
    "guide": "user_guide.html",
    "api": "generated/skmoe.MixtureOfExpertsClassifier.html",
    "gallery": "generated/gallery/index.html",
    "example": "generated/gallery/experts/plot_domains.html",
}
WIDTHS = (1280, 400)

pytestmark = pytest.mark.skipif(
    not (SITE / "index.html").exists(), reason="the documentation is not built: make docs"
)

# A frame has any width that one gives it; a window of Chromium is at least 500 pixels wide.
HARNESS = """<!doctype html><body style="margin:0"><script>
const cases = CASES, said = [];
function look(done) {
  if (!cases.length) {
    document.body.innerHTML = "<pre id=said></pre>";
    document.getElementById("said").textContent = JSON.stringify(said);
    return;
  }
  const [page, width] = cases.shift();
  const frame = document.createElement("iframe");
  frame.style = `width:${width}px;height:900px;border:0`;
  frame.src = "/" + page;
  frame.onload = () => setTimeout(() => {
    const doc = frame.contentDocument, root = doc.scrollingElement;
    doc.querySelectorAll("img").forEach(image => image.loading = "eager");
    const code = [...doc.querySelectorAll("div.highlight pre")];
    const wide = code.filter(each => each.scrollWidth > each.clientWidth + 1);
    code.forEach(each => each.style.whiteSpace = "pre");
    const broken = code.filter(each => each.scrollWidth > each.clientWidth + 1);
    code.forEach(each => each.style.whiteSpace = "");
    said.push({
      page, width, seen: frame.contentWindow.innerWidth,
      page_overflow: root.scrollWidth - frame.contentWindow.innerWidth,
      wide_code: wide.map(each => each.textContent.slice(0, 80)),
      broken_lines: broken.map(each => each.textContent.slice(0, 80)),
      broken_images: [...doc.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src),
      formulas: doc.querySelectorAll("math").length,
      results: [...doc.querySelectorAll("ul.search li")].length,
      text: doc.body.innerText,
    });
    frame.remove();
    look();
  }, 1500);
  document.body.append(frame);
}
look();
</script></body>"""


FRAME = """<!doctype html><body style="margin:0">
<iframe src="/{}" style="width:{}px;height:1600px;border:0"></iframe>"""


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the site, and beside it the page that looks at the others."""

    harness = ""

    def do_GET(self):
        if self.path == "/look":
            body = self.harness.encode()
        elif self.path.startswith("/frame?"):
            body = FRAME.format(*self.path.removeprefix("/frame?").split(",")).encode()
        else:
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def browse(address, profile, *arguments):
    """What the browser prints of a page."""
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        f"--user-data-dir={profile}", "--hide-scrollbars", *arguments, address,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    return done.stdout


@pytest.fixture(scope="module")
def server():
    """Address of the site; the harness asks for the cases below."""
    cases = [[page, width] for page in PAGES.values() for width in WIDTHS]
    cases.append(["search.html?q=top_k", 1280])
    handler = type(
        "Handler", (_Handler,), {"harness": HARNESS.replace("CASES", json.dumps(cases))}
    )
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=str(SITE))
    ) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture(scope="module")
def looks(server, tmp_path_factory):
    """What the browser saw, by page and width."""
    if BROWSER is None:
        pytest.skip("Chromium is not installed")
    profile = tmp_path_factory.mktemp("chromium")
    dom = browse(f"{server}/look", profile, "--virtual-time-budget=120000", "--dump-dom")
    said = json.loads(html.unescape(re.search(r'<pre id="said">(.*?)</pre>', dom, re.S)[1]))
    return {(look["page"], look["width"]): look for look in said}


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", PAGES)
def test_page_fits_and_is_whole(kind, width, looks):
    look = looks[PAGES[kind], width]
    assert look["seen"] == width
    assert look["page_overflow"] <= 0
    assert look["wide_code"] == []
    assert width < 1000 or look["broken_lines"] == []  # there is room for lines as they are
    assert look["broken_images"] == []
    assert not re.search(r"\\\[|\\\(|\\frac|\$\$", look["text"])
    assert kind != "guide" or look["formulas"] > 5


@pytest.mark.slow
def test_search_finds_a_parameter(looks):
    assert looks["search.html?q=top_k", 1280]["results"] > 2


@pytest.mark.slow
@pytest.mark.skipif("SKMOE_SCREENSHOTS" not in os.environ, reason="nobody asked for screenshots")
def test_screenshots(server, tmp_path):
    folder = Path(os.environ["SKMOE_SCREENSHOTS"])
    for kind, page in PAGES.items():
        for width in WIDTHS:
            picture = folder / f"{kind}-{width}.png"
            size = f"--window-size={max(width, 500)},1600"
            frame = f"{server}/frame?{page},{width}"
            browse(frame, tmp_path, size, "--virtual-time-budget=5000", f"--screenshot={picture}")
            assert picture.exists()


class _Links(HTMLParser):
    """Targets and anchors of a page."""

    def __init__(self):
        super().__init__()
        self.targets, self.anchors = [], set()

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.anchors.update(filter(None, (attributes.get("id"), attributes.get("name"))))
        key = {"a": "href", "img": "src", "link": "href", "script": "src"}.get(tag)
        if attributes.get(key):
            self.targets.append(attributes[key])


@functools.cache
def links(path):
    parser = _Links()
    parser.feed(path.read_text(encoding="utf-8"))
    return parser


def dead_links(path):
    """Targets within the site that do not exist."""
    dead = []
    for target in links(path).targets:
        if re.match(r"[a-z]+:|//", target):
            continue
        place, anchor = urldefrag(target)
        place = place.partition("?")[0]
        found = (path.parent / unquote(place)).resolve() if place else path
        if found.is_dir():
            found = found / "index.html"
        is_page = found.suffix == ".html"
        if not found.exists() or (
            anchor and is_page and unquote(anchor) not in links(found).anchors
        ):
            dead.append(target)
    return dead


def test_no_internal_link_is_dead():
    dead = {
        path.relative_to(SITE).as_posix(): targets
        for path in sorted(SITE.rglob("*.html"))
        if "_static" not in path.parts and (targets := dead_links(path))
    }
    assert dead == {}


def test_a_dead_link_would_be_found(tmp_path):
    page = tmp_path / "page.html"
    page.write_text('<p id="here"><a href="#here">1</a><a href="#there">2</a><a href="no.html">3')
    assert dead_links(page) == ["#there", "no.html"]


def test_names_in_the_pages_lead_to_the_reference():
    assert any(
        "skmoe.inspection.routing_drift.html" in to for to in links(SITE / "faq.html").targets
    )
    tutorial = links(SITE / "distributions.html").targets
    assert any(to.endswith("#skmoe.MixtureOfExpertsRegressor.predict_interval") for to in tutorial)
    reference = links(SITE / "generated" / "skmoe.gates.GaussianGate.html").targets
    assert any("gallery/in_use/plot_new_expert.html" in target for target in reference)
