"""A report as a browser shows it: no console message, nothing cut, no request, at several widths, without its script, and on paper.

    python tests/python/check_page.py PAGE [PICTURES]

Needs Chromium (`chromium`, `google-chrome` or $CHROMIUM) and nothing else: it is spoken to through a pipe. With a folder PICTURES
screenshots at 400, 800 and 1280 px, in light and dark, and `page.pdf` are left there to be looked at.
"""

import base64
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

WIDTHS = (400, 800, 1280)
# What sticks out of the page, or out of a box that neither scrolls nor wraps.
CUT = """
(() => {
  const page = document.documentElement;
  const out = [];
  if (page.scrollWidth > page.clientWidth) out.push(`page: ${page.scrollWidth} > ${page.clientWidth}`);
  for (const node of document.querySelectorAll('main *')) {
    if (node.closest('svg') || node.closest('[hidden]') || node.closest('.map')) continue;
    const style = getComputedStyle(node);
    if (style.display === 'inline' || style.display === 'none') continue;
    const scrolls = ['auto', 'scroll'].includes(style.overflowX);
    if (!scrolls && node.scrollWidth > node.clientWidth + 1 && node.clientWidth > 0) {
      out.push(`${node.tagName} ${node.className} ${node.scrollWidth} > ${node.clientWidth}: ${node.textContent.trim().slice(0, 60)}`);
    }
  }
  // Words of a picture stay inside it.
  for (const text of document.querySelectorAll('svg text')) {
    const box = text.getBoundingClientRect(), svg = text.ownerSVGElement.getBoundingClientRect();
    if (box.width === 0) continue;
    if (box.right > svg.right + 1 || box.left + 1 < svg.left || box.bottom > svg.bottom + 1) {
      out.push(`svg text ${Math.round(box.right - svg.right)}: ${text.textContent.trim().slice(0, 60)}`);
    }
  }
  return out.slice(0, 20);
})()
"""
# The network by keyboard and by words: enlarge, next place, look for something.
USE = """
(() => {
  const map = document.getElementById('network-map');
  if (!map) return 'no network';
  const press = (key) => map.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
  const picture = map.querySelector('svg');
  const before = picture.getBoundingClientRect().width;
  press('+'); press('+');
  const larger = picture.getBoundingClientRect().width > before * 1.4;
  press('0'); press('n'); press('p');
  const panel = document.getElementById('network-panel');
  const told = !panel.hidden && panel.textContent.includes('Place 1');
  const wanted = document.querySelector('#network-tools input');
  wanted.value = document.querySelector('#network-map .place').getAttribute('data-words').split('|')[1].trim();
  wanted.dispatchEvent(new Event('input'));
  const found = document.querySelectorAll('#network-map .found').length;
  return larger && told && found > 0 ? 'works' : `larger ${larger}, told ${told}, found ${found}`;
})()
"""


class Browser:
    """Chromium without a window, by its debugging pipe: one JSON message after the other, each ended by a zero byte."""

    def __init__(self, program: str) -> None:
        self.home = tempfile.TemporaryDirectory()
        to_browser, self.ours = os.pipe()
        self.theirs, from_browser = os.pipe()

        def move() -> None:
            # The two may have these very numbers.
            reads, writes = os.dup(to_browser), os.dup(from_browser)
            os.dup2(reads, 3)
            os.dup2(writes, 4)

        self.process = subprocess.Popen(
            [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={self.home.name}",
             "--no-first-run", "--disable-background-networking", "--remote-debugging-pipe", "about:blank"],
            preexec_fn=move, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self.number, self.left, self.said, self.session = 0, b"", [], None
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def message(self) -> dict:
        while b"\0" not in self.left:
            piece = os.read(self.theirs, 1 << 20)
            if not piece:
                raise SystemExit("the browser is gone")
            self.left += piece
        one, self.left = self.left.split(b"\0", 1)
        return json.loads(one)

    def ask(self, method: str, **params) -> dict:
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.ours, data):]
        while True:
            answer = self.message()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise SystemExit(f"{method}: {answer['error']}")
                return answer["result"]
            self.said.append(answer)

    def show(self, page: str, width: int, dark: bool = False, script: bool = True) -> None:
        self.ask("Emulation.setScriptExecutionDisabled", value=not script)
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        scheme = "dark" if dark else "light"
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.said.clear()
        self.ask("Page.navigate", url=page)
        while not any(said.get("method") == "Page.loadEventFired" for said in self.said):
            self.said.append(self.message())

    def value(self, expression: str):
        result = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in result:
            raise SystemExit(f"the page: {result['exceptionDetails']}")
        return result["result"].get("value")

    def complaints(self) -> list[str]:
        kinds = {"Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"}
        return [json.dumps(said["params"])[:400] for said in self.said if said.get("method") in kinds]

    def requests(self) -> list[str]:
        sent = [said["params"]["request"]["url"] for said in self.said if said.get("method") == "Network.requestWillBeSent"]
        return sent

    def picture(self, file: pathlib.Path) -> None:
        self.ask("Emulation.setDeviceMetricsOverride", width=self.value("innerWidth"), height=min(12000, self.value("document.documentElement.scrollHeight")),
                 deviceScaleFactor=1, mobile=False)
        # What has come into sight is laid out some frames later.
        time.sleep(0.5)
        file.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"]))

    def close(self) -> None:
        self.session = None
        try:
            self.ask("Browser.close")
        except (SystemExit, OSError):
            pass
        self.process.wait(timeout=20)
        self.home.cleanup()


def main() -> None:
    page = pathlib.Path(sys.argv[1]).resolve().as_uri()
    pictures = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else None
    if pictures:
        pictures.mkdir(parents=True, exist_ok=True)
    names = (os.environ.get("CHROMIUM", ""), "chromium", "google-chrome", "chromium-browser")
    program = next((found for name in names if name and (found := shutil.which(name))), None)
    if program is None:
        raise SystemExit("there is no Chromium; name one in $CHROMIUM")
    browser = Browser(program)
    wrong: list[str] = []
    try:
        for script in (True, False):
            for width in WIDTHS:
                browser.show(page, width, script=script)
                what = f"{width} px{'' if script else ' without its script'}"
                # A browser asks for an icon by itself in a window; a page that is a file has none.
                others = [url for url in browser.requests() if url != page]
                wrong += [f"{what}: asks for {url}" for url in others]
                wrong += [f"{what}: says {said}" for said in browser.complaints()]
                if script:
                    wrong += [f"{what}: cut: {cut}" for cut in browser.value(CUT)]
                if pictures and (script or width == 1280):
                    browser.picture(pictures / f"page-{width}{'' if script else '-static'}.png")
        browser.show(page, 1280)
        used = browser.value(USE)
        if used != "works":
            wrong.append(f"the network by keys and words: {used}")
        wrong += [f"in use: says {said}" for said in browser.complaints()]
        wrong += [f"in use: cut: {cut}" for cut in browser.value(CUT)]
        if pictures:
            browser.picture(pictures / "used.png")
            browser.show(page, 1280, dark=True)
            browser.picture(pictures / "dark.png")
            browser.show(page, 1280)
            paper = browser.ask("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, printBackground=False, preferCSSPageSize=True)
            (pictures / "page.pdf").write_bytes(base64.b64decode(paper["data"]))
    finally:
        browser.close()
    for line in wrong:
        print(line)
    if wrong:
        raise SystemExit(1)
    print("sound at", ", ".join(f"{width} px" for width in WIDTHS), "with and without its script")


if __name__ == "__main__":
    main()
