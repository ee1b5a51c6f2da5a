"""The admin address: what a load balancer and Prometheus read."""


def test_alive_and_ready(admin):
    assert admin.get("/livez").status_code == 200
    assert admin.get("/readyz").status_code == 200


def served(text):
    """How many requests the edge says it has answered."""
    samples = [line for line in text.splitlines() if line.startswith("cloudach_edge_requests_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in samples if 'outcome="served"' in line)


def test_metrics(admin, gateway):
    before = served(admin.get("/metrics").text)
    gateway.chat(max_tokens=1)
    response = admin.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith(("text/plain", "application/openmetrics-text"))
    assert served(response.text) == before + 1
    assert gateway.api_key not in response.text


def test_not_on_the_clients_address(gateway):
    for path in ("/livez", "/readyz", "/metrics"):
        assert gateway.get(path).status_code == 404
