from steps import after, before, deliver


@after(file="app.py")
def outcomes_are_counted(page):
    assert deliver("app:app").status_code == 200
    assert [deliver("app:app", signature="0" * 64).status_code for _ in range(2)] == [401, 401]
    shown = deliver("app:app", path="/metrics/", method="GET", signature="").text
    assert 'meetgeek_deliveries_total{outcome="accepted",status=""} 1.0' in shown
    assert 'meetgeek_deliveries_total{outcome="signature_mismatch",status="401"} 2.0' in shown
    assert "meetgeek_body_bytes_count 3.0" in shown


@before(file="telemetry.py")
def read_the_metrics_in_memory(page):
    from opentelemetry import metrics
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    page.reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider([page.reader], shutdown_on_exit=False))


@after(file="telemetry.py")
def the_counter_gets_the_outcome(page):
    from telemetry import count

    from mg_middleware import MeetGeekWSGIMiddleware

    def receiver(environ, start_response):
        start_response("200 OK", [("Content-Length", "0")])
        return []

    app = MeetGeekWSGIMiddleware(receiver, {"acme": "an example"}, on_verdict=count)
    deliver(app)
    (resource,) = page.reader.get_metrics_data().resource_metrics
    (point,) = resource.scope_metrics[0].metrics[0].data.data_points
    assert (point.value, dict(point.attributes)) == (
        1,
        {"meetgeek.outcome": "signature_mismatch", "meetgeek.key_id": ""},
    )
