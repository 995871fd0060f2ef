import logging

from steps import after, deliver

from mg_middleware import MeetGeekWSGIMiddleware


def quiet(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "0")])
    return []


@after('"event": "refused')
def a_refusal_is_a_line_of_json(page):
    import logs

    assert logs
    (handler,) = logging.getLogger().handlers
    lines = []
    handler.emit = lambda record: lines.append(handler.format(record))
    deliver(MeetGeekWSGIMiddleware(quiet), signature="")
    assert lines[0].startswith(page.shown.strip())


@after(file="quiet.py")
def what_scanners_send_is_dropped(page):
    import quiet as quiet_logs

    assert quiet_logs
    lines = []
    logging.getLogger().handlers[0].emit = lambda record: lines.append(record.meetgeek_outcome)
    for signature in ("", "0" * 64):
        deliver(MeetGeekWSGIMiddleware(quiet), signature=signature)
    assert lines == ["signature_mismatch"]
