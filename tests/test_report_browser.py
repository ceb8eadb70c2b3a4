"""Pages of reports in a real browser: they work, run nothing that is in the data, and fit every screen."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from vae_anomaly import VAEDetector

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

pytestmark = [
    pytest.mark.filterwarnings("ignore::vae_anomaly.FitWarning", "ignore::vae_anomaly.DataWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.skipif(BROWSER is None or DRIVER is None, reason="there is no chromium with chromedriver"),
]

HOSTILE = "</script><img src=x onerror='document.title=1'>"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({HOSTILE: rng.normal(size=150), "load": rng.normal(size=150)})
    frame["level"] = rng.choice([HOSTILE, "\u202eturned", 'with "quotes"'], 150)
    frame.iloc[:4, 0] += 15
    frame.iloc[4:7, 1] -= 15
    detector = VAEDetector(n_estimators=2, max_iter=40, hidden_layer_sizes=(8,), random_state=0).fit(frame.iloc[7:])
    path = tmp_path_factory.mktemp("report") / "report.html"
    detector.report(frame, np.arange(150) < 7, top=40, title=HOSTILE).save(path)
    return path


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    pytest.importorskip("selenium")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.binary_location = BROWSER
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def browser(driver: Any, page: Path) -> Any:
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    driver.get(page.as_uri())
    return driver


def ranks(browser: Any) -> list[int]:
    script = """return [...document.querySelectorAll('#ranked > tbody')].filter((row) => !row.hidden)
    .map((row) => Number(row.querySelector('[data-key=rank]').textContent))"""
    found: list[int] = browser.execute_script(script)
    return found


def column(browser: Any, key: str) -> list[str]:
    script = "return [...document.querySelectorAll(`#ranked > tbody [data-key=${arguments[0]}]`)]"
    found: list[str] = browser.execute_script(f"{script}.map((cell) => cell.dataset.value ?? cell.textContent)", key)
    return found


def click(browser: Any, selector: str) -> None:
    browser.execute_script("document.querySelector(arguments[0]).click()", selector)


def type_in(browser: Any, identifier: str, value: str) -> None:
    script = """const field = document.getElementById(arguments[0]); field.value = arguments[1];
    field.dispatchEvent(new Event(field.tagName === 'SELECT' ? 'change' : 'input', {bubbles: true}))"""
    browser.execute_script(script, identifier, value)


def test_page_runs_nothing_of_the_data_and_logs_nothing(browser: Any) -> None:
    assert browser.title == HOSTILE
    assert [line for line in browser.get_log("browser") if line["level"] in ("SEVERE", "WARNING")] == []
    assert browser.execute_script("return document.images.length") == 0
    assert browser.execute_script("return document.scripts.length") == 1


def test_page_asks_for_itself_alone(driver: Any, page: Path) -> None:
    driver.get_log("performance")
    driver.get(page.as_uri())
    requests = [
        line["message"] for line in driver.get_log("performance") if "Network.requestWillBeSent" in line["message"]
    ]
    asked = {message.split('"documentURL":"')[1].split('"')[0] for message in requests if '"documentURL":"' in message}
    assert asked <= {page.as_uri()}
    assert not [message for message in requests if '"url":"http' in message]


def test_foreign_scripts_are_refused(browser: Any) -> None:
    browser.execute_script(
        "const made = document.createElement('script'); made.textContent = 'window.ran = 1'; document.body.append(made)"
    )
    assert browser.execute_script("return window.ran ?? 0") == 0
    assert any("Content Security Policy" in line["message"] for line in browser.get_log("browser"))


def test_headings_sort_both_ways(browser: Any) -> None:
    assert ranks(browser) == list(range(1, 41))
    click(browser, "#ranked th[data-key=score] button")
    scores = [float(score) for score in column(browser, "score")]
    assert scores == sorted(scores, reverse=True)
    click(browser, "#ranked th[data-key=score] button")
    scores = [float(score) for score in column(browser, "score")]
    assert scores == sorted(scores)
    sorts = "return [...document.querySelectorAll('#ranked > thead th[aria-sort]')].map((th) => th.ariaSort)"
    assert browser.execute_script(sorts) == ["ascending"]
    click(browser, "#ranked th[data-key=name] button")
    names = [int(name) for name in column(browser, "name")]
    assert names == sorted(names)
    click(browser, "#ranked th[data-key=rank] button")
    assert ranks(browser) == list(range(1, 41))


def test_search_and_filters_choose_rows(browser: Any) -> None:
    n_flagged = browser.execute_script("return document.querySelectorAll('tbody.flagged').length")
    type_in(browser, "filter", "flagged")
    assert ranks(browser) == list(range(1, n_flagged + 1))
    assert browser.execute_script("return document.getElementById('count').textContent") == f"{n_flagged} of 40 shown"
    type_in(browser, "filter", "anomaly")
    assert len(ranks(browser)) == 7
    type_in(browser, "filter", "pattern-1")
    assert 0 < len(ranks(browser)) < 40
    type_in(browser, "filter", "")
    type_in(browser, "search", "no such cell")
    assert ranks(browser) == []
    assert browser.execute_script("return document.getElementById('nothing').checkVisibility()")
    type_in(browser, "search", "ONERROR")
    assert len(ranks(browser)) > 0
    type_in(browser, "search", "")
    assert len(ranks(browser)) == 40


def test_rows_open_by_keyboard(browser: Any) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    button = browser.find_element(By.CSS_SELECTOR, ".opener button")
    detail = browser.find_element(By.ID, button.get_attribute("aria-controls"))
    assert (button.get_attribute("aria-expanded"), detail.is_displayed()) == ("false", False)
    button.send_keys(Keys.ENTER)
    assert (button.get_attribute("aria-expanded"), detail.is_displayed()) == ("true", True)
    assert "observed expected plausible nats" in detail.text
    button.send_keys(Keys.SPACE)
    assert not detail.is_displayed()
    click(browser, "#unfold")
    shown = "return [...document.querySelectorAll('tr.detail')].filter((row) => row.checkVisibility()).length"
    assert browser.execute_script(shown) == 40


def test_first_stop_of_the_keyboard_skips_to_the_report(browser: Any) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    browser.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    assert browser.switch_to.active_element.text == "Skip to the report"
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert browser.execute_script("return location.hash") == "#main"


def test_everything_has_a_name_for_screen_readers(browser: Any) -> None:
    nameless = """return [...document.querySelectorAll(
      'button, input, select, table, [role=img], [role=region], section')]
    .filter((one) => !(one.textContent.trim() && one.matches('button')) && !one.ariaLabel && !one.labels?.length
      && !one.caption && !document.getElementById(one.getAttribute('aria-labelledby'))).map((one) => one.outerHTML)"""
    assert browser.execute_script(nameless) == []


@pytest.mark.parametrize("width", [320, 390, 768, 1400])
def test_no_screen_is_too_narrow(width: int, browser: Any) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 700}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    click(browser, "#unfold")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def luminance(colour: str) -> float:
    channels = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(scheme: str, browser: Any) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    style = "const style = getComputedStyle(document.querySelector(arguments[0])); return style[arguments[1]]"
    paper = luminance(browser.execute_script(style, "body", "backgroundColor"))
    assert (paper > 0.5) == (scheme == "light")
    for selector, name in (("body", "color"), ("p.about", "color"), (".charts text", "fill"), ("nav a", "color")):
        ink = luminance(browser.execute_script(style, selector, name))
        assert (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05) >= 4.5, selector


def test_paper_has_the_reasons_and_no_controls(browser: Any) -> None:
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    shown = "return [...document.querySelectorAll(arguments[0])].filter((one) => one.checkVisibility()).length"
    assert browser.execute_script(shown, "tr.detail") == 40
    assert browser.execute_script(shown, ".controls, nav") == 0


def test_page_reads_without_scripts(driver: Any, page: Path) -> None:
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        driver.get(page.as_uri())
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
        shown = "return [...document.querySelectorAll(arguments[0])].filter((one) => one.checkVisibility()).length"
        assert driver.execute_script(shown, "tr.detail") == 40
        assert driver.execute_script(shown, ".controls") == 0
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_notebook_shows_the_page_in_a_frame(driver: Any, page: Path, tmp_path: Path) -> None:
    from vae_anomaly.report import Contents, Report

    report = Report(Contents("in a frame"))
    around = tmp_path / "notebook.html"
    around.write_text(f"<!doctype html><title>notebook</title><p>before</p>{report._repr_html_()}", encoding="utf-8")
    driver.get(around.as_uri())
    assert driver.execute_script("return getComputedStyle(document.querySelector('p')).maxWidth") == "none"
    driver.switch_to.frame(0)
    assert driver.execute_script("return document.querySelector('h1').textContent") == "in a frame"
    driver.switch_to.default_content()
