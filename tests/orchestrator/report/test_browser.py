"""The page in a real browser: everything is on it, no phone has to scroll it sideways, and it prints."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from orchestrator import report
from orchestrator.report.formats import FORMATS
from orchestrator.store import Store
from tests.orchestrator.report.builders import realistic, row

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--hide-scrollbars",
]  # fmt: skip
LOOK = """<script>addEventListener("load", () => {
  const page = document.documentElement, frame = document.createElement("pre");
  const images = [...document.images].map(each => each.complete && each.naturalWidth > 0);
  const tables = [...document.querySelectorAll("table")].map(each => each.rows.length);
  const boxes = [...document.querySelectorAll(".scroll")].map(each => each.scrollWidth > each.clientWidth);
  const found = {width: innerWidth, needed: page.scrollWidth, images, tables, boxes};
  frame.id = "looked"; frame.textContent = JSON.stringify(found); document.body.append(frame);
})</script>"""

pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="none of chromium, chromium-browser and google-chrome is installed"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    store = Store(f"sqlite:///{tmp_path_factory.mktemp('store') / 'relearn.db'}")
    built = report.build(store, [row(store, realistic(store))])
    store.close()
    return FORMATS["html"].render(built)


def browse(folder: Path, page: str, *options: str) -> str:
    """The standard output of the browser for the page."""
    (folder / "page.html").write_text(page)
    command = [
        str(BROWSER),
        *QUIET,
        f"--user-data-dir={folder / 'profile'}",
        *options,
        f"file://{folder / 'page.html'}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def looked(folder: Path, page: str, width: int) -> dict[str, Any]:
    """The result of the script LOOK in a copy of the page, in a frame `width` pixels wide."""
    copy = re.sub(r"<meta http-equiv[^>]*>", "", page).replace("</body>", f"{LOOK}</body>")
    (folder / "copy.html").write_text(copy)
    # a window has a minimum width, a frame has none
    copy_result = "onload='document.body.append(this.contentDocument.getElementById(\"looked\").cloneNode(true))'"
    style = f"style='width:{width}px;height:900px;border:0'"
    frame = f"<body style='margin:0'><iframe src=copy.html {style} {copy_result}></iframe>"
    dom = browse(folder, frame, "--allow-file-access-from-files", "--window-size=1600,1000", "--dump-dom")
    found = re.search(r'<pre id="looked">(.*?)</pre>', dom)
    assert found is not None, dom[-2000:]
    measured: dict[str, Any] = json.loads(html.unescape(found[1]))
    return measured


@pytest.mark.parametrize("width", [390, 1280])
def test_everything_is_on_the_page_and_nothing_is_wider_than_it(tmp_path: Path, page: str, width: int) -> None:
    found = looked(tmp_path, page, width)
    assert found["width"] == width
    assert found["needed"] <= width
    assert found["images"] == [True] * 5
    # five of results, then settings, evaluations, shared work and data, each with its header
    assert found["tables"] == [5, 4, 5, 5, 5, 4, 6, 4, 4]
    assert any(found["boxes"]) or width > 390, "on a phone wide tables scroll in their own box"


def test_it_prints(tmp_path: Path, page: str) -> None:
    target = tmp_path / "page.pdf"
    browse(tmp_path, page, f"--print-to-pdf={target}", "--no-pdf-header-footer")
    printed = target.read_bytes()
    assert printed.startswith(b"%PDF-")
    assert 2 <= len(re.findall(rb"/Type\s*/Page[^s]", printed)) <= 12
