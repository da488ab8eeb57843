"""Writes the same panels as Grafana JSON and as a Perses dashboard, into the chart: one list, so that neither forgets one."""

import json
import pathlib

FILES = pathlib.Path(__file__).parent.parent / "chart" / "files"

# Variables of both dashboards: name, title, the metric and the label that its values are read from.
VARIABLES = [
    ("pool", "Pool", "llm_d_epp_ready_endpoints", "name"),
    ("model", "Model", "llm_d_epp_request_total", "model_name"),
    ("gateway", "Gateway", "llm_scraper_snapshot_age_seconds", "envoy"),
]

OF = 'inference_pool=~"$pool",model_name=~"$model"'
POOL = 'inference_pool=~"$pool"'


def quantiles(metric, labels=OF):
    """The median, the 95th and the 99th percentile of a histogram."""
    return [
        (f"p{share}", f"histogram_quantile(0.{share}, sum by (le) (rate({metric}_bucket{{{labels}}}[1m])))")
        for share in (50, 95, 99)
    ]


def once(labels, query):
    """The sum of a query's series by these labels, each pool counted once: every scraper has all counts of all its gateways, so
    that a sum over two scrapers is twice the truth. Scrapers of other releases have other pools."""
    outer = f" by ({labels})" if labels else ""
    pools = f"inference_pool, {labels}" if labels else "inference_pool"
    return f"sum{outer} (max by ({pools}) (sum by (instance, {pools}) ({query})))"


# Title, description, unit (Grafana's, Perses'), then the queries: legend, PromQL. What users feel first.
PANELS = [
    ("Time to the first token", "From a request's arrival to the first content of its answer, waiting in the gateway included.",
     "s", "seconds", quantiles("llm_d_epp_request_ttft_seconds")),
    ("Time between tokens", "Between two events of a stream, as clients see them.",
     "s", "seconds", quantiles("llm_d_epp_request_streaming_itl_seconds")),
    ("Output tokens a second", "By the usage in answers.", "short", "decimal", [
        ("{{model_name}}", once("model_name", f"rate(llm_d_epp_request_output_tokens_sum{{{OF}}}[1m])")),
    ]),
    ("Requests that fail", "By the EPP's codes; answers of the picker's own among them.", "reqps", "requests/sec", [
        ("{{error_code}}", once("error_code", f"rate(llm_d_epp_request_error_total{{{OF}}}[1m])")),
    ]),
    ("Requests, by model", "Requests that are over.", "reqps", "requests/sec", [
        ("{{model_name}}", once("model_name", f"rate(llm_d_epp_request_total{{{OF}}}[1m])")),
    ]),
    ("Prompt tokens found cached", "Share that engines say they had cached, and share that the picker expected.",
     "percentunit", "percent-decimal", [
        ("engines", f"sum(rate(llm_d_epp_request_cached_tokens_sum{{{OF}}}[1m])) / "
                    f"sum(rate(llm_d_epp_request_input_tokens_sum{{{OF}}}[1m]))"),
        ("expected", f"sum(rate(llm_d_epp_prefix_indexer_hit_ratio_sum{{{POOL}}}[1m])) / "
                     f"sum(rate(llm_d_epp_prefix_indexer_hit_ratio_count{{{POOL}}}[1m]))"),
    ]),
    ("Requests in flight, by pod", "Over all gateways.", "short", "decimal", [
        ("{{endpoint_name}}:{{port}}", once("endpoint_name, port", f"llm_d_epp_inflight_requests{{{POOL}}}")),
    ]),
    ("First token by pod, 95th percentile", "Of the pods that answers came from; 100 of a pool.", "s", "seconds", [
        ("{{endpoint_name}}:{{port}}",
         "histogram_quantile(0.95, sum by (le, endpoint_name, port) "
         f"(rate(llm_picker_endpoint_ttft_seconds_bucket{{{POOL}}}[1m])))"),
    ]),
    ("Picked, and let through unpicked", "Let through is what came before the first snapshot of its pool, where failureMode is FailOpen.",
     "reqps", "requests/sec", [
        ("picked", once("", f"rate(llm_picker_picked_total{{{POOL}}}[1m])")),
        ("failed open", once("", f"rate(llm_picker_failed_open_total{{{POOL}}}[1m])")),
    ]),
    ("Refused by the picker", "Answers in the pool's place, by status.", "reqps", "requests/sec", [
        ("{{code}}", once("code", f"rate(llm_picker_refused_total{{{POOL}}}[1m])")),
    ]),
    ("Requests waiting", "Held by flow control, in all gateways.", "short", "decimal", [
        ("priority {{priority}}", once("priority", f"llm_d_epp_flow_control_queue_size{{{POOL}}}")),
    ]),
    ("Longest wait", "Of the requests that wait now.", "s", "seconds", [
        ("priority {{priority}}", f"max by (priority) (llm_picker_oldest_wait_seconds{{{POOL}}})"),
    ]),
    ("How waiting ends", "Dispatched, rejected or evicted.", "reqps", "requests/sec", [
        ("{{outcome}}, priority {{priority}}",
         once("outcome, priority", f"rate(llm_d_epp_flow_control_requests_total{{{POOL}}}[1m])")),
    ]),
    ("Time in the queue, 99th percentile", "Of the requests that left flow control.", "s", "seconds", [
        ("priority {{priority}}",
         "histogram_quantile(0.99, sum by (le, priority) "
         f"(rate(llm_d_epp_flow_control_request_queue_duration_seconds_bucket{{{POOL}}}[1m])))"),
    ]),
    ("Saturation of the pool", "At 1 requests wait or are shed.", "percentunit", "percent-decimal", [
        ("{{inference_pool}}", f"max by (inference_pool) (llm_d_epp_flow_control_pool_saturation{{{POOL}}})"),
    ]),
    ("The picker's own time, 99th percentile", "Request and answer are of one in 16; the choice is of all, flow control's gate included.",
     "s", "seconds", [
        (name, f"histogram_quantile(0.99, sum by (le) (rate({metric}_bucket{{{POOL}}}[5m])))")
        for name, metric in (
            ("request", "llm_d_epp_request_processing_duration_seconds"),
            ("answer", "llm_d_epp_response_processing_duration_seconds"),
            ("choice", "llm_d_epp_scheduler_e2e_duration_seconds"),
        )
    ]),
    ("Time of each plugin, mean", "Of one request in 256.", "s", "seconds", [
        ("{{plugin_type}}", "sum by (plugin_type) (rate(llm_d_epp_plugin_duration_seconds_sum{POOL}[5m])) / "
                            "sum by (plugin_type) (rate(llm_d_epp_plugin_duration_seconds_count{POOL}[5m]))".replace("POOL", POOL)),
    ]),
    ("Faults of the picker's own", "Requests need not have noticed anything.", "reqps", "requests/sec", [
        ("{{kind}}", once("kind", f"rate(llm_picker_own_errors_total{{{POOL}}}[5m])")),
    ]),
    ("Pods, by state", "As the last snapshot has them.", "short", "decimal", [
        ("{{state}}", "max by (state) (llm_scraper_endpoints{pool=~\"$pool\"})"),
    ]),
    ("Age of a gateway's snapshot", "Of the newest that it took, of whichever scraper; an alert fires above 5 s.", "s", "seconds", [
        ("{{envoy}}", "min by (envoy) (llm_scraper_snapshot_age_seconds{envoy=~\"$gateway\"})"),
    ]),
    ("Age of pods' readings in a snapshot, 99th percentile", "When the snapshot was made.", "s", "seconds", [
        ("age", "histogram_quantile(0.99, sum by (le) (rate(llm_scraper_reading_age_seconds_bucket[1m])))"),
    ]),
    ("Scrapes that fail", "By outcome.", "reqps", "requests/sec", [
        ("{{outcome}}", "sum by (outcome) (rate(llm_scraper_scrapes_total{pool=~\"$pool\",outcome!=\"ok\"}[1m]))"),
    ]),
    ("Pushes, by outcome", "To all gateways.", "reqps", "requests/sec", [
        ("{{outcome}}", "sum by (outcome) (rate(llm_scraper_pushes_total{envoy=~\"$gateway\"}[1m]))"),
    ]),
    ("Snapshots that gateways took or refused", "Of two scrapers a gateway refuses the older snapshot now and then.",
     "reqps", "requests/sec", [
        ("stored", "sum(rate(llm_picker_envoy_snapshots_stored_total[1m]))"),
        ("refused", "sum(rate(llm_picker_envoy_snapshots_refused_total[1m]))"),
    ]),
]

WIDTH, HEIGHT = 12, 8


def place(index):
    return {"x": index % 2 * WIDTH, "y": index // 2 * HEIGHT}


def grafana():
    def panel(index, title, description, unit, _, queries):
        return {
            "id": index + 1,
            "type": "timeseries",
            "title": title,
            "description": description,
            "datasource": {"type": "prometheus", "uid": "${datasource}"},
            "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
            "gridPos": place(index) | {"w": WIDTH, "h": HEIGHT},
            "targets": [
                {"refId": chr(65 + number), "legendFormat": legend, "expr": query}
                for number, (legend, query) in enumerate(queries)
            ],
        }

    def variable(name, title, metric, label):
        query = f"label_values({metric}, {label})"
        return {
            "name": name, "label": title, "type": "query", "query": query, "definition": query,
            "datasource": {"type": "prometheus", "uid": "${datasource}"},
            "refresh": 2, "multi": True, "includeAll": True, "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
        }

    datasource = {"name": "datasource", "type": "datasource", "query": "prometheus"}
    return {
        "title": "llm-picker",
        "uid": "llm-picker",
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "templating": {"list": [datasource] + [variable(*entry) for entry in VARIABLES]},
        "panels": [panel(index, *entry) for index, entry in enumerate(PANELS)],
    }


def perses():
    def query(legend, text):
        spec = {
            "query": text,
            "seriesNameFormat": legend,
            "datasource": {"kind": "PrometheusDatasource", "name": "DATASOURCE"},
        }
        plugin = {"kind": "PrometheusTimeSeriesQuery", "spec": spec}
        return {"kind": "TimeSeriesQuery", "spec": {"plugin": plugin}}

    def variable(name, title, metric, label):
        source = {"kind": "PrometheusDatasource", "name": "DATASOURCE"}
        values = {"labelName": label, "matchers": [metric], "datasource": source}
        return {
            "kind": "ListVariable",
            "spec": {
                "name": name,
                "display": {"name": title},
                "allowMultiple": True,
                "allowAllValue": True,
                "customAllValue": ".*",
                "defaultValue": "$__all",
                "plugin": {"kind": "PrometheusLabelValuesVariable", "spec": values},
            },
        }

    def panel(title, description, _, unit, queries):
        chart = {"yAxis": {"format": {"unit": unit}, "min": 0}, "legend": {"position": "bottom"}}
        return {
            "kind": "Panel",
            "spec": {
                "display": {"name": title, "description": description},
                "plugin": {"kind": "TimeSeriesChart", "spec": chart},
                "queries": [query(*entry) for entry in queries],
            },
        }

    names = [f"panel{index}" for index in range(len(PANELS))]
    items = [
        place(index) | {"width": WIDTH, "height": HEIGHT, "content": {"$ref": f"#/spec/panels/{name}"}}
        for index, name in enumerate(names)
    ]
    return {
        "config": {
            "display": {"name": "llm-picker"},
            "duration": "30m",
            "refreshInterval": "10s",
            "variables": [variable(*entry) for entry in VARIABLES],
            "panels": {name: panel(*entry) for name, entry in zip(names, PANELS)},
            "layouts": [{"kind": "Grid", "spec": {"items": items}}],
        }
    }


def main():
    # JSON is YAML too.
    (FILES / "grafana.json").write_text(json.dumps(grafana(), indent=1) + "\n")
    (FILES / "perses.yaml").write_text(json.dumps(perses(), indent=1) + "\n")


if __name__ == "__main__":
    main()
