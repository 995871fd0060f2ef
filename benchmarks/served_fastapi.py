"""What the servers run in place of the smallest receiver: one made with FastAPI, which does no work either."""

from __future__ import annotations

from applications import fastapi_application, fastapi_with_depends
from served import PATH, SECRET

from mg_middleware import MeetGeekASGIMiddleware

asgi = fastapi_application()
asgi_with_snippet = fastapi_with_depends()
guarded_asgi = MeetGeekASGIMiddleware(fastapi_application(), SECRET, paths=PATH)
