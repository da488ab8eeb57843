"""The chart in envoy/chart/."""

import itertools
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

import kube
import schemas
import yaml

WAYS = ["wasmPlugin", "wasmPluginFailover", "envoyFilter"]
ACCOUNT = 'serviceAccounts=[{"name":"caller","namespace":"team-a","priority":100}]'
DIGEST = "sha256:" + "0" * 64

RICH = {
    "monitoring": {"enabled": True, "dashboards": {"grafana": {"enabled": True}, "perses": {"enabled": True}}},
    "scraper": {"replicas": 3, "image": {"digest": DIGEST}, "imagePullSecrets": [{"name": "mirror"}]},
}

# One value of each line, in all combinations.
MATRIX = [
    [[f'picker.way="{way}"'] for way in WAYS],
    [['model.kind="pods"'], ['model.kind="llmInferenceService"']],
    [["scraper.replicas=1"], [f"{key}={json.dumps(value)}" for key, value in RICH.items()]],
    [["serviceAccounts=[]"], [ACCOUNT]],
]

# The Envoy configuration of the chart is that of the manifests, which runs in real Envoys.
SAME = {"wasmPlugin": "wasmplugin", "wasmPluginFailover": "wasmplugin-failover", "envoyFilter": "envoyfilter"}


class Chart(unittest.TestCase):
    def test_helm_finds_nothing(self):
        result = kube.run("helm", "lint", "--strict", kube.CHART)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_a_cluster_takes_every_rendering(self):
        for settings, rendering in renderings():
            for instance in rendering:
                with self.subTest(settings=settings, kind=instance["kind"], name=instance["metadata"]["name"]):
                    schemas.check(instance)

    def test_the_scraper_takes_its_settings_from_every_rendering(self):
        for settings, rendering in renderings():
            with self.subTest(settings=settings):
                [file] = [it["data"]["scraper.yaml"] for it in rendering if "scraper.yaml" in it.get("data", {})]
                result = check_settings(file)
                self.assertEqual(result.returncode, 0, result.stderr)

    def test_the_scraper_may_do_what_it_does_and_no_more(self):
        needed = yaml.safe_load_all((kube.ROOT / "scraper/kubernetes/rbac.yaml").read_text())
        without_zones = [it for it in needed if it["kind"] == "Role"]
        granted = [it for it in kube.objects(kube.render()) if it["kind"] == "Role"]
        self.assertEqual(sorted(rules(granted)), sorted(rules(without_zones)))

    def test_parts_are_apart(self):
        """A model team's release holds nothing of the gateway's namespace, and the other way round."""
        model = kube.objects(kube.render('install={"gateway":false,"model":true,"scraper":false}'))
        self.assertEqual({it["metadata"]["namespace"] for it in model}, {"models"})
        gateway = kube.objects(kube.render('install={"gateway":true,"model":false,"scraper":false}'))
        self.assertEqual({it["metadata"]["namespace"] for it in gateway}, {"istio-ingress"})
        self.assertFalse({"EnvoyFilter", "WasmPlugin"} & {it["kind"] for it in model})

    def test_wrong_values_are_refused_with_a_reason(self):
        for setting, reason in [
            ('picker.way="wasm"', "'wasmPlugin', 'wasmPluginFailover', 'envoyFilter'"),
            ('picker.wya="wasmPlugin"', "additional properties 'wya' not allowed"),
            ("model.port=0", "/model/port"),
            ("picker.gatewayShare=0", "/picker/gatewayShare"),
            ('scraper.interval="50"', "/scraper/interval"),
            ('picker.image.digest="sha256:12"', "/picker/image/digest"),
            ('objectives=[{"name":"a"}]', "priority"),
            ('picker={"way":"envoyFilter","image":{"pullSecret":"mirror"}}', "/picker/image/pullSecret"),
        ]:
            with self.subTest(setting=setting):
                result = kube.render(setting)
                self.assertNotEqual(result.returncode, 0)
                self.assertIn(reason, result.stderr)

    def test_it_puts_the_same_into_envoy_as_the_manifests(self):
        for way, folder in SAME.items():
            with self.subTest(way=way):
                chart = envoy_specs(kube.objects(kube.render(f'picker.way="{way}"')))
                plain = envoy_specs(kube.objects(kube.run("kubectl", "kustomize", kube.ROOT / "envoy/istio" / folder)))
                self.assertEqual(chart, plain)

    def test_a_share_is_told_to_the_plugin(self):
        for way in SAME:
            for share in 1, 0.5:
                with self.subTest(way=way, share=share):
                    said = kube.render(f'picker.way="{way}"', f"picker.gatewayShare={share}").stdout
                    self.assertIs("gatewayShare" in said and "0.5" in said, share == 0.5)

    def test_containers_are_as_restricted_v2_wants_them(self):
        for instance in kube.objects(kube.render()):
            spec = instance["spec"]["template"]["spec"] if instance["kind"] == "Deployment" else instance.get("spec", {})
            for container in spec.get("containers", []) if isinstance(spec, dict) else []:
                context = container["securityContext"]
                self.assertNotIn("runAsUser", context)
                self.assertEqual(context["capabilities"], {"drop": ["ALL"]})
                self.assertTrue(context["runAsNonRoot"] and context["readOnlyRootFilesystem"])
                self.assertFalse(context["allowPrivilegeEscalation"])


def renderings():
    """Every combination of the matrix, and what the chart makes of it."""
    for settings in itertools.product(*MATRIX):
        settings = list(itertools.chain(*settings))
        yield settings, kube.objects(kube.render(*settings))


def check_settings(file):
    """What the scraper says to this configuration file."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "scraper.yaml"
        path.write_text(file)
        return subprocess.run(
            [kube.ROOT / "dist/llm-scraper", "--config", path, "--check"],
            env=os.environ | {"LLM_PICKER_SECRET": "only for this test"},
            capture_output=True,
            text=True,
            check=False,
        )


def rules(roles):
    """The rules of all roles of the scraper, as text that can be compared."""
    return [json.dumps(rule, sort_keys=True) for role in roles for rule in role["rules"]]


def envoy_specs(objects):
    """The specs of all EnvoyFilters, without the plugins' own configuration and comments' worth of names."""
    specs = [it["spec"] for it in objects if it["kind"] == "EnvoyFilter"]
    return sorted(json.dumps(without_configuration(spec), sort_keys=True) for spec in specs)


def without_configuration(value):
    if isinstance(value, dict):
        text = value.get("value")
        if isinstance(text, str) and "EndpointPickerConfig" in text:
            return "a picker's configuration"
        return {key: without_configuration(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [without_configuration(entry) for entry in value]
    return value


if __name__ == "__main__":
    unittest.main()
