"""BlackSheep, with the webhook among its own routes or in a mounted application."""

from blacksheep import Application, Request, Response, Router, StreamedContent, text

from mg_middleware import MeetGeekASGIMiddleware


def build_asgi(record, pieces, other_routes, variant=""):
    async def receive_webhook(request: Request):
        record(request, await request.read() or b"")
        return text("received")

    async def stream():
        return Response(200, content=StreamedContent(b"text/plain", pieces))

    async def answer_elsewhere():
        return text("elsewhere")

    app = Application(router=Router())
    prefix = "/webhooks" if variant == "with a mount" else ""
    hooks = Application(router=Router()) if prefix else app
    below = "/webhooks/meetgeek".removeprefix(prefix)
    hooks.router.add_get(below, receive_webhook)
    hooks.router.add_post(below, receive_webhook)
    hooks.router.add_post(f"{below}/stream", stream)
    for route in other_routes:
        if prefix and route.startswith(prefix):
            hooks.router.add_get(route.removeprefix(prefix) or "/", answer_elsewhere)
        else:
            app.router.add_get(route, answer_elsewhere)
    if prefix:
        app.mount(prefix, hooks)
    return app


def guard_asgi(app):
    return MeetGeekASGIMiddleware(app, paths="/webhooks/meetgeek")
