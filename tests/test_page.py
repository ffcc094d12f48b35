"""The report's page in a real browser, from disk: no error, no network, all of it works."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from commands import ROOT
from playwright.sync_api import Browser, Locator, Page, sync_playwright
from studies import make_study

import report
from bench import results

HOSTILE = "<script>alert(1)</script>"
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next(filter(None, map(shutil.which, names)), None)
    if chromium is None and not os.environ.get("CI"):
        pytest.skip("there is no Chromium here (apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models, folder = (
        ("w_skipganomaly", "skipganomaly", "pca"),
        tmp_path_factory.mktemp("page") / "s",
    )
    make_study(folder, models=models, classes=("bird", HOSTILE), study={"name": HOSTILE})
    subprocess.run(
        [sys.executable, "report.py", str(folder)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
    )
    return folder


@pytest.fixture(params=SIZES)
def page(browser: Browser, study: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    width, height = SIZES[request.param]
    page = browser.new_page(viewport={"width": width, "height": height})
    trouble: list[str] = []
    page.on("console", lambda message: trouble.append(message.text))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("dialog", lambda dialog: trouble.append(dialog.message))
    local = ("data:", "file:")
    page.on("request", lambda sent: sent.url.startswith(local) or trouble.append(sent.url))
    page.goto((study / "report" / "index.html").as_uri())
    yield page
    page.close()
    assert not trouble


def column(page: Page, table: str, number: int) -> list[str]:
    cells = page.locator(f"#table-{table} tbody tr:not(.group) > :nth-child({number})")
    return cells.evaluate_all("cells => cells.map(cell => cell.firstChild.textContent.trim())")


def test_every_section_fits_the_screen(page: Page) -> None:
    titles = page.locator("h2").all_inner_texts()
    assert [re.split(r"\W", title)[0] for title in titles] == ["How", "How", "What", "What", "What"]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate(
        "[...document.images].every((image) => image.complete && image.naturalWidth > 0)"
    )
    assert HOSTILE in page.locator("#table-auroc thead th").all_inner_texts()


def test_it_begins_with_how_it_was_measured_and_the_number_of_warnings(page: Page) -> None:
    head = page.locator("header").inner_text()
    assert "protocol: sound · chosen by: validation AUROC · final runs: 3 seed(s), 3 epo" in head
    warnings = page.locator(".warnings > li").count()
    assert re.search(r"How was it measured\? \((\d+) warnings?\)", head)[1] == str(warnings)


def test_numbers_are_set_to_the_right_below_their_heads(page: Page) -> None:
    cells = page.locator("#table-comparison tr:nth-child(1) > *")
    sides = cells.evaluate_all("cells => cells.map(cell => getComputedStyle(cell).textAlign)")
    assert sides == 2 * ["left", "left", "right", "right", "right", "left"]


def test_a_click_sorts_each_group_of_a_table(page: Page) -> None:
    groups = ["GANs", "baselines", "published figures"]
    before = column(page, "auroc", 1)
    measured, published = before[:3], before[3:]
    assert measured == ["skipganomaly", "w_skipganomaly", "pca"]
    assert published == ["w_skipganomaly", "w_skipganomaly_noskip"]
    head = page.locator("#table-auroc th button", has_text="bird")
    for direction in ("descending", "ascending"):
        head.click()
        assert page.locator("#table-auroc th[aria-sort]").get_attribute("aria-sort") == direction
        first, second, *_ = map(float, column(page, "auroc", 3))
        assert (first > second) == (direction == "descending")
        assert sorted(column(page, "auroc", 1)) == sorted(before)
        assert page.locator("#table-auroc tr:first-child.group").all_inner_texts() == groups
    page.locator("#table-ranks th button", has_text="model").click()
    assert column(page, "ranks", 1) == sorted(column(page, "ranks", 1), key=str.lower)


def test_a_cell_tells_its_spread_when_pointed_at_tapped_or_in_focus(page: Page) -> None:
    cells, shown = page.locator("#table-auroc td:has(.more)"), page.locator(".more.open")
    assert shown.count() == 0
    for reach in (Locator.hover, Locator.click, Locator.focus):
        reach(cells.first)
        assert re.fullmatch(r"± 0\.\d{3}\n\[0\.\d{3}, [01]\.\d{3}\]", shown.inner_text())
        box, size = shown.bounding_box(), page.viewport_size
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= size["width"]
        page.keyboard.press("Escape")
        assert shown.count() == 0
        page.evaluate("document.activeElement.blur()")
    cells.first.focus()
    here = cells.first.inner_text()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.cellIndex") == 2
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.closest('tr').rowIndex") == 3
    assert shown.inner_text() not in here
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") != "TD", "one stop for all cells"


def test_the_first_column_stays_in_sight(page: Page) -> None:
    wide = page.locator(".wide:has(#table-metrics)")
    wide.evaluate("box => { box.style.width = '12rem'; box.scrollLeft = 100 }")
    assert wide.evaluate("box => box.scrollLeft") > 0
    head = page.locator("#table-metrics tbody th").first
    assert head.bounding_box()["x"] == pytest.approx(wide.bounding_box()["x"], abs=1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_stands_in_the_way_of_keyboard_and_screen_reader(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()


def test_on_paper_everything_is_unfolded_and_no_control_is_left(page: Page) -> None:
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.locator("details:not([open])").count() == 0
    for control in ("nav", ".save", "#slider"):
        assert not any(part.is_visible() for part in page.locator(control).all())
    small = page.locator("#table-auroc .more").first
    assert small.evaluate("part => getComputedStyle(part).position") == "static"
    # Chromium repeats no head that has a button's box in it.
    button = page.locator("#table-auroc th button").first
    assert button.evaluate("part => getComputedStyle(part).display") == "contents"
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() > 0


def test_figures_and_page_have_one_typeface(page: Page) -> None:
    fonts = page.evaluate("getComputedStyle(document.body).fontFamily").replace('"', "")
    svg = unquote(page.locator(".lead img").get_attribute("src").partition(",")[2])
    assert set(re.findall("font-family: ([^;]*)", svg)) == {fonts}


def test_the_slider_says_what_a_threshold_finds(page: Page, study: Path) -> None:
    page.locator("#model").select_option("pca")
    page.locator("#class").select_option("bird")
    assert "seed 1, AUROC 0." in page.locator("#seed").inner_text()
    frame = results.read(study).scores("final-2-0-1")
    low, high = np.quantile(frame["scores"], [0.002, 0.998])
    for bin in (0, 30, 80):
        page.locator("#slider").fill(str(bin))
        above = frame[frame["scores"] >= low + (high - low) * bin / 100] if bin else frame
        counts = [(part["labels"] == label).sum() for label in (1, 0) for part in (above, frame)]
        share = [100 * counts[0] / counts[1], 100 * counts[2] / counts[3]]
        text = page.locator("#readout").inner_text()
        assert f"{share[0]:.1f} % of the abnormal images are found" in text
        assert f"{share[1]:.1f} % of the normal ones are false alarms" in text


def test_images_follow_the_choice(page: Page) -> None:
    assert page.locator("#gallery figure").count() == 24
    first = page.locator("#gallery i").first.get_attribute("style")
    # w_skipganomaly's sheet has no reconstructions here.
    assert page.locator("#gallery i").count() == 24
    page.locator("#model").select_option("pca")
    assert page.locator("#gallery i").count() == 3 * 24
    assert page.locator("#gallery i").first.get_attribute("style") != first
    places = [page.locator("#gallery i").nth(i).get_attribute("style") or "" for i in range(3)]
    assert [re.search(r"position: 0% (\d+)%", place)[1] for place in places] == ["0", "50", "100"]
    page.locator("#class").select_option(HOSTILE)
    assert page.locator("#class").input_value() == HOSTILE


def test_tables_and_figures_can_be_saved(page: Page, study: Path) -> None:
    report = study / "report"
    for kind in ("csv", "tex"):
        with page.expect_download() as saved:
            page.locator(f"a[download='auroc.{kind}']").click()
        assert saved.value.path().read_bytes() == (report / f"auroc.{kind}").read_bytes()
    with page.expect_download() as saved:
        page.locator("a[download='roc.svg']").click()
    assert saved.value.path().read_bytes() == (report / "roc.svg").read_bytes()


def test_without_javascript_figures_intervals_and_nothing_dead_are_there(
    browser: Browser, study: Path
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((study / "report" / "index.html").as_uri())
    for dead in ("#viewer", "#images", "a.svg"):
        assert not page.locator(dead).first.is_visible()
    assert "[0." in page.locator("#table-auroc td").first.inner_text()
    context.close()


def test_a_study_without_images_has_no_section_of_them(browser: Browser, tmp_path: Path) -> None:
    folder = make_study(tmp_path / "s", models=("pca",), classes=("bird",), seeds=(1,))
    for sheet in folder.glob("scores/*/gallery.png"):
        sheet.unlink()
    report.main([str(folder)])
    page = browser.new_page()
    page.goto((folder / "report" / "index.html").as_uri())
    assert "What does the model see?" not in page.locator("body").inner_text()
    assert "of the abnormal images are found" in page.locator("#readout").inner_text()
    page.close()


@pytest.mark.long
@pytest.mark.slow
def test_the_page_of_a_full_benchmark_stays_small(tmp_path: Path, cifar10_folder: Path) -> None:
    """Ten classes, eleven models, five seeds, galleries of real 32 x 32 photographs."""
    from bench.data.datasets import Decoding
    from bench.data.datasets.folder import read_images
    from bench.results.gallery import sheet

    classes = tuple(f"class{number}" for number in range(10))
    folder = make_study(
        tmp_path / "s", models="abcdefghijk", classes=classes, seeds=(1, 2, 3, 4, 5)
    )
    _, images, _ = read_images(cifar10_folder / "test" / "cat", (32, 32), 3, Decoding())
    rng = np.random.default_rng(0)
    for path in folder.glob("scores/*/gallery.png"):
        rows = images[rng.integers(0, len(images), (2, 24))]
        path.write_bytes(sheet(*rows))
    subprocess.run(
        [sys.executable, "report.py", str(folder)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
    )
    page = (folder / "report" / "index.html").read_text()
    assert len(json.loads(re.search(r'id="runs">(.*?)</script>', page)[1])) == 110
    assert len(page) < 5_000_000
