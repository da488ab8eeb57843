"""Writes the same panels as Grafana JSON and as a Perses dashboard, into the chart: one list, so that neither forgets one."""

import json
import pathlib

FILES = pathlib.Path(__file__).parent.parent / "chart" / "files"

# Title, unit (Grafana's, Perses'), then the queries: legend, PromQL.
PANELS = [
    ("Picked, and let through unpicked", "reqps", "requests/sec", [
        ("picked", "sum(rate(llm_picker_picked_total[1m]))"),
        ("failed open", "sum(rate(llm_picker_failed_open_total[1m]))"),
    ]),
    ("Refused by the picker", "reqps", "requests/sec", [
        ("{{code}}", "sum by (code) (rate(llm_picker_refused_total[1m]))"),
    ]),
    ("Requests waiting", "short", "decimal", [
        ("priority {{priority}}", "sum by (priority) (llm_d_epp_flow_control_queue_size)"),
    ]),
    ("How waiting ends", "reqps", "requests/sec", [
        ("{{outcome}}, priority {{priority}}",
         "sum by (outcome, priority) (rate(llm_d_epp_flow_control_requests_total[1m]))"),
    ]),
    ("Time in the queue, 99th percentile", "s", "seconds", [
        ("priority {{priority}}",
         "histogram_quantile(0.99, sum by (le, priority) "
         "(rate(llm_d_epp_flow_control_request_queue_duration_seconds_bucket[1m])))"),
    ]),
    ("Saturation of the pool", "percentunit", "percent-decimal", [
        ("{{inference_pool}}", "max by (inference_pool) (llm_d_epp_flow_control_pool_saturation)"),
    ]),
    ("Pods, by state", "short", "decimal", [
        ("{{state}}", "max by (state) (llm_scraper_endpoints)"),
    ]),
    ("Age of a gateway's snapshot (60 s is alarming, 300 s is none)", "s", "seconds", [
        ("{{envoy}}", "max by (envoy) (llm_scraper_snapshot_age_seconds)"),
    ]),
    ("Age of pods' readings in a snapshot, 99th percentile", "s", "seconds", [
        ("age", "histogram_quantile(0.99, sum by (le) (rate(llm_scraper_reading_age_seconds_bucket[1m])))"),
    ]),
    ("Scrapes that fail", "reqps", "requests/sec", [
        ("{{outcome}}", "sum by (outcome) (rate(llm_scraper_scrapes_total{outcome!=\"ok\"}[1m]))"),
    ]),
    ("Pushes, by outcome", "reqps", "requests/sec", [
        ("{{outcome}}", "sum by (outcome) (rate(llm_scraper_pushes_total[1m]))"),
    ]),
    ("Snapshots that gateways took or refused", "reqps", "requests/sec", [
        ("stored", "sum(rate(llm_picker_envoy_snapshots_stored_total[1m]))"),
        ("refused", "sum(rate(llm_picker_envoy_snapshots_refused_total[1m]))"),
    ]),
]

WIDTH, HEIGHT = 12, 8


def place(index):
    return {"x": index % 2 * WIDTH, "y": index // 2 * HEIGHT}


def grafana():
    def panel(index, title, unit, _, queries):
        return {
            "id": index + 1,
            "type": "timeseries",
            "title": title,
            "datasource": {"type": "prometheus", "uid": "${datasource}"},
            "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
            "gridPos": place(index) | {"w": WIDTH, "h": HEIGHT},
            "targets": [
                {"refId": chr(65 + number), "legendFormat": legend, "expr": query}
                for number, (legend, query) in enumerate(queries)
            ],
        }

    return {
        "title": "llm-picker",
        "uid": "llm-picker",
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "templating": {"list": [{"name": "datasource", "type": "datasource", "query": "prometheus"}]},
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

    def panel(title, _, unit, queries):
        chart = {"yAxis": {"format": {"unit": unit}, "min": 0}, "legend": {"position": "bottom"}}
        return {
            "kind": "Panel",
            "spec": {
                "display": {"name": title},
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
