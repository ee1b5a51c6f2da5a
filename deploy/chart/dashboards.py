#!/usr/bin/env python3
"""Writes the boards for Grafana, cloudach/files/dashboards/*.json, from the short descriptions below.

    deploy/chart/dashboards.py           write them
    deploy/chart/dashboards.py --check   exit with 1 where one is stale

In an expression `@` stands for the board's filter: what is chosen above it. tests/observe checks and tries every expression.
"""

import json
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / "cloudach" / "files" / "dashboards"
WIDTH = 24

ALL = 'job=~"$job"'
OF_MODEL = ALL + ',model=~"$model"'
OF_TENANT = ALL + ',tenant=~"$tenant"'
OF_INSTANCE = ALL + ',instance=~"$instance"'


def quantiles(metric, by=""):
    """p50, p95 and p99 of a histogram."""
    label, legend = (f"{by}, ", f" {{{{{by}}}}}") if by else ("", "")
    return [
        (f"histogram_quantile({q}, sum by ({label}le) (rate({metric}_bucket{{@}}[$__rate_interval])))", name + legend)
        for q, name in [(0.5, "p50"), (0.95, "p95"), (0.99, "p99")]
    ]


def rate(metric, by, more="", legend=None):
    """How often, by a label."""
    legend = legend or " ".join(f"{{{{{label}}}}}" for label in by.split(", "))
    return (f"sum by ({by}) (rate({metric}{{@{more}}}[$__rate_interval]))", legend)


def every(metric, legend="{{instance}}"):
    return (f"{metric}{{@}}", legend)


# A row of a board: its title, and its panels: title, kind, unit, expressions with their legends, and what it tells.
ERRORS = (
    'sum(rate(cloudach_edge_request_failures_total{@,status=~"5.."}[$__rate_interval])'
    ' or rate(cloudach_edge_requests_refused_total{@,status=~"5.."}[$__rate_interval]))'
)
ALL_REQUESTS = (
    "sum(rate(cloudach_edge_requests_total{@}[$__rate_interval])"
    " or rate(cloudach_edge_requests_refused_total{@}[$__rate_interval]))"
)
SHARES = [
    ("max(cloudach_edge_requests_open{@} / cloudach_edge_requests_limit{@})", "requests in an edge"),
    ("max(cloudach_edge_connections_open{@} / cloudach_edge_connections_limit{@})", "connections of an edge"),
    ("max(cloudach_sidecar_requests_running{@} / cloudach_sidecar_requests_limit{@})", "requests in a sidecar"),
    ("max(cloudach_router_replica_kv_cache_usage_ratio{@})", "KV cache of a replica"),
    ("max(cloudach_sidecar_gpu_memory_used_bytes{@} / cloudach_sidecar_gpu_memory_total_bytes{@})", "memory of a GPU"),
    ("max(process_open_fds{@} / process_max_fds{@} and on (job, instance) cloudach_build_info)", "files and sockets of a process"),
    ("max(cloudach_edge_usage_waiting_bytes{@} / cloudach_edge_usage_spool_bytes{@})", "spool of usage"),
]

OVERVIEW = [
    ("Is the fleet healthy?", [
        ("Requests", "stat", "reqps", [(ALL_REQUESTS, "")], "That came to an end in a second, those that were refused with them."),
        ("Errors", "stat:0.01:0.05", "percentunit", [(f"({ERRORS} or vector(0)) / ({ALL_REQUESTS} > 0)", "")], "Share of requests with a status of 500 and above."),
        ("First token, p95", "stat:2:5", "s", [quantiles("cloudach_edge_time_to_first_token_seconds")[1]], "From a request's arrival at the edge."),
        ("Between tokens, p95", "stat:0.1:0.25", "s", [quantiles("cloudach_edge_time_per_output_token_seconds")[1]], "The mean of each request."),
        ("Tokens written", "stat", "short", [("sum(rate(cloudach_edge_completion_tokens_total{@}[$__rate_interval]))", "")], "A second, as clients are told them. They are counted when their request ends."),
        ("Models without a replica", "stat:1:1", "short", [("count(max by (model) (cloudach_router_model_replicas_ready{@}) == 0) or vector(0)", "")], "Of the catalogue. Those that are loaded when they are asked for are among them."),
        ("Streams", "stat", "short", [("sum(cloudach_edge_streams_open{@})", "")], "Answers that are being streamed now."),
        ("Processes", "stat", "short", [('count(cloudach_build_info{@})', "")], "Edges, routers and sidecars that tell their metrics."),
    ]),
    ("What fires", [
        ("Alerts", "table", "short", [('ALERTS{alertstate="firing",alertname=~"Cloudach.*"}', "")], "Each is explained in docs/operate.md."),
        ("What will saturate next?", "bars:0.7:0.9", "percentunit", SHARES, "Share of each bound that is used, by whichever process is nearest to its own. The longest bar is what saturates next."),
    ]),
    ("What clients get", [
        ("Requests by outcome", "lines", "reqps", [rate("cloudach_edge_requests_total", "outcome")], "Of models. `abandoned`: the client left first."),
        ("Refused, by why", "lines", "reqps", [rate("cloudach_edge_requests_refused_total", "status, code")], "No key, a limit, a mistake, or nobody to ask: no model was asked."),
        ("Failed, by status", "lines", "reqps", [rate("cloudach_edge_request_failures_total", "status")], "Requests of models that failed."),
        ("Time to the first token", "lines", "s", quantiles("cloudach_edge_time_to_first_token_seconds"), "From the request's arrival at the edge."),
        ("Time between tokens", "lines", "s", quantiles("cloudach_edge_time_per_output_token_seconds"), "The mean of each request."),
        ("Tokens", "lines", "short", [
            ("sum(rate(cloudach_edge_prompt_tokens_total{@}[$__rate_interval]))", "read"),
            ("sum(rate(cloudach_edge_cached_tokens_total{@}[$__rate_interval]))", "of them cached"),
            ("sum(rate(cloudach_edge_completion_tokens_total{@}[$__rate_interval]))", "written"),
        ], "A second, as clients are told them."),
    ]),
    ("Where it waits", [
        ("Requests in progress", "lines", "short", [
            ("sum(cloudach_edge_requests_open{@})", "at edges"),
            ("sum(cloudach_router_requests_open{@})", "at routers"),
            ("sum(cloudach_router_requests_waiting{@})", "waiting for a replica"),
            ("sum(cloudach_sidecar_engine_requests_running{@})", "in engines"),
            ("sum(cloudach_sidecar_engine_requests_waiting{@})", "waiting in engines"),
        ], "By where they are. Those at an edge are those at routers, and so on."),
        ("Wait for a replica, p95", "lines", "s", [(quantiles("cloudach_router_queue_wait_seconds", "model")[1][0], "{{model}}")], "Of requests that generate, those that did not wait with them."),
        ("Refused for want of a replica", "lines", "reqps", [rate("cloudach_router_queue_refused_total", "model, reason")], "`overloaded`: the queue is full, or too slow. `unavailable`: no replica is ready."),
        ("KV cache of replicas", "lines:1", "percentunit", [("max by (replica) (cloudach_router_replica_kv_cache_usage_ratio{@})", "{{replica}}")], "Share that is in use."),
    ]),
    ("Limits and the store", [
        ("What limits decide", "lines", "reqps", [rate("cloudach_edge_limit_decisions_total", "limit, result")], "`all let_in`: within all limits of the request."),
        ("Redis", "lines", "short", [("min(cloudach_edge_store_up{@})", "there"), ("max(cloudach_edge_limits_by_share{@})", "limits by share"), ("max(cloudach_edge_usage_spooling{@})", "usage waits")], "1 or 0, of the edge that is worst off."),
        ("Calls to Redis, p99", "lines", "s", [("histogram_quantile(0.99, sum by (call, le) (rate(cloudach_edge_store_call_duration_seconds_bucket{@}[$__rate_interval])))", "{{call}}")], "Round trips, by what was asked."),
        ("Usage that waits", "lines", "bytes", [every("cloudach_edge_usage_waiting_bytes")], "Records that the store does not have yet."),
    ]),
    ("Processes", [
        ("CPU", "lines", "short", [("rate(process_cpu_seconds_total{@}[$__rate_interval]) and on (job, instance) cloudach_build_info", "{{instance}}")], "Cores."),
        ("Memory", "lines", "bytes", [("process_resident_memory_bytes{@} and on (job, instance) cloudach_build_info", "{{instance}}")], "Resident."),
        ("Files and sockets", "lines", "short", [("process_open_fds{@} and on (job, instance) cloudach_build_info", "{{instance}}")], "That are open."),
        ("Versions", "table", "short", [("count by (component, version, commit) (cloudach_build_info{@})", "")], "What runs, and how often."),
    ]),
]

MODEL = [
    ("What clients get", [
        ("Requests by outcome", "lines", "reqps", [rate("cloudach_edge_requests_total", "model, outcome")], "`abandoned`: the client left first."),
        ("Requests by endpoint", "lines", "reqps", [rate("cloudach_edge_requests_total", "endpoint")], ""),
        ("Failed, by status", "lines", "reqps", [rate("cloudach_edge_request_failures_total", "model, status")], ""),
        ("Time to the first token", "lines", "s", quantiles("cloudach_edge_time_to_first_token_seconds", "model"), "From the request's arrival at the edge."),
        ("Time between tokens", "lines", "s", quantiles("cloudach_edge_time_per_output_token_seconds", "model"), "The mean of each request. A client that reads slowly shows in it."),
        ("Duration of served requests", "lines", "s", [
            ('histogram_quantile(%s, sum by (model, le) (rate(cloudach_edge_request_duration_seconds_bucket{@,outcome="served"}[$__rate_interval])))' % q, name + " {{model}}")
            for q, name in [(0.5, "p50"), (0.95, "p95")]
        ], "From arrival to the end."),
    ]),
    ("Tokens", [
        ("Tokens read", "lines", "short", [rate("cloudach_edge_prompt_tokens_total", "model"), rate("cloudach_edge_cached_tokens_total", "model", legend="{{model}} cached")], "A second."),
        ("Tokens written", "lines", "short", [rate("cloudach_edge_completion_tokens_total", "model")], "A second."),
        ("Share of prompts that was cached", "lines:1", "percentunit", [("sum by (model) (rate(cloudach_edge_cached_tokens_total{@}[$__rate_interval])) / sum by (model) (rate(cloudach_edge_prompt_tokens_total{@}[$__rate_interval]))", "{{model}}")], "What engines had read before: prefix hits."),
    ]),
    ("Room", [
        ("Replicas", "lines", "short", [
            ("max by (model) (cloudach_router_model_replicas_ready{@})", "{{model}} ready"),
            ("max by (model) (cloudach_router_model_replicas_wanted{@})", "{{model}} wanted"),
        ], "`wanted` is of models that are placed."),
        ("Waiting for a replica", "lines", "short", [("sum by (model) (cloudach_router_model_requests_waiting{@})", "{{model}}")], "Requests, at all routers."),
        ("Wait for a replica", "lines", "s", quantiles("cloudach_router_queue_wait_seconds", "model"), "Those that did not wait with them."),
        ("Refused for want of a replica", "lines", "reqps", [rate("cloudach_router_queue_refused_total", "model, reason")], ""),
        ("Went on to another model", "lines", "reqps", [rate("cloudach_edge_fallbacks_total", "model")], "Of a route, because this one had no place."),
        ("Until a replica ran it", "lines", "s", [quantiles("cloudach_edge_request_queue_seconds", "model")[1]], "From arrival at the edge: what is before the engine."),
    ]),
    ("Replicas", [
        ("Requests in the batch", "lines", "short", [("max by (replica) (cloudach_router_replica_requests_running{@})", "{{replica}}")], ""),
        ("Requests waiting in the engine", "lines", "short", [("max by (replica) (cloudach_router_replica_requests_waiting{@})", "{{replica}}")], ""),
        ("KV cache", "lines:1", "percentunit", [("max by (replica) (cloudach_router_replica_kv_cache_usage_ratio{@})", "{{replica}}")], "Share that is in use."),
    ]),
]

TENANT = [
    ("Who uses how much", [
        ("Tokens", "table", "short", [("sort_desc(sum by (tenant) (increase(cloudach_edge_tenant_tokens_total{@}[$__range])))", "")], "In the time that is shown."),
        ("Dollars", "table", "currencyUSD", [("sort_desc(sum by (tenant) (increase(cloudach_edge_tenant_cost_usd_total{@}[$__range])))", "")], "By the catalogue's prices, in the time that is shown."),
        ("Refused for a limit", "table", "short", [("sort_desc(sum by (tenant) (increase(cloudach_edge_tenant_limited_total{@}[$__range])))", "")], "Requests, in the time that is shown."),
    ]),
    ("Over time", [
        ("Requests", "lines", "reqps", [rate("cloudach_edge_tenant_requests_total", "tenant")], ""),
        ("Failed and abandoned", "lines", "reqps", [rate("cloudach_edge_tenant_requests_total", "tenant, outcome", ',outcome!="served"')], ""),
        ("Refused for a limit", "lines", "reqps", [rate("cloudach_edge_tenant_limited_total", "tenant")], "With 429: a limit or a budget is reached."),
        ("Tokens by kind", "lines", "short", [rate("cloudach_edge_tenant_tokens_total", "tenant, kind")], "A second. `cached` are among those of the prompt."),
        ("Dollars an hour", "lines", "currencyUSD", [("sum by (tenant) (rate(cloudach_edge_tenant_cost_usd_total{@}[$__rate_interval])) * 3600", "{{tenant}}")], "By the catalogue's prices."),
    ]),
]

FLEET = [
    ("Replicas", [
        ("By phase", "lines", "short", [("sum by (model, phase) (max by (job, model, phase) (cloudach_router_replicas{@}))", "{{model}} {{phase}}")], "Attached sidecars, as the router tells that has most of them."),
        ("Attached, ready, left out", "lines", "short", [
            ("max(cloudach_router_replicas_attached{@})", "attached"),
            ("max(cloudach_router_replicas_ready{@})", "ready"),
            ("max(cloudach_router_replicas_ejected{@})", "left out"),
        ], "A replica with adapters counts in `ready` once for each name."),
        ("Engines that died", "lines", "short", [("topk(10, sum by (instance, cause) (rate(cloudach_sidecar_engine_deaths_total{@}[$__rate_interval])))", "{{instance}} {{cause}}")], "A second, by cause: the ten that are most."),
        ("Engines started again", "lines", "short", [("increase(cloudach_sidecar_engine_restarts_total{@}[$__rate_interval])", "{{instance}}")], "By their sidecars. Managed ones are loaded again by routers."),
        ("Went on elsewhere", "lines", "reqps", [
            ("sum(rate(cloudach_router_retries_total{@}[$__rate_interval]))", "tried again"),
            ("sum(rate(cloudach_router_resumptions_total{@}[$__rate_interval]))", "resumed in the middle"),
            ("sum(rate(cloudach_router_ejections_total{@}[$__rate_interval]))", "replicas left out"),
        ], "What clients did not notice."),
        ("Commands of placement", "lines", "short", [rate("cloudach_router_placement_commands_total", "action"), rate("cloudach_router_placement_commands_failed_total", "action", legend="{{action}} failed")], "To sidecars, a second."),
        ("Who orders", "lines", "short", [every("cloudach_router_placement_leads")], "1: this router. One of them, not more."),
        ("Routers that sidecars and edges lack", "lines", "short", [
            ("cloudach_edge_routers{@} - cloudach_edge_routers_connected{@}", "{{instance}}"),
            ("cloudach_sidecar_routers{@} - cloudach_sidecar_routers_attached{@}", "{{instance}}"),
        ], "0 where all is well."),
    ]),
    ("Engines", [
        ("In the batch", "lines", "short", [every("cloudach_sidecar_engine_requests_running")], "Requests."),
        ("Waiting", "lines", "short", [every("cloudach_sidecar_engine_requests_waiting")], "In the engine's queue, or held back from it."),
        ("KV cache", "lines:1", "percentunit", [every("cloudach_sidecar_kv_cache_usage_ratio")], "Share that is in use."),
        ("First token, p95", "lines", "s", [("histogram_quantile(0.95, sum by (instance, le) (rate(cloudach_sidecar_time_to_first_token_seconds_bucket{@}[$__rate_interval])))", "{{instance}}")], "Of the engine alone: compare it with the edges'."),
        ("Between tokens, p95", "lines", "s", [("histogram_quantile(0.95, sum by (instance, le) (rate(cloudach_sidecar_time_per_output_token_seconds_bucket{@}[$__rate_interval])))", "{{instance}}")], "Of the engine alone."),
        ("Tokens", "lines", "short", [rate("cloudach_sidecar_tokens_total", "instance, kind")], "A second, as engines count them."),
    ]),
    ("GPUs", [
        ("Memory", "lines:1", "percentunit", [("cloudach_sidecar_gpu_memory_used_bytes{@} / cloudach_sidecar_gpu_memory_total_bytes{@}", "{{instance}} {{gpu}}")], "Share that is taken, by whomever."),
        ("Utilisation", "lines:100", "percent", [every("cloudach_sidecar_gpu_utilization_percent", "{{instance}} {{gpu}}")], "Share of the time in which it worked."),
        ("Temperature", "lines", "celsius", [every("cloudach_sidecar_gpu_temperature_celsius", "{{instance}} {{gpu}}")], ""),
        ("Slowed down", "lines", "short", [("cloudach_sidecar_gpu_throttled{@} == 1", "{{instance}} {{gpu}} {{reason}}")], "`sw_power_cap` is usual under full load."),
        ("Errors", "lines", "short", [
            ("increase(cloudach_sidecar_gpu_xids_total{@}[$__rate_interval])", "{{instance}} {{asks_for}}"),
            ("delta(cloudach_sidecar_gpu_uncorrected_errors{@}[$__rate_interval])", "{{instance}} {{gpu}} memory"),
        ], "Xids by what they ask for, and errors of memory that were not corrected."),
        ("Needs a reset", "lines", "short", [every("cloudach_sidecar_gpu_needs_reset", "{{instance}} {{gpu}}")], "1: it is of no use before."),
    ]),
]

# File, title, rows, filter, and the variables above the board: a label, and where its values are found.
BOARDS = [
    ("overview", "Cloudach: overview", OVERVIEW, ALL, []),
    ("model", "Cloudach: models", MODEL, OF_MODEL, [("model", "cloudach_router_model_replicas_ready")]),
    ("tenant", "Cloudach: tenants", TENANT, OF_TENANT, [("tenant", "cloudach_edge_tenant_requests_total")]),
    ("fleet", "Cloudach: fleet and GPUs", FLEET, OF_INSTANCE, [("instance", "cloudach_build_info")]),
]

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def variables(labels):
    yield {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0}
    for label, metric in [("job", "cloudach_build_info"), *labels]:
        chosen = "" if label == "job" else '{job=~"$job"}'
        query = f"label_values({metric}{chosen}, {label})"
        yield {
            "name": label, "label": label, "type": "query", "datasource": DATASOURCE, "hide": 0,
            "query": {"query": query, "refId": "variable"}, "refresh": 2, "sort": 1,
            "includeAll": True, "multi": True, "allValue": ".+", "current": {"text": "All", "value": "$__all"},
        }  # fmt: skip


def panel(number, place, title, kind, unit, expressions, tells, chosen):
    kind, *bounds = kind.split(":")
    steps = [{"color": "green", "value": None}]
    if kind in ("stat", "bars") and bounds:
        steps += [{"color": color, "value": float(bound)} for color, bound in zip(("orange", "red"), bounds)]
    field = {"unit": unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}}
    if kind == "lines":
        field["custom"] = {"fillOpacity": 8, "showPoints": "never"}
    if kind == "bars" or (kind == "lines" and bounds):
        field["max"] = 1 if kind == "bars" else float(bounds[0])
    instant = kind in ("stat", "bars", "table")
    targets = [
        {"refId": chr(ord("A") + index), "datasource": DATASOURCE, "expr": expression.replace("@", chosen),
         "legendFormat": legend or "__auto", **({"instant": True, "range": False} if instant else {}),
         **({"format": "table"} if kind == "table" else {})}
        for index, (expression, legend) in enumerate(expressions)
    ]  # fmt: skip
    reduce = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    legend = {"displayMode": "list", "placement": "bottom", "showLegend": len(expressions) > 1 or "{{" in expressions[0][1]}
    options = {
        "lines": {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}},
        "stat": {"reduceOptions": reduce, "graphMode": "none", "colorMode": "value"},
        "bars": {"reduceOptions": reduce, "orientation": "horizontal", "displayMode": "basic"},
        "table": {"showHeader": True},
    }[kind]
    hidden = {"Time": True, "__name__": True, "alertstate": True, "job": True}
    return {
        "id": number, "type": {"lines": "timeseries", "stat": "stat", "bars": "bargauge", "table": "table"}[kind],
        "title": title, "description": tells, "datasource": DATASOURCE, "gridPos": place, "targets": targets,
        "fieldConfig": {"defaults": field, "overrides": []}, "options": options,
        **({"transformations": [{"id": "organize", "options": {"excludeByName": hidden}}]} if kind == "table" else {}),
    }  # fmt: skip


def board(name, title, rows, chosen, labels):
    panels, top = [], 0
    for heading, described in rows:
        place = {"h": 1, "w": WIDTH, "x": 0, "y": top}
        panels.append({"id": len(panels) + 1, "type": "row", "title": heading, "collapsed": False, "gridPos": place, "panels": []})
        top += 1
        small = all(kind.startswith("stat") for _, kind, *_ in described)
        height = 4 if small else 8
        across = min(len(described), 8 if small else 3)
        if not small and len(described) % 3 and not len(described) % 2:
            across = 2 if len(described) == 2 else 4
        width = WIDTH // across
        for index, (caption, kind, unit, expressions, tells) in enumerate(described):
            place = {"h": height, "w": width, "x": index % across * width, "y": top + index // across * height}
            panels.append(panel(len(panels) + 1, place, caption, kind, unit, expressions, tells, chosen))
        top += -(-len(described) // across) * height
    return {
        "uid": f"cloudach-{name}", "title": title, "tags": ["cloudach"], "schemaVersion": 39, "version": 1, "editable": True,
        "timezone": "", "refresh": "30s", "time": {"from": "now-1h", "to": "now"}, "graphTooltip": 1,
        "links": [{"type": "dashboards", "tags": ["cloudach"], "title": "Boards", "asDropdown": False, "keepTime": True}],
        "annotations": {"list": []}, "templating": {"list": list(variables(labels))}, "panels": panels,
    }  # fmt: skip


def main():
    stale = []
    for name, *rest in BOARDS:
        path = FOLDER / f"{name}.json"
        wanted = json.dumps(board(name, *rest), indent=1, ensure_ascii=False) + "\n"
        if "--check" not in sys.argv:
            path.write_text(wanted)
        elif not path.exists() or path.read_text() != wanted:
            stale.append(f"{path} is stale: run deploy/chart/dashboards.py")
    known = {f"{name}.json" for name, *_ in BOARDS}
    stale += [f"{path} is no board" for path in FOLDER.iterdir() if path.name not in known]
    print("\n".join(stale), end="\n" if stale else "")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
