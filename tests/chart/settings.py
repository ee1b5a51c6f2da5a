"""Whether the chart knows the settings that the services have: no more, and no fewer."""

import json
import re

import yaml

# A struct of a service's configuration, and where the chart's schema describes it. `None` in a path is any key.
STRUCTS = [
    ("edge/src/config.rs", "Config", "edgeConfig", {"listen", "admin", "routers"}),
    ("edge/src/config.rs", "Limits", "edgeConfig.limits", set()),
    ("edge/src/config.rs", "Stream", "edgeConfig.stream", set()),
    ("edge/src/config.rs", "Links", "edgeConfig.links", set()),
    ("edge/src/config.rs", "Isolation", "edgeConfig.isolation", set()),
    ("edge/src/metrics.rs", "MetricsConfig", "edgeConfig.metrics", set()),
    ("edge/src/admin/mod.rs", "AdminApi", "edgeConfig.admin_api", set()),
    ("edge/src/texts/config.rs", "TraceTexts", "edgeConfig.trace_texts", set()),
    ("service/src/admin_token.rs", "AdminAccess", "routerConfig.admin_api", set()),
    ("service/src/admin_token.rs", "AdminAccess", "poolConfig.admin_api", set()),
    ("edge/src/access/keys.rs", "KeyConfig", "edgeConfig.keys", set()),
    ("edge/src/access/limits/scope.rs", "Limits", "rateLimits", set()),
    ("edge/src/access/jwt/config.rs", "IssuerConfig", "edgeConfig.issuers", set()),
    ("edge/src/store/config.rs", "StoreConfig", "edgeConfig.store", set()),
    ("edge/src/store/config.rs", "RedisConfig", "edgeConfig.store.redis", set()),
    ("edge/src/usage/config.rs", "UsageConfig", "edgeConfig.usage", set()),
    ("edge/src/idempotency/config.rs", "IdempotencyConfig", "edgeConfig.idempotency", set()),
    ("edge/src/responses/config.rs", "ResponsesConfig", "edgeConfig.responses", set()),
    ("edge/src/files/config.rs", "FilesConfig", "edgeConfig.files", set()),
    ("edge/src/batches/config.rs", "BatchesConfig", "edgeConfig.batches", set()),
    ("service/src/stop.rs", "Drain", "drain", set()),
    ("service/src/tls/config.rs", "TlsConfig", "tls", set()),
    ("service/src/tls/config.rs", "Names", "tls.names", set()),
    ("service/src/trace/config.rs", "Tracing", "tracing", set()),
    ("router/src/config.rs", "Config", "routerConfig", {"listen", "admin", "catalogue"}),
    ("router/src/config.rs", "Queue", "routerConfig.queue", set()),
    ("router/src/config.rs", "Relay", "routerConfig.relay", set()),
    ("router/src/config.rs", "Eject", "routerConfig.relay.eject", set()),
    ("router/src/config.rs", "Hedge", "routerConfig.relay.hedge", set()),
    ("router/src/config.rs", "Placement", "routerConfig.placement", set()),
    ("router/src/config.rs", "Lease", "routerConfig.placement.lease", set()),
    ("router/src/config.rs", "Kubernetes", "routerConfig.placement.lease.kubernetes", set()),
    ("router/src/catalogue.rs", "Catalogue", "catalogue", set()),
    ("router/src/catalogue.rs", "Entry", "catalogue.models", set()),
    ("router/src/catalogue.rs", "Prices", "catalogue.models.prices", set()),
    ("router/src/placement/spec.rs", "Spec", "catalogue.models.placement", set()),
    ("router/src/routes.rs", "Route", "catalogue.routes", set()),
    ("router/src/routes.rs", "Mirror", "catalogue.routes.mirror", set()),
    ("sidecar/src/config.rs", "Config", "poolConfig", {"replica", "listen", "advertise", "routers", "admin"}),
    ("sidecar/src/config.rs", "Managed", "poolConfig.managed", {"gpus"}),
    ("sidecar/src/config.rs", "EngineConfig", "poolConfig.engine", set()),
    ("sidecar/src/config.rs", "Limits", "poolConfig.limits", set()),
    ("sidecar/src/config.rs", "GpuWatch", "poolConfig.gpu", set()),
]


def fields(source, struct):
    body = re.search(rf"pub struct {struct} \{{\n(.*?)\n\}}", source, re.DOTALL)
    return set(re.findall(r"^    pub (\w+):", body[1], re.MULTILINE)) if body else None


def resolve(schema, node):
    while "$ref" in node:
        node = schema["definitions"][node["$ref"].rsplit("/", 1)[1]]
    return node


def described(schema, path):
    """The keys that the schema knows at a path, through lists and maps."""
    first, *rest = path.split(".")
    node = resolve(schema, schema["definitions"].get(first) or schema["properties"][first])
    for key in rest:
        node = resolve(schema, node["properties"][key])
        if "items" in node:
            node = resolve(schema, node["items"])
        elif isinstance(node.get("additionalProperties"), dict):
            node = resolve(schema, node["additionalProperties"])
    return set(node["properties"])


def unknown(schema, node, values, path):
    """Values that the schema does not describe by name."""
    node = resolve(schema, node)
    if not isinstance(values, dict) or node.get("additionalProperties") is not False:
        return
    if "patternProperties" in node:
        return
    for key, value in values.items():
        if key not in node["properties"]:
            yield f"{path}{key}"
        else:
            yield from unknown(schema, node["properties"][key], value, f"{path}{key}.")


def check(root, checks):
    chart = root / "deploy/chart/cloudach"
    schema = json.loads((chart / "values.schema.json").read_text())
    values = yaml.safe_load((chart / "values.yaml").read_text())
    for path, struct, place, ours in STRUCTS:
        has = fields((root / path).read_text(), struct)
        knows = described(schema, place)
        checks.expect(has is not None, f"{path} has no struct {struct}")
        checks.expect(
            has is None or has - ours == knows,
            f"{path}: {struct} and values.schema.json differ: only there {sorted((has or set()) - ours - knows)}, "
            f"only in the schema {sorted(knows - (has or set()))}",
        )
    left = list(unknown(schema, schema, values, ""))
    checks.expect(not left, f"values.yaml has what the schema does not know: {left}")
    missing = set(schema["properties"]) - set(values) - {"global"}
    checks.expect(not missing, f"the schema knows what values.yaml does not have: {missing}")
    version = yaml.safe_load((chart / "Chart.yaml").read_text())["appVersion"]
    cargo = re.search(r'^version = "(.*)"', (root / "Cargo.toml").read_text(), re.MULTILINE)[1]
    checks.expect(version == cargo, f"Chart.yaml is for {version}, and the services are {cargo}")
