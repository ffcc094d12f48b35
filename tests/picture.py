"""README's picture of the report's page: PYTHONPATH=. python tests/picture.py STUDY PICTURE

STUDY is results/measured/digits-one-class-defaults, PICTURE results/measured/page.png.
"""

import io
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

import report

if __name__ == "__main__":
    study, out = map(Path, sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        report.main([str(study), "--out", folder])
        chromium = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 1000})
        page.goto((Path(folder) / "index.html").as_uri())
        page.locator("#model").select_option("skipganomaly")
        page.locator("#class").select_option("9")
        parts = []
        for top, bottom in (("h1", "#results p.save >> nth=0"), ("#scores h2", "#viewer")):
            first, last = page.locator(top).bounding_box(), page.locator(bottom).bounding_box()
            height = last["y"] + last["height"] - first["y"] + 24
            clip = {"x": 0, "y": first["y"] - 8, "width": 1200, "height": height}
            parts.append(Image.open(io.BytesIO(page.screenshot(clip=clip, full_page=True))))
        browser.close()
    whole = Image.new("RGB", (parts[0].width, sum(part.height for part in parts)), "white")
    for number, part in enumerate(parts):
        whole.paste(part, (0, sum(before.height for before in parts[:number])))
    whole.quantize(200).save(out, optimize=True)
