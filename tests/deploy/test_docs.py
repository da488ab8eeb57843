"""The commands of the documents, as far as no cluster is needed: the chart takes what they say."""

import pathlib
import re
import shlex
import subprocess
import tempfile
import unittest

import kube
import schemas

DOCS = kube.ROOT / "docs"

# What runs before llm-picker is there: what `kubectl get -o yaml` prints, cut short.
EPP = """
apiVersion: v1
kind: List
items:
- apiVersion: serving.kserve.io/v1alpha2
  kind: LLMInferenceService
  metadata: {name: qwen, namespace: demo-llmd}
  spec:
    router:
      scheduler:
        config:
          inline:
            apiVersion: inference.networking.x-k8s.io/v1alpha1
            kind: EndpointPickerConfig
            featureGates: [flowControl]
            plugins: [{type: queue-scorer}, {type: round-robin-fairness-policy}]
            schedulingProfiles: [{name: default, plugins: [{pluginRef: queue-scorer, weight: 2}]}]
- apiVersion: inference.networking.x-k8s.io/v1alpha2
  kind: InferenceObjective
  metadata: {name: sa-high-prio, namespace: demo-llmd}
  spec: {priority: 100, poolRef: {name: qwen-inference-pool}}
"""


def commands(page, program):
    """The page's commands that begin so, each as its words."""
    text = (DOCS / page).read_text().replace("\\\n", " ")
    found = [line.strip() for line in text.splitlines() if line.startswith("  ") and line.strip().startswith(program)]
    return [shlex.split(command) for command in found]


class Docs(unittest.TestCase):
    def test_the_chart_takes_the_commands(self):
        with tempfile.TemporaryDirectory() as folder:
            values = pathlib.Path(folder, "values.yaml")
            migrated = subprocess.run(
                [kube.ROOT / "dist/llm-scraper", "migrate"], input=EPP, capture_output=True, text=True, check=True
            )
            values.write_text(migrated.stdout)
            for page, count in ("istio.md", 1), ("openshift.md", 2), ("../envoy/chart/README.md", 1):
                installs = commands(page, "helm install")
                self.assertEqual(len(installs), count)
                for _, _, *words in installs:
                    words = [{"envoy/chart": kube.CHART, "values.yaml": values}.get(word, word) for word in words]
                    words = [str(word).replace("REGISTRY", "registry.example") for word in words]
                    with self.subTest(page=page, words=words):
                        objects = kube.objects(kube.run("helm", "template", *words))
                        self.assertTrue(objects)
                        for instance in objects:
                            schemas.check(instance)

    def test_values_that_are_named_exist(self):
        """A setting that the chart does not know is an error, and so a slip in a document is one here."""
        for page in "istio.md", "beside-epp.md", "openshift.md", "operations.md", "scraper.md":
            text = (DOCS / page).read_text()
            for setting in re.findall(r"`((?:picker|scraper|networkPolicy|monitoring|snapshots|gateway)[.=][^`\s…]+=[^`\s…]+)`", text):
                with self.subTest(page=page, setting=setting):
                    said = kube.run("helm", "template", "picker", kube.CHART, "--set", setting).stderr
                    self.assertNotIn("additional properties", said)


if __name__ == "__main__":
    unittest.main()
