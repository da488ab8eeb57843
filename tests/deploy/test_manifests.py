"""The kustomizations in envoy/istio/."""

import unittest

import kube
import schemas

FOLDER = kube.ROOT / "envoy/istio"
WAYS = sorted(path.parent.name for path in FOLDER.glob("*/kustomization.yaml"))


class Manifests(unittest.TestCase):
    def test_a_cluster_takes_them(self):
        self.assertGreaterEqual(len(WAYS), 5)
        for way in WAYS:
            for instance in kube.objects(kube.run("kubectl", "kustomize", FOLDER / way)):
                with self.subTest(way=way, kind=instance["kind"], name=instance["metadata"]["name"]):
                    schemas.check(instance)

    def test_the_port_for_snapshots_is_closed_to_all_but_the_scraper(self):
        for way in WAYS:
            rendering = kube.objects(kube.run("kubectl", "kustomize", FOLDER / way))
            [policy] = [it["spec"] for it in rendering if it["kind"] == "NetworkPolicy"]
            [ingest] = [it["spec"] for it in rendering if it["metadata"]["name"] == "llm-picker-ingest" and it["kind"] == "EnvoyFilter"]
            self.assertEqual(policy["podSelector"]["matchLabels"], ingest["workloadSelector"]["labels"])
            listener = ingest["configPatches"][1]["patch"]["value"]
            port = listener["address"]["socket_address"]["port_value"]
            open_to = [rule.get("from") for rule in policy["ingress"] for it in rule["ports"]
                       if it["protocol"] == "TCP" and it["port"] <= port <= it.get("endPort", it["port"])]
            self.assertEqual(open_to, [[{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "llm-picker"}}}]])

    def test_a_cluster_would_refuse_a_slip(self):
        """So that the test above can fail."""
        plugin = next(
            instance
            for instance in kube.objects(kube.run("kubectl", "kustomize", FOLDER / "wasmplugin"))
            if instance["kind"] == "WasmPlugin"
        )
        for slip in ({"phase": "LAST"}, {"imagePulPolicy": "Always"}, {"url": 1}):
            with self.assertRaises(Exception, msg=slip):
                schemas.check(plugin | {"spec": plugin["spec"] | slip})


if __name__ == "__main__":
    unittest.main()
