"""The inspector in a real browser: what appears, what each action does, what hostile input and other pages can't do."""

import hmac
import json
import os
import re
import shutil
import threading
import time
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from command_line_harness import PATIENCE, SECRET

from pytest_meetgeek.recording import Recording

pytestmark = pytest.mark.slow

BODY = b'{"message": "File analyzed successfully", "meeting_id": "0b0f2c3e-5d0a-4a5c-8f6e-3e1d2c4b5a69"}'
FAILED = b'{"message": "File analyzed failed"}'
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WAIT = 15_000  # milliseconds


def mac(body, secret=SECRET):
    return hmac.new(secret.encode(), body, "sha256").hexdigest()


@pytest.fixture(scope="module")
def browser():
    """A real browser. Playwright brings none that can be installed everywhere, so it drives the system's."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        reason = f"no browser is installed (none of {', '.join(BROWSERS)})"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - it starts a loop in this thread

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()


@pytest.fixture
def server(serve):
    with serve("--inspect", "0", "--path", "/hook", "--store", "meetings.db") as server:
        server.inspector = inspector_of(server)
        yield server


def inspector_of(server):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = re.search(r"Inspector: (http://127\.0\.0\.1:\d+/)", "".join(server.log))
        if found:
            return found[1]
        time.sleep(0.02)
    pytest.fail("".join(server.log))


@pytest.fixture
def context(browser):
    with browser.new_context(viewport={"width": 1180, "height": 820}) as context:
        context.set_default_timeout(WAIT)
        yield context


@pytest.fixture
def page(context, server):
    page = context.new_page()
    page.problems = []
    page.addresses = set()
    page.on("console", lambda message: page.problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("dialog", lambda dialog: page.problems.append(f"dialog: {dialog.message}"))
    page.on("request", lambda request: page.addresses.add(request.url))
    page.goto(server.inspector)
    page.get_by_text("live", exact=True).wait_for()
    return page


def post(server, body, signature, *, path="/hook", headers=()):
    connection = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    connection.putrequest("POST", path)
    for name, value in (("Content-Length", str(len(body))), ("X-MG-Signature", signature), *headers):
        connection.putheader(name, value)
    connection.endheaders(body)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status


def lines(page):
    return [text.split("\n") for text in page.locator("#lines li").all_inner_texts()]


def line_with(page, text):
    return page.locator("#lines li button", has_text=text).first


def open_first(page):
    page.locator("#lines li button").first.click()
    page.locator("#all").get_by_text("Header fields").wait_for()


def said(page, text):
    page.locator("#said", has_text=text).wait_for()


def test_deliveries_appear_without_a_reload(page, server):
    waited = []
    for body, signature, badge in (
        (BODY, mac(BODY), "accepted"),
        (BODY, "0" * 64, "signature mismatch"),
        (BODY, mac(BODY).upper(), "malformed signature"),
        (BODY, mac(BODY), "duplicate"),
    ):
        post(server, body, signature)
        started = time.monotonic()
        line_with(page, badge).wait_for()
        waited.append(time.monotonic() - started)
    assert min(waited) < 1  # the others may wait for a processor
    assert page.get_by_role("heading", name="Deliveries (4)").is_visible()
    assert page.addresses == {server.inspector, f"{server.inspector}news"}
    assert page.problems == []


def test_a_wrong_secret_is_named(page, server):
    post(server, BODY.replace(b": ", b":").replace(b", ", b","), mac(BODY, SECRET + "\n"))
    line_with(page, "signature mismatch").click()
    why = page.locator(".why")
    why.wait_for()
    assert why.get_by_role("heading", name="Why it doesn't match").is_visible()
    assert "a line end is added to the secret" in why.inner_text()
    assert "enter it there again without one" in why.inner_text()


def test_another_secret_is_named_too(page, server):
    post(server, BODY, mac(BODY, "that of another account"))
    line_with(page, "signature mismatch").click()
    page.get_by_text("The sender has another secret").wait_for()


def test_shows_the_whole_delivery(page, server):
    body = b'{"message":\t"File analyzed failed",\r\n"title": "Zo\xc3\xab"}'
    post(server, body, mac(body), headers=[("X-Odd", "a b")])
    line_with(page, "accepted").click()
    detail = page.locator("#detail")
    detail.get_by_text("Header fields").wait_for()
    text = detail.inner_text()
    assert "Body, 53 bytes" in text
    assert "\nx-odd\na b" in text
    assert f"{mac(body)[:12]}… (64 characters)" in text
    assert mac(body) not in page.content()
    assert SECRET not in page.content()
    assert "Once per meeting\nnot remembered" in text
    assert re.search(r"Response\n200, 0 bytes, after .* m?s", text)
    assert page.get_by_label("Body as Text").inner_text() == body.decode().replace("\r", r"\u{d}")
    page.get_by_role("tab", name="JSON").click()
    assert json.loads(page.get_by_label("Body as JSON").inner_text()) == json.loads(body)
    page.get_by_role("tab", name="Hex").click()
    hexadecimal = page.get_by_label("Body as Hex").inner_text()
    assert bytes.fromhex("".join(line[8:55] for line in hexadecimal.splitlines())) == body


@pytest.mark.parametrize(
    ("event", "badge", "status"),
    [
        ("File analyzed successfully", "accepted", 200),
        ("File analyzed failed", "accepted", 200),
        ("one-bit", "signature mismatch", 401),
        ("missing", "missing signature", 401),
    ],
)
def test_sends_an_event(page, server, event, badge, status):
    assert page.get_by_label("to", exact=True).input_value() == "/hook"
    page.get_by_label("Send", exact=True).select_option(event)
    page.get_by_role("button", name="Send", exact=True).click()
    said(page, f"Sent: your app responded with {status}.")
    line_with(page, badge).wait_for()


def test_sends_again(page, server):
    post(server, BODY, "0" * 64, headers=[("X-Odd", "1")])
    open_first(page)
    page.get_by_role("button", name="Send again").click()
    said(page, "Sent: your app responded with 401.")
    page.get_by_role("heading", name="Deliveries (2)").wait_for()
    open_first(page)
    assert "\nx-odd\n1" in page.locator("#detail").inner_text()


def test_saves_a_recording(page, server, tmp_path):
    post(server, BODY, mac(BODY))
    open_first(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="Save as a recording").click()
    download.value.save_as(tmp_path / "saved.json")
    assert Recording.read(tmp_path / "saved.json").body == BODY
    post(server, BODY, "0" * 64)
    line_with(page, "signature mismatch").click()
    page.locator("#detail", has_text="Why it doesn't match").wait_for()
    assert page.get_by_role("link", name="Save as a recording").count() == 0


def test_downloads_the_body(page, server, tmp_path):
    body = b"\xff\x00\r\n"
    post(server, body, mac(body))
    open_first(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the body").click()
    download.value.save_as(tmp_path / "body")
    assert (tmp_path / "body").read_bytes() == body


def test_copies_a_test(context, page, server):
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    post(server, BODY, mac(BODY))
    open_first(page)
    page.get_by_role("button", name="Copy as a pytest test").click()
    said(page, "The test was copied.")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("def test_delivery_1(meetgeek, meetgeek_receiver):\n")
    assert repr(BODY) in copied


def test_shows_the_test_if_it_may_not_be_copied(page, server):
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('no')); }")
    post(server, BODY, mac(BODY))
    open_first(page)
    page.get_by_role("button", name="Copy as a pytest test").click()
    said(page, "def test_delivery_1(meetgeek, meetgeek_receiver):")


def test_works_by_keyboard_alone(page, server):
    for body in (BODY, FAILED):
        post(server, body, mac(body))
    page.get_by_role("heading", name="Deliveries (2)").wait_for()
    page.keyboard.press("j")
    page.get_by_label("Body as Text").filter(has_text="failed").wait_for()
    page.keyboard.press("ArrowDown")
    page.get_by_label("Body as Text").filter(has_text="successfully").wait_for()
    page.keyboard.press("k")
    page.get_by_label("Body as Text").filter(has_text="failed").wait_for()
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Text":
            break
    page.keyboard.press("ArrowRight")
    page.get_by_label("Body as JSON").wait_for()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.get_by_label("Body as Hex").wait_for()
    for _ in range(20):
        page.keyboard.press("Shift+Tab")
        if page.evaluate("document.activeElement.textContent") == "Send again":
            break
    page.keyboard.press("Enter")
    said(page, "Sent: your app responded with 200.")


def test_on_a_phone_the_list_and_the_delivery_take_turns(page, server):
    page.set_viewport_size({"width": 390, "height": 800})
    post(server, BODY, mac(BODY))
    open_first(page)
    assert not page.locator("#lines").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("button", name="Back to the list").click()
    assert page.locator("#lines").is_visible()
    assert not page.locator("#detail").is_visible()


HOSTILE = [
    pytest.param(
        b'{"a": "<script>alert(1)</script><img src=x onerror=alert(2)>"}',
        "/hook/%3Cscript%3Ealert(3)%3C/script%3E",
        id="markup",
    ),
    pytest.param(b"<svg onload=alert(1)>" * 49_900, "/hook/" + "x" * 5000, id="1 MiB"),
    pytest.param("\u202ereversed\u2066\u200b\ufeff".encode(), "/hook/%E2%80%AE", id="bidi"),
    pytest.param(b"\x00\x01\x1b[31m\xff\xfe\r\n", "/hook/%00", id="NUL"),
    pytest.param(b"[" * 200_000, "/hook/{{constructor.constructor('alert(1)')()}}", id="nested"),
    pytest.param(b'{"__proto__": {"textContent": 1}}', "/hook/__proto__", id="prototype"),
]


@pytest.mark.parametrize(("body", "path"), HOSTILE)
@pytest.mark.parametrize("genuine", [True, False], ids=["genuine", "forged"])
def test_hostile_input_does_nothing(page, server, body, path, genuine):
    elements = page.locator("body *").count()
    post(server, body, mac(body) if genuine else "0" * 64, path=path, headers=[("X-Odd", "<script>alert(4)</script>")])
    open_first(page)
    for view in ("JSON", "Hex", "Text"):
        page.get_by_role("tab", name=view).click()
    assert page.locator("script, img, svg, iframe").count() == 1
    assert page.locator("body *").count() < elements + 150
    shown = page.locator("body").inner_text()
    assert not re.search("[\x00-\x08\x0b-\x1f\u200b\u202e\u2066\ufeff]", shown)
    assert page.title() == "MeetGeek deliveries"
    assert page.problems == []


def test_a_page_elsewhere_can_neither_read_nor_send(context, server):
    post(server, BODY, mac(BODY))

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self):
            content = b"<!DOCTYPE html><title>elsewhere</title>"
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments):
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Elsewhere) as elsewhere:
        thread = threading.Thread(target=elsewhere.serve_forever, args=(0.01,))
        thread.start()
        try:
            page = context.new_page()
            answers = []
            page.on("response", lambda response: answers.append((response.url, response.status)))
            page.goto(f"http://localhost:{elsewhere.server_port}/")
            found = page.evaluate(
                """async (inspector) => {
                  const tried = {};
                  const attempt = async (name, act) => {
                    try { tried[name] = await act(); } catch (error) { tried[name] = error.name; }
                  };
                  for (const path of ["", "deliveries/1", "deliveries/1/body", "deliveries/1/recording"]) {
                    await attempt(`read ${path}`, async () => (await fetch(inspector + path)).text());
                    await attempt(`blind ${path}`, async () =>
                      (await fetch(inspector + path, { mode: "no-cors", credentials: "include" })).text());
                  }
                  for (const path of ["send/success", "deliveries/1/again"]) {
                    await attempt(`post ${path}`, async () =>
                      (await fetch(inspector + path, { method: "POST" })).text());
                    await attempt(`blind post ${path}`, async () =>
                      (await fetch(inspector + path, { method: "POST", mode: "no-cors", body: "x" })).text());
                  }
                  await attempt("news", () => new Promise((resolve) => {
                    const news = new EventSource(inspector + "news");
                    news.onmessage = news.onopen = () => resolve("opened");
                    news.onerror = () => { news.close(); resolve("refused"); };
                  }));
                  await attempt("script", () => new Promise((resolve) => {
                    const script = document.createElement("script");
                    script.src = inspector + "deliveries/1";
                    script.onload = () => resolve("loaded");
                    script.onerror = () => resolve("refused");
                    document.head.append(script);
                  }));
                  await attempt("form", () => new Promise((resolve) => {
                    const frame = document.createElement("iframe");
                    frame.name = "target";
                    document.body.append(frame);
                    const form = document.createElement("form");
                    Object.assign(form, { method: "POST", action: inspector + "send/success", target: "target" });
                    document.body.append(form);
                    frame.onload = () => resolve("submitted");
                    form.submit();
                    setTimeout(() => resolve("submitted"), 2000);
                  }));
                  return tried;
                }""",
                server.inspector,
            )
        finally:
            elsewhere.shutdown()
            thread.join()
    assert all("0b0f2c3e" not in str(answer) and "MeetGeek deliveries" not in str(answer) for answer in found.values())
    assert {name: answer for name, answer in found.items() if name in ("news", "script")} == {
        "news": "refused",
        "script": "refused",
    }
    assert {status for url, status in answers if url.startswith(server.inspector)} <= {403}
    assert sum("verified" in line or "refused" in line for line in server.log) == 1  # nothing was sent to the app


def test_another_name_for_loopback_is_refused(context, server):
    page = context.new_page()
    response = page.goto(server.inspector.replace("127.0.0.1", "attacker.localhost"))
    assert response.status == 403


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1180, 390])
def test_is_accessible(page, server, scheme, width):
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415 - it imports Playwright

    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    post(server, BODY, mac(BODY))
    post(server, BODY, mac(BODY, SECRET + "\n"))
    page.get_by_role("heading", name="Deliveries (2)").wait_for()
    findings = [("list", Axe().run(page))]
    line_with(page, "signature mismatch").click()
    page.locator(".why").wait_for()
    findings.append(("delivery", Axe().run(page)))
    for where, found in findings:
        assert found.violations_count == 0, (where, found.generate_report())


def test_says_that_the_server_has_stopped(page, server):
    server.stop()
    page.get_by_text("not connected", exact=True).wait_for()
    status, _, log = server.end()
    assert status == 0
    assert "Traceback" not in log
    page.get_by_role("button", name="Send", exact=True).click()
    said(page, "The inspector does not respond.")
