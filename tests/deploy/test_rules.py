"""Alerts and dashboards. Whether their queries have series is asked of a running stack, in test_prometheus.py."""

import json
import pathlib
import re
import subprocess
import sys
import unittest

import kube
import yaml

FILES = kube.CHART / "files"


class Rules(unittest.TestCase):
    def test_prometheus_takes_the_rules(self):
        result = kube.run("promtool", "check", "rules", FILES / "rules.yaml")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_every_alert_fires_and_resolves(self):
        told = pathlib.Path(__file__).with_name("alerts.yaml")
        result = kube.run("promtool", "test", "rules", told)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        rules = yaml.safe_load((FILES / "rules.yaml").read_text())["groups"][0]["rules"]
        looks = [look for test in yaml.safe_load(told.read_text())["tests"] for look in test["alert_rule_test"]]
        for alert in (rule["alert"] for rule in rules):
            own = [bool(look.get("exp_alerts")) for look in looks if look["alertname"] == alert]
            self.assertIn(True, own, f"{alert} never fires")
            self.assertFalse(own[-1], f"{alert} never resolves")

    def test_dashboards_are_what_their_list_says(self):
        written = {path: path.read_text() for path in (FILES / "grafana.json", FILES / "perses.yaml")}
        subprocess.run([sys.executable, kube.ROOT / "envoy/dashboards/generate.py"], check=True)
        for path, text in written.items():
            self.assertEqual(path.read_text(), text, f"{path.name} is not what generate.py writes")

    def test_no_query_counts_a_gateway_once_for_each_scraper(self):
        """Every scraper has the counts of all gateways: a sum over scrapers is twice the truth, except under a quantile or a ratio."""
        rules = yaml.safe_load((FILES / "rules.yaml").read_text())["groups"][0]["rules"]
        panels = json.loads((FILES / "grafana.json").read_text())["panels"]
        queries = [rule["expr"] for rule in rules] + [target["expr"] for panel in panels for target in panel["targets"]]
        # What each scraper counts of itself, and Envoy's own.
        own = ("llm_picker_envoy_", "llm_scraper_scrapes_total", "llm_scraper_pushes_total")
        summed = [query for query in queries if "sum" in query and not any(name in query for name in own)]
        self.assertGreater(len(summed), 20)
        for query in summed:
            with self.subTest(query=query):
                whole = "histogram_quantile(" in query or re.search(r"\) / sum\(", query)
                self.assertTrue(whole or re.search(r"max by \([^)]*pool[^)]*\) \(sum by \(instance\b", query))

    def test_every_panel_says_what_it_shows(self):
        """Title, description, unit and legend, and a place of its own."""
        panels = json.loads((FILES / "grafana.json").read_text())["panels"]
        taken = set()
        for panel in panels:
            with self.subTest(panel=panel["title"]):
                self.assertTrue(panel["title"] and panel["description"].endswith("."))
                self.assertIn(panel["fieldConfig"]["defaults"]["unit"], {"s", "short", "reqps", "percentunit"})
                legends = [target["legendFormat"] for target in panel["targets"]]
                self.assertTrue(all(legends) and len(set(legends)) == len(legends), legends)
                for target in panel["targets"]:
                    # What the legend names, the series are told apart by.
                    for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                        self.assertRegex(target["expr"], rf"by \([^)]*\b{label}\b")
                at = panel["gridPos"]
                cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
                self.assertLessEqual(at["x"] + at["w"], 24)
                self.assertFalse(cells & taken)
                taken |= cells
        self.assertEqual(len({panel["id"] for panel in panels}), len(panels))

    def test_every_query_is_one(self):
        """promtool reads expressions in rules only, so each query becomes one."""
        panels = json.loads((FILES / "grafana.json").read_text())["panels"]
        queries = [target["expr"] for panel in panels for target in panel["targets"]]
        documents = yaml.safe_load_all((kube.CHART / "examples/keda.yaml").read_text())
        queries += [trigger["metadata"]["query"] for document in documents for trigger in document["spec"]["triggers"]]
        rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
        file = pathlib.Path(kube.ROOT / "target/kube/queries.yaml")
        file.write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))
        result = kube.run("promtool", "check", "rules", file)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertGreater(len(queries), 10)


if __name__ == "__main__":
    unittest.main()
