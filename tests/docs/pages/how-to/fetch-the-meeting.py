import os
from contextlib import redirect_stdout
from io import StringIO

import pytest
from fake_api import KEY, FakeAPI
from steps import after, before

MEETING = "17c36737-1bf5-4626-8483-88285f6a33ee"
api = FakeAPI(MEETING, sentences=1_101)


@before(file="meetings.py")
def use_the_fake_api(page):
    os.environ["MEETGEEK_API_URL"] = api.start()
    os.environ["MEETGEEK_API_KEY"] = KEY
    os.environ["BROKER_URL"] = "memory://"


@after(file="meetings.py")
def all_pages_are_fetched(page):
    import httpx
    from meetings import MeetingGone, fetch_meeting, open_client

    with open_client(KEY) as client:
        lines = fetch_meeting(client, MEETING).splitlines()
        assert (lines[0], len(lines), lines[1], lines[-1]) == (
            "# All-hands",
            1_102,
            "Alice: sentence 1",
            "Alice: sentence 1101",
        )
        assert api.pages == 3
        for missing in ("never-heard-of", "deleted"):
            with pytest.raises(MeetingGone):
                fetch_meeting(client, missing)
        with pytest.raises(httpx.HTTPStatusError, match="429"):
            fetch_meeting(client, "over-quota")
    with open_client("eu-another-key") as client, pytest.raises(httpx.HTTPStatusError, match="401"):
        fetch_meeting(client, MEETING)
    with httpx.Client(base_url=os.environ["MEETGEEK_API_URL"]) as client:
        answer = client.get(f"/v1/meetings/{MEETING}", headers={"user-agent": "Python-urllib/3.11"})
        assert answer.status_code == 403


@after(file="meetings.py")
def the_host_follows_the_key(page):
    from meetings import open_client

    kept = os.environ.pop("MEETGEEK_API_URL")
    with open_client("us-key") as client:
        assert client.base_url == "https://api-us.meetgeek.ai"
    with open_client("eu-key") as client:
        assert client.base_url == "https://api-eu.meetgeek.ai"
    os.environ["MEETGEEK_API_URL"] = kept


@after(file="tasks.py")
def the_task_tries_again(page):
    import tasks

    tasks.celery.conf.task_always_eager = True
    tasks.process.retry_backoff = False
    with redirect_stdout(StringIO()) as printed:
        assert tasks.process.delay(MEETING).successful()
        assert tasks.process.delay("deleted").successful()
    assert "# All-hands" in printed.getvalue()
    assert "the meeting is gone: deleted" in printed.getvalue()


@after(file="with_requests.py")
def requests_tries_again_and_fetches_all_pages(page):
    from with_requests import open_session, sentences_of, url_for

    with open_session(KEY) as session:
        assert len(list(sentences_of(session, KEY, MEETING))) == 1_101
        api.failures = 2
        assert len(list(sentences_of(session, KEY, MEETING))) == 1_101
    kept = os.environ.pop("MEETGEEK_API_URL")
    assert url_for("us-key", "/v1") == "https://api-us.meetgeek.ai/v1"
    os.environ["MEETGEEK_API_URL"] = kept
    api.stop()
