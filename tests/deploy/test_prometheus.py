"""Every query of the dashboards, of the chart's examples and of llm-d's and KServe's guides has series, in a real Prometheus over a
stack that runs."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

import kube
import yaml

STACK = kube.ROOT / "dist/llm-picker-stack"
PROMETHEUS = kube.ROOT / "target/kube/prometheus/usr/bin/prometheus"
# Seconds until a query with a window of a minute has two samples of everything, and then some.
PATIENCE = 180
CONFIG = {
    "featureGates": ["flowControl"],
    "plugins": [{"type": "concurrency-detector", "parameters": {"maxConcurrency": 2}}],
    "flowControl": {"saturationDetector": {"pluginRef": "concurrency-detector"}},
}
MODEL = "tiny"
# What never happens in this story has no series: nothing fails open, and the picker makes no mistake.
UNHAPPENED = ["llm_picker_failed_open_total", "llm_picker_own_errors_total"]
# Seconds after which one of three pods is killed, so that scrapes fail.
POD_LIVES = 10


def asked():
    """The queries, with where each is from."""
    panels = json.loads((kube.CHART / "files/grafana.json").read_text())["panels"]
    for panel in panels:
        for target in panel["targets"]:
            yield f"dashboard, {panel['title']} {target['refId']}", re.sub(r"\$\w+", ".*", target["expr"])
    adapter, _ = yaml.safe_load_all((kube.CHART / "examples/hpa.yaml").read_text())
    for rule in yaml.safe_load(adapter["data"]["rule.yaml"]):
        yield "examples/hpa.yaml, series", rule["seriesQuery"]
        # As the adapter asks for the HPA's metric.
        yield "examples/hpa.yaml, metric", rule["metricsQuery"].replace("<<.LabelMatchers>>", 'inference_pool="default"')
    for document in yaml.safe_load_all((kube.CHART / "examples/keda.yaml").read_text()):
        for trigger in document["spec"]["triggers"]:
            # Without what stands in for a series that is not there.
            query = trigger["metadata"]["query"].replace('"qwen"', '"default"').replace(" or vector(0)", "")
            yield f"examples/keda.yaml, {trigger['name']}", query
    for name, query in yaml.safe_load(pathlib.Path(__file__).with_name("guides.yaml").read_text()).items():
        yield f"llm-d, {name}", query.replace("MODEL", MODEL)


def free_address():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"


def get(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)


class Stack:
    """The stack under a load that waits, and a Prometheus that looks at it every second."""

    def __init__(self, folder):
        config = folder / "picker.json"
        config.write_text(json.dumps(CONFIG))
        flags = ["--port", "0", "--endpoints", "3", "--config", config]
        self.stack = subprocess.Popen([STACK, *flags], stdout=subprocess.PIPE, text=True)
        said = {}
        for line in self.stack.stdout:
            name, _, value = line.partition(":")
            said[name.strip()] = value.strip()
            if "admin" in line:
                said["admin"] = re.search(r"http://([^ ]+) \(admin\)", line).group(1)
            if "pod 3 " in line:
                self.pod = int(re.search(r"pid (\d+)", line).group(1))
            if name == "ready":
                break
        self.gateway = said["ready"]
        # As a ServiceMonitor labels what it scrapes.
        labels = {"namespace": "llm-d", "service": "llm-scraper", "pod": "llm-scraper-0"}
        page = said["page"].removeprefix("http://")
        jobs = [
            {"job_name": "scraper", "params": {"names": ["all"]}, "static_configs": [{"targets": [page], "labels": labels}]},
            {"job_name": "envoy", "metrics_path": "/stats/prometheus", "static_configs": [{"targets": [said["admin"]], "labels": labels}]},
        ]
        settings = folder / "prometheus.yml"
        settings.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}))
        self.address = free_address()
        flags = [f"--config.file={settings}", f"--storage.tsdb.path={folder}/data", f"--web.listen-address={self.address}"]
        self.prometheus = subprocess.Popen([PROMETHEUS, *flags], stderr=subprocess.DEVNULL)
        self.over = threading.Event()
        self.clients = [threading.Thread(target=self.ask, args=(number,)) for number in range(10)]
        for client in self.clients:
            client.start()

    def ask(self, number):
        while not self.over.is_set():
            body = {"model": "missing" if number == 1 else MODEL, "stream": True, "stream_options": {"include_usage": True}, "max_tokens": 20,
                    "messages": [{"role": "user", "content": f"client {number} " + "asks the same again " * 40}]}
            headers = {"content-type": "application/json", "x-llm-d-inference-fairness-id": f"tenant-{number % 3}"}
            # One asks for a model that pods do not have, another sends what the picker refuses.
            data = b"no JSON" if number == 2 else json.dumps(body).encode()
            try:
                urllib.request.urlopen(urllib.request.Request(f"{self.gateway}/v1/chat/completions", data, headers), timeout=20).read()
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)

    def series(self, query):
        try:
            answer = get(f"http://{self.address}/api/v1/query?{urllib.parse.urlencode({'query': query})}")
        except (urllib.error.URLError, OSError):
            return []
        return [row for row in answer["data"]["result"] if row["value"][1] != "NaN"]

    def end(self):
        """Ends everything, however far it came."""
        self.over.set()
        for client in self.clients:
            client.join()
        for program in (self.prometheus, self.stack):
            program.terminate()
            program.wait()
        self.stack.stdout.close()


class Queries(unittest.TestCase):
    maxDiff = None

    def test_every_query_has_series(self):
        with tempfile.TemporaryDirectory() as folder:
            stack = Stack(pathlib.Path(folder))
            try:
                queries = {name: query for name, query in asked() if not any(word in query for word in UNHAPPENED)}
                started = time.monotonic()
                missing, pod = queries, stack.pod
                while missing and time.monotonic() < started + PATIENCE:
                    time.sleep(1)
                    if pod and time.monotonic() > started + POD_LIVES:
                        os.kill(pod, signal.SIGKILL)
                        pod = None
                    missing = {name: query for name, query in missing.items() if not stack.series(query)}
            finally:
                stack.end()
        self.assertEqual(missing, {}, "queries without series")
        self.assertGreater(len(queries), 105)


if __name__ == "__main__":
    unittest.main()
