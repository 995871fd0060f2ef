"""Views of each kind that remember what reached them, decorated as the documentation shows it."""

from types import SimpleNamespace

from django.http import HttpResponse
from django.utils.decorators import method_decorator
from django.views import View

from mg_middleware import delivery_of
from mg_middleware.django import meetgeek_webhook


def remember(seen, request):
    delivery = delivery_of(request)
    seen.append(SimpleNamespace(delivery=delivery, body=request.body))
    return HttpResponse("processed", status=202)


def plain(seen, decorator):
    @decorator
    def receive(request):
        return remember(seen, request)

    return receive


def asynchronous(seen, decorator):
    @decorator
    async def receive(request):
        return remember(seen, request)

    return receive


def of_a_class(seen, decorator):
    @method_decorator(decorator, name="dispatch")
    class Receive(View):
        def post(self, request):
            return remember(seen, request)

        get = delete = put = post

    return Receive.as_view()


def of_an_async_class(seen, decorator):
    @method_decorator(decorator, name="dispatch")
    class Receive(View):
        async def post(self, request):
            return remember(seen, request)

        get = delete = put = post

    return Receive.as_view()


def as_view_decorated(seen, decorator):
    class Receive(View):
        async def post(self, request):
            return remember(seen, request)

        get = delete = put = post

    return decorator(Receive.as_view())


def of_the_rest_framework(seen, decorator):
    from rest_framework.response import Response  # noqa: PLC0415 - importing it needs the settings
    from rest_framework.views import APIView  # noqa: PLC0415

    @method_decorator(decorator, name="dispatch")
    class Receive(APIView):
        def post(self, request):
            remember(seen, request)
            return Response({"seen": request.data}, status=202)

        get = delete = put = post

    return Receive.as_view()


def within_api_view(seen, decorator):
    from rest_framework.decorators import api_view  # noqa: PLC0415
    from rest_framework.response import Response  # noqa: PLC0415

    @api_view(["GET", "POST", "DELETE", "PUT"])
    @decorator
    def receive(request):
        remember(seen, request)
        return Response({"seen": request.data}, status=202)

    return receive


def around_api_view(seen, decorator):
    from rest_framework.decorators import api_view  # noqa: PLC0415
    from rest_framework.response import Response  # noqa: PLC0415

    @decorator
    @api_view(["GET", "POST", "DELETE", "PUT"])
    def receive(request):
        remember(seen, request)
        return Response({"seen": request.data}, status=202)

    return receive


KINDS = {
    "plain": plain,
    "async": asynchronous,
    "class": of_a_class,
    "async class": of_an_async_class,
    "as_view": as_view_decorated,
    "DRF class": of_the_rest_framework,
    "within api_view": within_api_view,
    "around api_view": around_api_view,
}
ASYNC_KINDS = {"async", "async class", "as_view"}
PLAIN_KINDS = KINDS.keys() - ASYNC_KINDS
DECORATOR = meetgeek_webhook
