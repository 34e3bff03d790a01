"""The page in a real browser: it shows the verdict, asks nobody for anything, and fits a phone."""

import html
import http.server
import io
import json
import re
import shutil
import subprocess
import threading

import numpy as np
import pytest
from PIL import Image
from studies import write_study_folder

from medvol.study.reporting.report import write_report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not BROWSER, reason="no chromium, chromium-browser or google-chrome on the path"),
]
PHONE = 360
# A headless window is at least 500 pixels wide; a frame is as narrow as it is told to be.
FRAME = (
    '<html><body style="margin:0"><iframe id="phone" src="report.html" style="border:0;width:{width}px;height:3000px">'
    '</iframe><script>onload = () => {{ const page = document.getElementById("phone").contentDocument.documentElement;'
    'document.body.dataset.width = page.scrollWidth + "/" + page.clientWidth; }};</script></body></html>'
)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = write_study_folder(
        tmp_path_factory.mktemp("study"), ("scratch", "scratch-x3", "Größe-cpc3d"), effect={"Größe-cpc3d": 0.05},
        interaction_sd=0.001, seed_sd=0.001, overlays=True, tune=True, scores=(("dice", "mean"), ("hd95", "whole")),
        robustness={"corruptions": ["noise", "bias_field"], "severities": [1, 3], "counts": ["all"]},
        failed=("finetune-scratch-x3-4-seed1",),
    )  # fmt: skip
    page = write_report(folder)
    (page.parent / "frame.html").write_text(FRAME.format(width=PHONE), encoding="utf-8")
    return page.parent


@pytest.fixture(scope="module")
def server(report):
    """Serves the report, and keeps what was asked for."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(report))

        def log_request(self, code="-", size="-"):
            asked.append(self.path)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", asked
        running.shutdown()


def _open(tmp_path, *arguments: str) -> subprocess.CompletedProcess:
    fixed = (
        "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--disable-default-apps", "--enable-logging=stderr", "--v=0",
        f"--user-data-dir={tmp_path / 'profile'}",
        # Every name leads nowhere: a page that asked for anything would be seen to fail.
        "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    )  # fmt: skip
    return subprocess.run([BROWSER, *fixed, *arguments], capture_output=True, timeout=180, check=True)


def test_the_verdict_is_shown_and_nothing_else_is_asked_for(report, server, tmp_path):
    address, asked = server
    verdict = json.loads((report / "report.json").read_text(encoding="utf-8"))["verdicts"][0]
    done = _open(tmp_path, "--dump-dom", f"{address}/report.html")
    shown = html.unescape(re.sub(r"<[^>]+>", "", done.stdout.decode()))
    assert verdict["arm"] == "Größe-cpc3d"
    assert verdict["sentence"] in shown
    assert f"{verdict['word']}\n{verdict['sentence']}" in shown
    assert "finetune-scratch-x3-4-seed1 failed" in shown
    assert asked == ["/report.html"]
    assert "CONSOLE" not in done.stderr.decode(errors="replace")


def test_a_console_error_would_be_seen(report, server, tmp_path):
    (report / "broken.html").write_text("<script>throw new Error('seen')</script>", encoding="utf-8")
    done = _open(tmp_path, "--dump-dom", f"{server[0]}/broken.html")
    assert "CONSOLE" in done.stderr.decode(errors="replace")


def test_nothing_sticks_out_on_a_phone(server, tmp_path):
    done = _open(tmp_path, "--window-size=800,3000", "--dump-dom", f"{server[0]}/frame.html")
    whole, visible = re.search(r'data-width="(\d+)/(\d+)"', done.stdout.decode()).groups()
    assert int(whole) <= int(visible) <= PHONE


@pytest.mark.parametrize("width", [500, 1200])
def test_the_screen_is_not_blank(report, tmp_path, width):
    picture = tmp_path / "shot.png"
    _open(tmp_path, f"--screenshot={picture}", f"--window-size={width},1500", (report / "report.html").as_uri())
    pixels = np.asarray(Image.open(io.BytesIO(picture.read_bytes())).convert("L"))
    assert pixels.shape[1] == width
    dark = (pixels < 128).mean(axis=1)
    assert (dark > 0).mean() > 0.3  # rows with ink
    assert 0.005 < dark.mean() < 0.5


def test_it_can_be_printed(report, tmp_path):
    file = tmp_path / "report.pdf"
    _open(tmp_path, "--no-pdf-header-footer", f"--print-to-pdf={file}", (report / "report.html").as_uri())
    assert file.read_bytes()[:5] == b"%PDF-"
    assert len(re.findall(rb"/Type\s*/Page\b", file.read_bytes())) >= 3
