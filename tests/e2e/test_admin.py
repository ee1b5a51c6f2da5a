"""The admin address: what a load balancer and Prometheus read."""


def test_alive_and_ready(admin):
    assert admin.get("/livez").status_code == 200
    assert admin.get("/readyz").status_code == 200


def test_metrics(admin, gateway):
    gateway.chat(max_tokens=1)
    response = admin.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith(("text/plain", "application/openmetrics-text"))
    samples = [line for line in response.text.splitlines() if line and not line.startswith("#")]
    assert any(line.startswith("edge_") for line in samples)
    for line in samples:
        float(line.rpartition(" ")[2])
    assert gateway.api_key not in response.text


def test_not_on_the_clients_address(gateway):
    for path in ("/livez", "/readyz", "/metrics"):
        assert gateway.get(path).status_code == 404
