from contextlib import redirect_stdout
from io import StringIO

from steps import after, deliver

MEETING = b'{"message": "File analyzed successfully", "meeting_id": "meeting-1"}'


@after(file="app.py")
def the_meeting_is_processed_once(page):
    with redirect_stdout(StringIO()) as printed:
        responses = [deliver("app:app", body=MEETING) for _ in range(3)]
    assert [(response.status_code, response.content) for response in responses] == [(200, b"")] * 3
    assert printed.getvalue() == "analyzed: meeting-1\n"
